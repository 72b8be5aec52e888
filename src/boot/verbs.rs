//! `--nodes`: what is known of the nodes, and what a person says to it.

use super::node_scan::{Access, NodeScan};
use super::preflight::{check_started_as, resolve_target};
use super::refusal::Refusal;
use crate::identity::Identity;
use crate::logging;
use crate::settings::Settings;
use crate::sys::io;
use crate::text::SingleLine;
use log::error;
use std::ffi::CStr;

/// What a person asks of the nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodesVerb<'a> {
    List,
    Show(&'a CStr),
    Approve(&'a CStr),
    Revoke(&'a CStr),
}

/// Does it and prints on stdout. Returns 0, or 1 where it could not be done.
pub fn nodes(environment: &[&CStr], verb: NodesVerb, json: bool) -> u8 {
    logging::install();
    let (level, format) = Settings::log_settings(environment);
    logging::configure(level, format);
    let prepared = match prepare(environment) {
        Ok(prepared) => prepared,
        Err(refusal) => {
            refusal.log();
            return 1;
        }
    };
    let done = match prepared {
        (Some(mut nodes), user) => run_verb(&mut nodes, user.as_ref(), verb, json),
        (None, _) => Err("TAKUMI_NODES is not set (set it for the container)".to_owned()),
    };
    match done {
        Ok(()) => 0,
        Err(why) => {
            error!("{}", SingleLine(&why));
            1
        }
    }
}

fn prepare(environment: &[&CStr]) -> Result<(Option<NodeScan>, Option<Identity>), Refusal> {
    let settings = Settings::from_environment(environment).map_err(Refusal::Settings)?;
    let started_as = check_started_as()?;
    let user = resolve_target(&settings, &started_as)?;
    Ok((NodeScan::if_configured(&settings, environment), user))
}

fn run_verb(nodes: &mut NodeScan, user: Option<&Identity>, verb: NodesVerb, json: bool) -> Result<(), String> {
    let remembers = nodes.load_state();
    let (words, changes) = match verb {
        NodesVerb::List => (vec![c"list"], None),
        NodesVerb::Show(name) => (vec![c"show", name], None),
        NodesVerb::Approve(name) => (vec![c"approve", name], Some("approved")),
        NodesVerb::Revoke(name) => (vec![c"revoke", name], Some("revoked")),
    };
    if let (Some(changed), Err(error)) = (changes, remembers) {
        return Err(format!("nothing can be {changed}: {error}"));
    }
    let json = json.then_some(c"--json");
    let words: Vec<&CStr> = words.into_iter().chain(json).collect();
    let (answer, kept) =
        nodes.run_program(user, &words, Access::Read, &mut || false).map_err(|error| error.to_string())?;
    if let Some(error) = answer.error {
        return Err(error);
    }
    if let Some(approvals) = kept.filter(|_| changes.is_some()) {
        nodes.write_approvals(&approvals).map_err(|error| error.to_string())?;
    }
    for name in &answer.names {
        let stays = |why: &str| {
            format!("{} is approved but still in quarantine: {why} (move it back by hand)", SingleLine(name))
        };
        let moved =
            nodes.rename(c"back", std::slice::from_ref(name), user).map_err(|error| stays(&error.to_string()))?;
        if !moved.names.contains(name) {
            return Err(stays(&moved.notes.concat()));
        }
    }
    io::write_stdout(answer.output.as_bytes()).map_err(|errno| format!("cannot write to stdout: {errno}"))
}

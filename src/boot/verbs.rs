//! `--nodes`: what is known of the nodes, and what a person says to it.

use super::before::{become_whom, started_as};
use super::nodes::Nodes;
use super::refusal::Refusal;
use crate::identity::Identity;
use crate::logging;
use crate::nodes::judge::{Judged, Standing};
use crate::nodes::quarantine::{self, Way};
use crate::nodes::{Verb, message};
use crate::settings::{Scan, Settings};
use crate::sys::{Errno, clock, io};
use crate::text::Line;
use log::error;
use serde::Serialize;
use std::ffi::CStr;

/// Does it and prints on stdout. Returns 0, or 1 where it could not be done.
pub fn nodes(environment: &[&CStr], verb: Verb, json: bool) -> u8 {
    logging::begin();
    let (level, format) = Settings::log(environment);
    logging::configure(level, format);
    let told = prepare(environment).and_then(|(mut nodes, user)| answer(&mut nodes, user.as_ref(), verb, json));
    let text = match told {
        Ok(text) => text,
        Err(Why::Refused(refusal)) => {
            refusal.tell();
            return 1;
        }
        Err(Why::Said(why)) => {
            error!("{why}");
            return 1;
        }
    };
    match io::write_stdout(text.as_bytes()) {
        Ok(()) => 0,
        Err(errno) => {
            error!("cannot write to stdout: {errno}");
            1
        }
    }
}

/// Why it is not done.
enum Why {
    Refused(Refusal),
    Said(String),
}

impl From<String> for Why {
    fn from(why: String) -> Self {
        Why::Said(why)
    }
}

fn prepare(environment: &[&CStr]) -> Result<(Nodes, Option<Identity>), Why> {
    let mut settings = Settings::read(environment).map_err(Refusal::Settings).map_err(Why::Refused)?;
    // A person who asks wants a look, whatever a start does.
    settings.scan = Scan::Warn;
    settings.skip.retain(|id| *id != "node-scan");
    let before = started_as().map_err(Why::Refused)?;
    let user = become_whom(&settings, &before).map_err(Why::Refused)?;
    let nodes = Nodes::of(&settings, environment);
    let nodes =
        nodes.ok_or_else(|| "TAKUMI_NODES names no directory of nodes (set it for the container)".to_string())?;
    Ok((nodes, user))
}

/// A node, and whether it is in quarantine.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    judged: Judged,
    quarantined: bool,
}

fn answer(nodes: &mut Nodes, user: Option<&Identity>, verb: Verb, json: bool) -> Result<String, Why> {
    let remembers = nodes.read_book();
    match verb {
        Verb::List | Verb::Show(_) => {
            let listed = list(nodes, user)?;
            let listed: Vec<Listed> = match verb {
                Verb::Show(name) => vec![find(listed, name)?],
                _ => listed,
            };
            if json {
                return Ok(serde_json::to_string(&listed).unwrap_or_default() + "\n");
            }
            Ok(match verb {
                Verb::Show(_) => shown(&listed),
                _ => table(&listed),
            })
        }
        Verb::Approve(name) => {
            remembers.map_err(|error| format!("nothing can be approved: {error}"))?;
            approve(nodes, user, name, json)
        }
        Verb::Revoke(name) => {
            remembers.map_err(|error| format!("nothing can be revoked: {error}"))?;
            let name = text(name);
            if !nodes.revoke(&name).map_err(|error| error.to_string())? {
                return Err(format!("{} is not approved (see init --nodes list)", Line(&name)).into());
            }
            Ok(done("revoked", &name, None, json))
        }
    }
}

fn list(nodes: &Nodes, user: Option<&Identity>) -> Result<Vec<Listed>, Why> {
    let each = |quarantined| move |judged| Listed { judged, quarantined };
    let mut all: Vec<Listed> = nodes.judged(user, false)?.into_iter().map(each(false)).collect();
    all.extend(nodes.judged(user, true)?.into_iter().map(each(true)));
    Ok(all)
}

fn find(listed: Vec<Listed>, name: &CStr) -> Result<Listed, Why> {
    let wanted = text(name);
    let found = listed.into_iter().find(|listed| listed.judged.name == wanted);
    found.ok_or_else(|| Why::Said(format!("{} is no node here (see init --nodes list)", Line(&wanted))))
}

fn approve(nodes: &mut Nodes, user: Option<&Identity>, name: &CStr, json: bool) -> Result<String, Why> {
    let name = text(name);
    let shown = Line(&name).to_string();
    for quarantined in [false, true] {
        let seen = nodes.seen(user, quarantined, Some(&name))?;
        let Some(seen) = seen.into_iter().find(|seen| seen.name == name) else { continue };
        let Some(digest) = seen.digest.clone() else {
            let why = seen.report.unscanned.join("; ");
            return Err(format!("{shown} cannot be approved, since not everything in it can be read: {why}").into());
        };
        nodes.approve(seen, clock::seconds_since_1970()).map_err(|error| error.to_string())?;
        if quarantined {
            back(nodes.directory(), &name, user)?;
        }
        return Ok(done("approved", &name, Some(digest), json));
    }
    Err(format!("{shown} is no node here (see init --nodes list)").into())
}

fn back(directory: &CStr, name: &str, user: Option<&Identity>) -> Result<(), Why> {
    let moved = quarantine::put(directory, &[name.to_string()], Way::Back, user);
    let answer = moved.map(|moved| moved.into_iter().next().map(|moved| moved.answer.map_err(Errno)));
    match answer {
        Ok(Some(Ok(_))) => Ok(()),
        Ok(Some(Err(errno))) | Err(errno) => {
            Err(format!("{} is approved, and stays in quarantine: {errno} (move it back by hand)", Line(name)).into())
        }
        Ok(None) => Err(format!("{} is approved, and stays in quarantine", Line(name)).into()),
    }
}

#[derive(Serialize)]
struct Done<'a> {
    name: &'a str,
    done: &'a str,
    digest: Option<String>,
}

fn done(what: &str, name: &str, digest: Option<String>, json: bool) -> String {
    if json {
        return serde_json::to_string(&Done { name, done: what, digest }).unwrap_or_default() + "\n";
    }
    let name = Line(name);
    match digest {
        Some(digest) => format!("{what}: {name}, sha256 {digest}\n"),
        None => format!("{what}: {name}\n"),
    }
}

/// As names are told: a person types what the list shows.
fn text(name: &CStr) -> String {
    name.to_string_lossy().into_owned()
}

fn shown(listed: &[Listed]) -> String {
    let mut text = String::new();
    for Listed { judged, quarantined } in listed {
        for line in message::of_node(judged, true) {
            text += &line;
            text.push('\n');
        }
        let [high, medium, low] = judged.report.severities;
        text +=
            &format!("  Bandit counts {high} high, {medium} medium, {low} low (its own rating, which is no verdict)\n");
        if let Some(digest) = &judged.digest {
            text += &format!("  sha256 {digest}\n");
        }
        if *quarantined {
            text += "  in quarantine: ComfyUI does not load it (init --nodes approve puts it back)\n";
        }
    }
    text
}

fn table(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no nodes are there\n".to_string();
    }
    let name = |listed: &Listed| Line(&listed.judged.name).to_string();
    let width = listed.iter().map(|listed| name(listed).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for each in listed {
        let mut words = vec![message::standing(each.judged.standing).to_string()];
        if each.quarantined {
            words.push("in quarantine".to_string());
        }
        let can: Vec<&str> = each.judged.report.can.iter().map(|can| can.ability.words()).collect();
        if !can.is_empty() && each.judged.standing != Standing::Approved {
            words.push(can.join("; "));
        }
        text += &format!("{:width$}  {}\n", name(each), words.join(", "));
    }
    text
}

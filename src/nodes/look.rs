//! The child that looks: as COMMAND's user, without a capability, shut in. What it says is all that comes back.

use super::message;
use super::scan::{Issue, Job, Outcome, Scanner};
use super::tree::{self, Kind, Tree};
use super::{Can, Place, Report, Seen, Severity, beside, overlay};
use crate::identity::Identity;
use crate::sys::{Errno, ProcessId, in_child, io, spawn};
use crate::text::Whole;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::ffi::{CStr, CString};
use std::time::Duration;

/// What is to be looked at, and by whom.
pub struct Wish<'a> {
    /// The nodes lie in there.
    pub directory: &'a CStr,
    /// Virtual environments of the nodes' packages.
    pub environments: &'a [CString],
    /// TAKUMI_SCAN_COMMAND.
    pub command: &'a [u8],
    /// Whom the child becomes; `None`: it stays who runs.
    pub user: Option<&'a Identity>,
    /// The process that asks.
    pub own: ProcessId,
    /// What is known of a digest already.
    pub known: &'a BTreeMap<String, Report>,
    /// Whose files are to be told one by one.
    pub tell_files: &'a dyn Fn(&str, Option<&str>) -> bool,
}

/// Why nothing is known of the nodes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs)] // each variant's line says what it is
pub enum Error {
    #[error("the nodes cannot be looked at: {0}")]
    Failed(String),
    #[error("looking at the nodes took longer than {0:?}")]
    Late(Duration),
    #[error("told to stop")]
    Stopped,
}

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// The least that one node's scan may take. Bandit needs about 5 s for a megabyte on a busy machine.
const SLOWEST_SCAN: Duration = Duration::from_secs(40);
/// Of the child's answer.
const MOST_BYTES: usize = 256 << 20;
/// Of places that are remembered for an ability; the rest is counted.
const MOST_PLACES: usize = 10;
/// Of what stands there, in characters.
const LONGEST_DETAIL: usize = 200;
/// Python source that the scanner reads.
const SOURCES: [&[u8]; 2] = [b".py", b".pyw"];

#[derive(Serialize, Deserialize)]
enum Answer {
    Failed(String),
    Seen(Vec<Seen>),
}

/// Looks. `stopped` is asked ten times a second.
pub fn look(wish: &Wish, stopped: &mut dyn FnMut() -> bool) -> Result<Vec<Seen>, Error> {
    let lock = crate::confine::for_reading(wish.own).map_err(|error| Error::Failed(error.to_string()))?;
    let mut was_stopped = false;
    let mut goes_on = || {
        was_stopped = stopped();
        !was_stopped
    };
    let answer = in_child::run_while(PATIENCE, MOST_BYTES, &mut goes_on, |child| {
        let answer = match enter(child, wish, &lock) {
            Ok(()) => Answer::Seen(see(wish)),
            Err(why) => Answer::Failed(why),
        };
        if let Ok(text) = serde_json::to_vec(&answer) {
            let _ = child.tell(&text);
        }
    });
    let answer = answer.map_err(|errno| Error::Failed(format!("no process for it: {errno}")))?;
    match serde_json::from_slice(&answer.bytes) {
        Ok(Answer::Seen(seen)) if !answer.late => Ok(seen),
        Ok(Answer::Failed(why)) => Err(Error::Failed(why)),
        _ if was_stopped => Err(Error::Stopped),
        _ if answer.late => Err(Error::Late(PATIENCE)),
        _ => Err(Error::Failed("the process that looks at them ended early (out of memory?)".to_string())),
    }
}

/// From here on it is COMMAND's user in a lock of its own.
fn enter(child: &in_child::Child, wish: &Wish, lock: &spawn::Lock) -> Result<(), String> {
    let whom = wish.user.map(|identity| &identity.ids);
    let cannot = |what: &str, errno: Errno| format!("cannot {what}: {errno}");
    crate::sys::credentials::set_no_new_privileges().map_err(|errno| cannot("give up new privileges", errno))?;
    child.become_whom(whom).map_err(|errno| cannot("become COMMAND's user", errno))?;
    child.keep_apart().map_err(|errno| cannot("keep apart", errno))?;
    spawn::put_on(lock, child.parent()).map_err(|(what, errno)| cannot(what, errno))
}

fn see(wish: &Wish) -> Vec<Seen> {
    let mut trees = Vec::new();
    let mut seen = Vec::new();
    match read_all(wish.directory) {
        Ok(found) => {
            for (name, read) in found {
                match read {
                    Ok(tree) => trees.push((tree, false)),
                    // One that comes and goes while somebody looks is no good sign either.
                    Err(errno) => seen.push(unread(
                        Whole(name.to_bytes()).to_string(),
                        format!("it cannot be read: {errno} (start again)"),
                    )),
                }
            }
        }
        // Of the first start: COMMAND makes it.
        Err(Errno(libc::ENOENT)) => {}
        Err(errno) => {
            seen.push(unread(Whole(wish.directory.to_bytes()).to_string(), format!("it cannot be listed: {errno}")));
        }
    }
    for environment in wish.environments {
        match overlay::read(environment) {
            Ok(tree) => trees.push((tree, true)),
            Err(Errno(libc::ENOENT)) => {}
            Err(errno) => {
                seen.push(unread(Whole(environment.to_bytes()).to_string(), format!("it cannot be read: {errno}")));
            }
        }
    }
    let mut found: Vec<Seen> = trees.iter().map(|(tree, _)| of_tree(tree, wish)).collect();
    let new: Vec<usize> = (0..trees.len()).filter(|&index| !is_known(&found[index], wish)).collect();
    let mut places: Vec<Vec<Place>> = new
        .iter()
        .map(|&index| match &trees[index] {
            (tree, true) => beside::look_at_environment(tree),
            (tree, false) => beside::look(tree),
        })
        .collect();
    let mut of = Vec::new();
    let mut jobs = Vec::new();
    for (slot, &index) in new.iter().enumerate() {
        let job = Job { tree: &trees[index].0, files: sources(&trees[index].0) };
        if !job.files.is_empty() {
            of.push(slot);
            jobs.push(job);
        }
    }
    for ((slot, job), outcome) in of.iter().zip(&jobs).zip(run(wish.command, &jobs)) {
        let report = &mut found[new[*slot]].report;
        match outcome {
            Err(why) => report.unscanned.push(why),
            Ok((issues, unread)) => {
                let unread = unread.into_iter().map(|(file, why)| format!("{}: {why}", shown_path(job.tree, file)));
                report.unscanned.extend(unread);
                take(report, &mut places[*slot], &issues, job.tree);
            }
        }
    }
    for (&index, places) in new.iter().zip(places) {
        found[index].report.can = can(places);
    }
    seen.extend(found);
    seen
}

fn unread(name: String, why: String) -> Seen {
    let report = Report { unscanned: vec![why], ..Report::default() };
    Seen { name, digest: None, files: BTreeMap::new(), report }
}

/// A node's name, and the node.
type Read = (CString, Result<Tree, Errno>);

/// Errors: of the directory alone.
fn read_all(directory: &CStr) -> Result<Vec<Read>, Errno> {
    let opened = io::open_path(directory)?;
    let names = tree::names(&opened)?.into_iter();
    Ok(names.map(|name| (name.clone(), tree::read(&opened, &name))).collect())
}

fn of_tree(tree: &Tree, wish: &Wish) -> Seen {
    let name = Whole(tree.name.to_bytes()).to_string();
    let digest = tree.digest.map(|digest| hexadecimal(&digest));
    let known = digest.as_ref().and_then(|digest| wish.known.get(digest)).cloned();
    let report = known.unwrap_or_else(|| Report { unscanned: tree.faults.clone(), ..Report::default() });
    let told = (wish.tell_files)(&name, digest.as_deref());
    let each = |(index, file): (usize, &tree::File)| (shown_path(tree, index), hexadecimal(&file.digest[..16]));
    let files = if told { tree.files.iter().enumerate().map(each).collect() } else { BTreeMap::new() };
    Seen { name, digest, files, report }
}

fn is_known(seen: &Seen, wish: &Wish) -> bool {
    seen.digest.as_ref().is_some_and(|digest| wish.known.contains_key(digest))
}

fn shown_path(tree: &Tree, index: usize) -> String {
    tree.files.get(index).map(|file| Whole(&file.path).to_string()).unwrap_or_default()
}

fn sources(tree: &Tree) -> Vec<usize> {
    let is_source = |file: &tree::File| {
        let name = file.path.to_ascii_lowercase();
        matches!(file.kind, Kind::Plain { .. }) && SOURCES.iter().any(|suffix| name.ends_with(suffix))
    };
    (0..tree.files.len()).filter(|&index| is_source(&tree.files[index])).collect()
}

fn run(command: &[u8], jobs: &[Job]) -> Vec<Outcome> {
    if jobs.is_empty() {
        return Vec::new();
    }
    match Scanner::find(command) {
        Ok(scanner) => scanner.run(jobs, SLOWEST_SCAN),
        Err(why) => jobs.iter().map(|_| Err(why.clone())).collect(),
    }
}

/// Adds what the scanner found to what was seen beside it.
fn take(report: &mut Report, places: &mut Vec<Place>, issues: &[Issue], tree: &Tree) {
    for issue in issues {
        report.severities[match issue.severity {
            Severity::High => 0,
            Severity::Medium => 1,
            Severity::Low => 2,
        }] += 1;
        if let Some(ability) = super::ability::of_test(&issue.test) {
            let file = shown_path(tree, issue.file);
            places.push(Place { ability, file, line: Some(issue.line), detail: None, severity: Some(issue.severity) });
        }
    }
}

/// By ability, each place once.
fn can(mut places: Vec<Place>) -> Vec<Can> {
    places.sort_by(|a, b| (a.ability, &a.file, a.line, &a.detail).cmp(&(b.ability, &b.file, b.line, &b.detail)));
    let mut all: Vec<Can> = Vec::new();
    let mut lines = HashSet::new();
    for place in places {
        if all.last().is_none_or(|last| last.ability != place.ability) {
            all.push(Can { ability: place.ability, count: 0, severity: None, places: Vec::new() });
            lines.clear();
        }
        let Some(last) = all.last_mut() else { continue };
        last.severity = last.severity.max(place.severity);
        if place.line.is_some() && !lines.insert((place.file.clone(), place.line)) {
            continue;
        }
        last.count += 1;
        if last.places.len() < MOST_PLACES {
            last.places.push(shown(&place));
        }
    }
    all
}

fn shown(place: &Place) -> String {
    let mut text = place.file.clone();
    if let Some(line) = place.line {
        text += &format!(":{line}");
    }
    match &place.detail {
        Some(detail) => format!("{text}: {}", message::cut(detail, LONGEST_DETAIL)),
        None => text,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::ability::Ability;
    use super::*;

    fn place(ability: Ability, file: &str, line: Option<u32>, severity: Option<Severity>) -> Place {
        Place { ability, file: file.into(), line, detail: None, severity }
    }

    #[test]
    fn a_place_that_two_have_seen_is_one_and_only_the_first_are_named() {
        let mut places = vec![
            place(Ability::RunsCommands, "a.py", Some(2), None),
            place(Ability::RunsCommands, "a.py", Some(2), Some(Severity::Low)),
            place(Ability::EvaluatesCode, "a.py", Some(2), Some(Severity::Medium)),
        ];
        places.extend((10..20).map(|line| place(Ability::RunsCommands, "a.py", Some(line), Some(Severity::High))));
        let all = can(places);
        let [evaluates, runs] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(
            (evaluates.ability, evaluates.count, evaluates.severity),
            (Ability::EvaluatesCode, 1, Some(Severity::Medium))
        );
        assert_eq!((runs.ability, runs.count, runs.severity), (Ability::RunsCommands, 11, Some(Severity::High)));
        assert_eq!((runs.places.len(), &runs.places[..2]), (10, &["a.py:2".to_string(), "a.py:10".to_string()][..]));
    }

    #[test]
    fn what_has_no_line_is_told_with_what_stands_there() {
        let mut two = vec![place(Ability::LeavesNode, "x", None, None), place(Ability::LeavesNode, "x", None, None)];
        two[0].detail = Some("/etc".into());
        two[1].detail = Some("../..".into());
        let all = can(two);
        assert_eq!((all[0].count, &all[0].places), (2, &vec!["x: ../..".to_string(), "x: /etc".to_string()]));
    }
}

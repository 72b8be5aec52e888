//! Every node read, digested and, where it is not known yet, checked and scanned.

use super::message;
use super::scan::{Issue, Job, Outcome, Scanner};
use super::tree::{self, Kind, Tree};
use super::{Can, Place, Report, Seen, Severity, beside, overlay};
use crate::sys::{Errno, io};
use crate::text::EscapedFull;
use std::collections::{BTreeMap, HashSet};
use std::ffi::{CStr, CString};
use std::time::Duration;

/// What is to be reviewed.
pub struct Request<'a> {
    /// The directory of nodes.
    pub directory: &'a CStr,
    /// Virtual environments of the nodes' packages.
    pub environments: &'a [CString],
    /// TAKUMI_SCAN_COMMAND.
    pub command: &'a [u8],
    /// What is known of a digest already.
    pub known: &'a BTreeMap<String, Report>,
    /// Whose files are listed one by one, by name and digest.
    pub lists_files: &'a dyn Fn(&str, Option<&str>) -> bool,
    /// Whether a signal asked for an end: the answer counts for nothing then.
    pub stopped: &'a dyn Fn() -> bool,
}

/// The least that one node's scan may take. Bandit needs about 5 s for a megabyte on a busy machine.
const SLOWEST_SCAN: Duration = Duration::from_secs(40);
/// Of places that are remembered for an ability; the rest is counted.
const MOST_PLACES: usize = 10;
/// Of what stands there, in characters.
const LONGEST_DETAIL: usize = 200;
/// Python source that the scanner reads.
const SOURCES: [&[u8]; 2] = [b".py", b".pyw"];

/// A tree, and what came of it so far.
struct Review {
    tree: Tree,
    is_environment: bool,
    seen: Seen,
}

/// Reviews all of it: nodes in the order of their names, then the environments, what could not be read first.
pub fn review(request: &Request) -> Vec<Seen> {
    let (trees, mut seen) = read_all(request);
    let reviews = trees.into_iter().map(|(tree, is_environment)| {
        let seen = digest(&tree, request);
        Review { tree, is_environment, seen }
    });
    let mut reviews: Vec<Review> = reviews.collect();
    let is_known = |review: &&mut Review| review.seen.digest.as_ref().is_some_and(|it| request.known.contains_key(it));
    let mut new: Vec<&mut Review> = reviews.iter_mut().filter(|review| !is_known(review)).collect();
    let jobs = new.iter().map(|review| Job { tree: &review.tree, files: sources(&review.tree) }).collect::<Vec<_>>();
    let outcomes = scan(request, &jobs);
    for (review, outcome) in new.iter_mut().zip(outcomes) {
        review.take(outcome);
    }
    seen.extend(reviews.into_iter().map(|review| review.seen));
    seen
}

/// One node that is not installed.
pub fn review_one(tree: Tree, command: &[u8], stopped: &dyn Fn() -> bool) -> Seen {
    let none = BTreeMap::new();
    let request =
        Request { directory: c"", environments: &[], command, known: &none, lists_files: &|_, _| false, stopped };
    let mut review = Review { seen: digest(&tree, &request), tree, is_environment: false };
    let jobs = [Job { tree: &review.tree, files: sources(&review.tree) }];
    if let Some(outcome) = scan(&request, &jobs).pop() {
        review.take(outcome);
    }
    review.seen
}

impl Review {
    /// Takes what the scanner said, and checks what it does not read.
    fn take(&mut self, outcome: Outcome) {
        let mut places = match self.is_environment {
            true => beside::look_at_environment(&self.tree),
            false => beside::look(&self.tree),
        };
        let report = &mut self.seen.report;
        match outcome {
            Err(why) => report.unscanned.push(why),
            Ok((issues, unread)) => {
                let path = |file| shown_path(&self.tree, file);
                report.unscanned.extend(unread.into_iter().map(|(file, why)| format!("{}: {why}", path(file))));
                issues.iter().for_each(|issue| count(report, &mut places, issue, &self.tree));
            }
        }
        report.can = can(places);
    }
}

/// Trees with whether each is an environment, and what could not be read.
fn read_all(request: &Request) -> (Vec<(Tree, bool)>, Vec<Seen>) {
    let mut trees = Vec::new();
    let mut unreadable = Vec::new();
    let directory = request.directory;
    match read_nodes(directory) {
        Ok(nodes) => {
            for (name, read) in nodes {
                match read {
                    Ok(tree) => trees.push((tree, false)),
                    // One that comes and goes while somebody looks is no good sign either.
                    Err(errno) => unreadable.push(unread(&name, format!("it cannot be read: {errno} (start again)"))),
                }
            }
        }
        // Of the first start: COMMAND makes it.
        Err(Errno(libc::ENOENT)) => {}
        Err(errno) => unreadable.push(unread(directory, format!("it cannot be listed: {errno}"))),
    }
    for environment in request.environments {
        match overlay::read(environment) {
            Ok(tree) => trees.push((tree, true)),
            Err(Errno(libc::ENOENT)) => {}
            Err(errno) => unreadable.push(unread(environment, format!("it cannot be read: {errno}"))),
        }
    }
    (trees, unreadable)
}

fn unread(name: &CStr, why: String) -> Seen {
    let report = Report { unscanned: vec![why], ..Report::default() };
    Seen { name: EscapedFull(name.to_bytes()).to_string(), digest: None, files: BTreeMap::new(), report }
}

/// A node's name, and the node.
type Read = (CString, Result<Tree, Errno>);

/// Errors: of the directory alone.
fn read_nodes(directory: &CStr) -> Result<Vec<Read>, Errno> {
    let opened = io::open_path(directory)?;
    let names = tree::names(&opened)?.into_iter();
    Ok(names.map(|name| (name.clone(), tree::read(&opened, &name))).collect())
}

fn digest(tree: &Tree, request: &Request) -> Seen {
    let name = EscapedFull(tree.name.to_bytes()).to_string();
    let digest = tree.digest.map(|digest| hexadecimal(&digest));
    let known = digest.as_ref().and_then(|digest| request.known.get(digest)).cloned();
    let report = known.unwrap_or_else(|| Report { unscanned: tree.faults.clone(), ..Report::default() });
    let each = |(index, file): (usize, &tree::File)| (shown_path(tree, index), hexadecimal(&file.digest[..16]));
    let files = match (request.lists_files)(&name, digest.as_deref()) {
        true => tree.files.iter().enumerate().map(each).collect(),
        false => BTreeMap::new(),
    };
    Seen { name, digest, files, report }
}

fn shown_path(tree: &Tree, index: usize) -> String {
    tree.files.get(index).map(|file| EscapedFull(&file.path).to_string()).unwrap_or_default()
}

fn sources(tree: &Tree) -> Vec<usize> {
    let is_source = |file: &tree::File| {
        let name = file.path.to_ascii_lowercase();
        matches!(file.kind, Kind::Plain { .. }) && SOURCES.iter().any(|suffix| name.ends_with(suffix))
    };
    (0..tree.files.len()).filter(|&index| is_source(&tree.files[index])).collect()
}

/// In the order of the jobs. A node without Python needs no scanner.
fn scan(request: &Request, jobs: &[Job]) -> Vec<Outcome> {
    if jobs.iter().all(|job| job.files.is_empty()) {
        return jobs.iter().map(|_| Ok(Default::default())).collect();
    }
    match Scanner::find(request.command) {
        Ok(scanner) => scanner.run(jobs, SLOWEST_SCAN, request.stopped),
        Err(why) => {
            let unscanned = |job: &Job| if job.files.is_empty() { Ok(Default::default()) } else { Err(why.clone()) };
            jobs.iter().map(unscanned).collect()
        }
    }
}

/// Adds what the scanner found to what was found beside it.
fn count(report: &mut Report, places: &mut Vec<Place>, issue: &Issue, tree: &Tree) {
    match issue.severity {
        Some(Severity::High) => report.severities[0] += 1,
        Some(Severity::Medium) => report.severities[1] += 1,
        Some(Severity::Low) => report.severities[2] += 1,
        None => {}
    }
    if let Some(ability) = issue.ability {
        let (file, detail) = (shown_path(tree, issue.file), issue.detail.clone());
        places.push(Place { ability, file, line: Some(issue.line), detail, severity: issue.severity });
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

//! Every node read, digested and, where it is not known yet, checked and scanned.

use super::message;
use super::scan::{Issue, ScanJob, ScanOutcome, Scanner};
use super::tree::{self, FileKind, Tree};
use super::{BehaviourSummary, NodeReport, Occurrence, ScanResult, Severity, static_checks, virtual_env};
use crate::sys::{Errno, io};
use crate::text::EscapedFull;
use std::collections::{BTreeMap, HashSet};
use std::ffi::{CStr, CString};
use std::time::Duration;

/// What is to be reviewed.
pub struct ReviewRequest<'a> {
    /// The directory of nodes.
    pub directory: &'a CStr,
    /// Virtual environments of the nodes' packages.
    pub environments: &'a [CString],
    pub command: &'a [u8],
    /// What is known of a digest already.
    pub known: &'a BTreeMap<String, NodeReport>,
    /// Whose files are listed one by one, by name and digest.
    pub lists_files: &'a dyn Fn(&str, Option<&str>) -> bool,
    /// Whether a signal asked for an end: the answer counts for nothing then.
    pub stopped: &'a dyn Fn() -> bool,
}

/// The least that one node's scan may take. Bandit needs about 5 s for a megabyte on a busy machine.
const MIN_SCAN_TIMEOUT: Duration = Duration::from_secs(40);
/// Of places that are remembered for a behaviour; the rest is counted.
const MAX_PLACES: usize = 10;
/// Of what stands there, in characters.
const MAX_DETAIL_CHARS: usize = 200;
/// Python source that the scanner reads.
const SOURCE_SUFFIXES: [&[u8]; 2] = [b".py", b".pyw"];

/// A tree, and what came of it so far.
struct Review {
    tree: Tree,
    is_environment: bool,
    result: ScanResult,
}

/// Reviews all of it: nodes in the order of their names, then the environments, what could not be read first.
pub fn review_all(request: &ReviewRequest) -> Vec<ScanResult> {
    let (trees, mut results) = read_trees(request);
    let reviews = trees.into_iter().map(|(tree, is_environment)| {
        let result = initial_result(&tree, request);
        Review { tree, is_environment, result }
    });
    let mut reviews: Vec<Review> = reviews.collect();
    let is_known =
        |review: &&mut Review| review.result.digest.as_ref().is_some_and(|it| request.known.contains_key(it));
    let mut new: Vec<&mut Review> = reviews.iter_mut().filter(|review| !is_known(review)).collect();
    let jobs =
        new.iter().map(|review| ScanJob { tree: &review.tree, files: source_files(&review.tree) }).collect::<Vec<_>>();
    let outcomes = run_scanner(request, &jobs);
    for (review, outcome) in new.iter_mut().zip(outcomes) {
        review.add_outcome(outcome);
    }
    results.extend(reviews.into_iter().map(|review| review.result));
    results
}

/// One node that is not installed.
pub fn review_one(tree: Tree, command: &[u8], stopped: &dyn Fn() -> bool) -> ScanResult {
    let none = BTreeMap::new();
    let request =
        ReviewRequest { directory: c"", environments: &[], command, known: &none, lists_files: &|_, _| false, stopped };
    let mut review = Review { result: initial_result(&tree, &request), tree, is_environment: false };
    let jobs = [ScanJob { tree: &review.tree, files: source_files(&review.tree) }];
    if let Some(outcome) = run_scanner(&request, &jobs).pop() {
        review.add_outcome(outcome);
    }
    review.result
}

impl Review {
    /// Takes what the scanner said, and checks what it does not read.
    fn add_outcome(&mut self, outcome: ScanOutcome) {
        let mut places = match self.is_environment {
            true => static_checks::check_environment(&self.tree),
            false => static_checks::check_node(&self.tree),
        };
        let report = &mut self.result.report;
        match outcome {
            Err(why) => report.unscanned.push(why),
            Ok((issues, unread)) => {
                let path = |file| escaped_path(&self.tree, file);
                report.unscanned.extend(unread.into_iter().map(|(file, why)| format!("{}: {why}", path(file))));
                issues.iter().for_each(|issue| add_issue(report, &mut places, issue, &self.tree));
            }
        }
        report.behaviours = summarise(places);
    }
}

/// Trees with whether each is an environment, and what could not be read.
fn read_trees(request: &ReviewRequest) -> (Vec<(Tree, bool)>, Vec<ScanResult>) {
    let mut trees = Vec::new();
    let mut unreadable = Vec::new();
    let directory = request.directory;
    match read_nodes(directory) {
        Ok(nodes) => {
            for (name, read) in nodes {
                match read {
                    Ok(tree) => trees.push((tree, false)),
                    // One that comes and goes while somebody looks is no good sign either.
                    Err(errno) => {
                        unreadable.push(unreadable_result(&name, format!("it cannot be read: {errno} (start again)")))
                    }
                }
            }
        }
        // Of the first start: COMMAND makes it.
        Err(Errno(libc::ENOENT)) => {}
        Err(errno) => unreadable.push(unreadable_result(directory, format!("it cannot be listed: {errno}"))),
    }
    for environment in request.environments {
        match virtual_env::read_tree(environment) {
            Ok(tree) => trees.push((tree, true)),
            Err(Errno(libc::ENOENT)) => {}
            Err(errno) => unreadable.push(unreadable_result(environment, format!("it cannot be read: {errno}"))),
        }
    }
    (trees, unreadable)
}

fn unreadable_result(name: &CStr, why: String) -> ScanResult {
    let report = NodeReport { unscanned: vec![why], ..NodeReport::default() };
    ScanResult { name: EscapedFull(name.to_bytes()).to_string(), digest: None, files: BTreeMap::new(), report }
}

/// A node's name, and the node.
type NamedTree = (CString, Result<Tree, Errno>);

/// Errors: of the directory alone.
fn read_nodes(directory: &CStr) -> Result<Vec<NamedTree>, Errno> {
    let opened = io::open_path(directory)?;
    let names = tree::list_nodes(&opened)?.into_iter();
    Ok(names.map(|name| (name.clone(), tree::read_node(&opened, &name))).collect())
}

fn initial_result(tree: &Tree, request: &ReviewRequest) -> ScanResult {
    let name = EscapedFull(tree.name.to_bytes()).to_string();
    let digest = tree.digest.map(|digest| hexadecimal(&digest));
    let known = digest.as_ref().and_then(|digest| request.known.get(digest)).cloned();
    let report = known.unwrap_or_else(|| NodeReport { unscanned: tree.faults.clone(), ..NodeReport::default() });
    let each = |(index, file): (usize, &tree::File)| (escaped_path(tree, index), hexadecimal(&file.digest[..16]));
    let files = match (request.lists_files)(&name, digest.as_deref()) {
        true => tree.files.iter().enumerate().map(each).collect(),
        false => BTreeMap::new(),
    };
    ScanResult { name, digest, files, report }
}

fn escaped_path(tree: &Tree, index: usize) -> String {
    tree.files.get(index).map(|file| EscapedFull(&file.path).to_string()).unwrap_or_default()
}

fn source_files(tree: &Tree) -> Vec<usize> {
    let is_source = |file: &tree::File| {
        let name = file.path.to_ascii_lowercase();
        matches!(file.kind, FileKind::Plain { .. }) && SOURCE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
    };
    (0..tree.files.len()).filter(|&index| is_source(&tree.files[index])).collect()
}

/// In the order of the jobs. A node without Python needs no scanner.
fn run_scanner(request: &ReviewRequest, jobs: &[ScanJob]) -> Vec<ScanOutcome> {
    if jobs.iter().all(|job| job.files.is_empty()) {
        return jobs.iter().map(|_| Ok(Default::default())).collect();
    }
    match Scanner::find(request.command) {
        Ok(scanner) => scanner.run(jobs, MIN_SCAN_TIMEOUT, request.stopped),
        Err(why) => {
            let unscanned =
                |job: &ScanJob| if job.files.is_empty() { Ok(Default::default()) } else { Err(why.clone()) };
            jobs.iter().map(unscanned).collect()
        }
    }
}

/// Adds an issue of the scanner to what the static checks found.
fn add_issue(report: &mut NodeReport, places: &mut Vec<Occurrence>, issue: &Issue, tree: &Tree) {
    match issue.severity {
        Some(Severity::High) => report.severities[0] += 1,
        Some(Severity::Medium) => report.severities[1] += 1,
        Some(Severity::Low) => report.severities[2] += 1,
        None => {}
    }
    if let Some(behaviour) = issue.behaviour {
        let (file, detail) = (escaped_path(tree, issue.file), issue.detail.clone());
        places.push(Occurrence { behaviour, file, line: Some(issue.line), detail, severity: issue.severity });
    }
}

/// By behaviour, each place once.
fn summarise(mut places: Vec<Occurrence>) -> Vec<BehaviourSummary> {
    places.sort_by(|a, b| (a.behaviour, &a.file, a.line, &a.detail).cmp(&(b.behaviour, &b.file, b.line, &b.detail)));
    let mut all: Vec<BehaviourSummary> = Vec::new();
    let mut lines = HashSet::new();
    for place in places {
        if all.last().is_none_or(|last| last.behaviour != place.behaviour) {
            all.push(BehaviourSummary { behaviour: place.behaviour, count: 0, severity: None, places: Vec::new() });
            lines.clear();
        }
        let Some(last) = all.last_mut() else { continue };
        last.severity = last.severity.max(place.severity);
        if place.line.is_some() && !lines.insert((place.file.clone(), place.line)) {
            continue;
        }
        last.count += 1;
        if last.places.len() < MAX_PLACES {
            last.places.push(format_occurrence(&place));
        }
    }
    all
}

fn format_occurrence(place: &Occurrence) -> String {
    let mut text = place.file.clone();
    if let Some(line) = place.line {
        text += &format!(":{line}");
    }
    match &place.detail {
        Some(detail) => format!("{text}: {}", message::truncate(detail, MAX_DETAIL_CHARS)),
        None => text,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::behaviour::Behaviour;
    use super::*;

    fn place(behaviour: Behaviour, file: &str, line: Option<u32>, severity: Option<Severity>) -> Occurrence {
        Occurrence { behaviour, file: file.into(), line, detail: None, severity }
    }

    #[test]
    fn a_place_that_two_have_seen_is_one_and_only_the_first_are_named() {
        let mut places = vec![
            place(Behaviour::RunsCommands, "a.py", Some(2), None),
            place(Behaviour::RunsCommands, "a.py", Some(2), Some(Severity::Low)),
            place(Behaviour::EvaluatesCode, "a.py", Some(2), Some(Severity::Medium)),
        ];
        places.extend((10..20).map(|line| place(Behaviour::RunsCommands, "a.py", Some(line), Some(Severity::High))));
        let all = summarise(places);
        let [evaluates, runs] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(
            (evaluates.behaviour, evaluates.count, evaluates.severity),
            (Behaviour::EvaluatesCode, 1, Some(Severity::Medium))
        );
        assert_eq!((runs.behaviour, runs.count, runs.severity), (Behaviour::RunsCommands, 11, Some(Severity::High)));
        assert_eq!((runs.places.len(), &runs.places[..2]), (10, &["a.py:2".to_string(), "a.py:10".to_string()][..]));
    }

    #[test]
    fn what_has_no_line_is_told_with_what_stands_there() {
        let mut two =
            vec![place(Behaviour::LeavesNode, "x", None, None), place(Behaviour::LeavesNode, "x", None, None)];
        two[0].detail = Some("/etc".into());
        two[1].detail = Some("../..".into());
        let all = summarise(two);
        assert_eq!((all[0].count, &all[0].places), (2, &vec!["x: ../..".to_string(), "x: /etc".to_string()]));
    }
}

//! The scanner: Bandit, or a program with its options and JSON, run where what it scans cannot steer it.
//!
//! It is found by a path that COMMAND has no hand in ([`locate`]), is given each file by its name, so that no directory
//! is searched for settings, and must account for every one of them ([`bandit_output`]), as must our own rules in it
//! (image/bandit): a file that one of the two is silent about was not scanned.

mod bandit_output;
mod locate;
mod process;
mod run;
#[cfg(test)]
mod tests;

use super::Severity;
use super::behaviour::Behaviour;
use super::tree::Tree;
use crate::machine::trust::Trust;
use std::ffi::CString;
use std::time::Duration;

/// A scanner that was found and that COMMAND's user cannot change.
#[derive(Clone, Debug)]
pub struct Scanner {
    program: CString,
    /// What stands before its options: its own name, and where that is a Python the script's path.
    arguments: Vec<CString>,
}

/// What it is to look at: the Python files of one node.
#[derive(Debug)]
pub struct ScanJob<'a> {
    /// The node.
    pub tree: &'a Tree,
    /// Indices of its Python files in `tree.files`.
    pub files: Vec<usize>,
}

/// Something that it found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Issue {
    /// Index in the node's files.
    pub file: usize,
    /// Its line.
    pub line: u32,
    /// As `B605`; `T100` for a place that our own rules found.
    pub test_id: String,
    /// As it was rated; ours rate nothing.
    pub severity: Option<Severity>,
    /// What it tells of the node; none for style.
    pub behaviour: Option<Behaviour>,
    /// What stands there, where that says more than its line.
    pub detail: Option<String>,
}

/// What came of a job: what it found and which files it could not parse (index and reason), or why it is no answer.
pub type ScanOutcome = Result<(Vec<Issue>, Vec<(usize, String)>), String>;

impl Scanner {
    /// TAKUMI_SCAN_COMMAND. Errors: a sentence with what to do.
    pub fn find(command: &[u8]) -> Result<Scanner, String> {
        locate::locate(command, Trust::RootOwned)
    }

    /// The same without asking who could have changed it: for tests, whose files are their own.
    #[doc(hidden)]
    pub fn find_anywhere(command: &[u8]) -> Result<Scanner, String> {
        locate::locate(command, Trust::Any)
    }

    /// Runs it over each node, as many at once as there are cores; the answers are in the order of the jobs. `slowest`:
    /// the least time that one has before it is taken for hung. It ends early, and its answer counts for nothing, when
    /// `stopped` says so.
    pub fn run(&self, jobs: &[ScanJob], slowest: Duration, stopped: &dyn Fn() -> bool) -> Vec<ScanOutcome> {
        run::run_jobs(self, jobs, slowest, stopped)
    }
}

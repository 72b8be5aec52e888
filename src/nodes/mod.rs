//! Custom nodes: what is new or changed in them is looked at before COMMAND may load it.
//!
//! `takumi-nodes`, a program of its own, walks the nodes, digests every byte and runs the scanner over what is not known yet. `init`
//! executes it as COMMAND's user, without a capability and shut in, and knows its [`response`] alone; what was approved is remembered
//! by digest, where only container root can write. Nothing is judged by a name, a date or a scanner's severity.

pub mod approvals;
pub mod behaviour;
mod denylist;
pub mod message;
pub mod program;
pub mod quarantine;
pub mod response;
pub mod review;
pub mod scan;
pub mod static_checks;
pub mod tree;
pub mod verbs;
pub mod verdict;
pub mod virtual_env;

use behaviour::Behaviour;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a scan found in one node. Names and paths are escaped as [`crate::text::Escaped`] does it.

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScanResult {
    /// Its entry in TAKUMI_NODES.
    pub name: String,
    /// SHA-256 of all its names, kinds and contents, in hexadecimal digits; none where not everything could be read.
    pub digest: Option<String>,
    /// Each file with the first 32 digits of its own SHA-256; told only when it was asked for.
    pub files: BTreeMap<String, String>,
    pub report: NodeReport,
}

/// What was found in a node: the same for the same digest.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeReport {
    /// What it can do, the worst first.
    #[serde(rename = "can")]
    pub behaviours: Vec<BehaviourSummary>,
    /// How many issues of each severity the scanner counted: high, medium, low.
    pub severities: [u32; 3],
    /// Why something in it was not scanned; empty: everything was.
    pub unscanned: Vec<String>,
}

/// One thing that a node can do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BehaviourSummary {
    #[serde(rename = "ability")]
    pub behaviour: Behaviour,
    /// In how many places.
    pub count: u32,
    /// The highest that the scanner gave to one of them; none where it saw none of them.
    pub severity: Option<Severity>,
    /// The first of them: `file:line`, or `file: what stands there`.
    pub places: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    Low,
    Medium,
    High,
}

/// One place where a node does something: found by the scanner, or by the static checks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Occurrence {
    pub behaviour: Behaviour,
    /// Relative to the node, escaped.
    pub file: String,
    /// Where in it; none for a matter of the whole file.
    pub line: Option<u32>,
    /// What stands there, where that says more than its line: a requirement, a link's target; at most some words.
    pub detail: Option<String>,
    /// The scanner's, where it saw it.
    pub severity: Option<Severity>,
}

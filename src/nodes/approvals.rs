//! What was approved and what is known, by content digest: what `init` keeps, and does not read.

use super::behaviour::Behaviour;
use super::{NodeReport, ScanResult};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A node that a person approved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Approval {
    /// Of everything in it.
    pub digest: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Each file with its digest, so that a change can be named.
    pub files: BTreeMap<String, String>,
    /// What it could do.
    pub report: NodeReport,
}

/// What people approved. Only their word changes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Approvals {
    version: u32,
    /// By the node's name.
    pub approved: BTreeMap<String, Approval>,
}

/// What is known of a digest: of nodes in which all was scanned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReportCache {
    /// Who made them: this program and its scanner. Another one starts anew.
    by: String,
    reports: BTreeMap<String, NodeReport>,
}

impl Default for Approvals {
    fn default() -> Self {
        Approvals { version: VERSION, approved: BTreeMap::new() }
    }
}

const VERSION: u32 = 1;

impl Approvals {
    /// As they were kept; none of nothing. Nothing where it is no list of approvals.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() {
            return Some(Approvals::default());
        }
        serde_json::from_slice(text).ok().filter(|approvals: &Approvals| approvals.version == VERSION)
    }

    /// Remembers that a person approved it as it is. The digest must be there.
    pub fn approve(&mut self, result: ScanResult, at: u64) -> Option<()> {
        let ScanResult { name, digest, files, report } = result;
        self.approved.insert(name, Approval { digest: digest?, at, files, report });
        Some(())
    }
}

impl Approval {
    /// What it could do.
    pub fn behaviours(&self) -> impl Iterator<Item = Behaviour> {
        self.report.behaviours.iter().map(|can| can.behaviour)
    }
}

impl ReportCache {
    /// As they were kept by this program with that scanner; none of another's.
    pub fn parse(text: &[u8], command: &[u8]) -> Self {
        let by = format!("takumi-nodes {} {}", env!("CARGO_PKG_VERSION"), String::from_utf8_lossy(command));
        let kept = serde_json::from_slice(text).ok().filter(|kept: &ReportCache| kept.by == by);
        kept.unwrap_or(ReportCache { by, reports: BTreeMap::new() })
    }

    /// What is known of each digest: approved or scanned.
    pub fn by_digest(&self, approvals: &Approvals) -> BTreeMap<String, NodeReport> {
        let approved = approvals.approved.values().map(|approval| (approval.digest.clone(), approval.report.clone()));
        self.reports.clone().into_iter().chain(approved).collect()
    }

    /// The same of what was seen now: what is not there any more is forgotten.
    pub fn updated_with(&self, results: &[ScanResult]) -> Self {
        let whole = results.iter().filter(|result| result.report.unscanned.is_empty());
        let reports = whole.filter_map(|result| Some((result.digest.clone()?, result.report.clone()))).collect();
        ReportCache { by: self.by.clone(), reports }
    }
}

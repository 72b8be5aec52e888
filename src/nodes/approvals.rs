//! What was approved and what is known, by content digest: what `init` keeps, and does not read.

use super::ability::Ability;
use super::{Report, Seen};
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
    pub report: Report,
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
pub struct Reports {
    /// Who made them: this program and its scanner. Another one starts anew.
    by: String,
    reports: BTreeMap<String, Report>,
}

impl Default for Approvals {
    fn default() -> Self {
        Approvals { version: VERSION, approved: BTreeMap::new() }
    }
}

const VERSION: u32 = 1;

impl Approvals {
    /// As they were kept; none of nothing. Nothing where it is no list of approvals.
    pub fn read(text: &[u8]) -> Option<Self> {
        if text.is_empty() {
            return Some(Approvals::default());
        }
        serde_json::from_slice(text).ok().filter(|approvals: &Approvals| approvals.version == VERSION)
    }

    /// Remembers that a person approved it as it is. The digest must be there.
    pub fn approve(&mut self, seen: Seen, at: u64) -> Option<()> {
        let Seen { name, digest, files, report } = seen;
        self.approved.insert(name, Approval { digest: digest?, at, files, report });
        Some(())
    }
}

impl Approval {
    /// What it could do.
    pub fn abilities(&self) -> impl Iterator<Item = Ability> {
        self.report.can.iter().map(|can| can.ability)
    }
}

impl Reports {
    /// As they were kept by this program with that scanner; none of another's.
    pub fn read(text: &[u8], command: &[u8]) -> Self {
        let by = format!("takumi-nodes {} {}", env!("CARGO_PKG_VERSION"), String::from_utf8_lossy(command));
        let kept = serde_json::from_slice(text).ok().filter(|kept: &Reports| kept.by == by);
        kept.unwrap_or(Reports { by, reports: BTreeMap::new() })
    }

    /// What is known of each digest: approved or scanned.
    pub fn known(&self, approvals: &Approvals) -> BTreeMap<String, Report> {
        let approved = approvals.approved.values().map(|approval| (approval.digest.clone(), approval.report.clone()));
        self.reports.clone().into_iter().chain(approved).collect()
    }

    /// The same of what was seen now: what is not there any more is forgotten.
    pub fn renewed(&self, seen: &[Seen]) -> Self {
        let whole = seen.iter().filter(|seen| seen.report.unscanned.is_empty());
        let reports = whole.filter_map(|seen| Some((seen.digest.clone()?, seen.report.clone()))).collect();
        Reports { by: self.by.clone(), reports }
    }
}

//! Compares what a scan found with what was approved. Pure.

use super::approvals::Approval;
use super::behaviour::Behaviour;
use super::response::ScanVerdict;
use super::{NodeReport, ScanResult};
use crate::text::List;
use serde::Serialize;
use std::collections::BTreeMap;

/// Whether a node needs a review, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewStatus {
    /// A person approved it as it is.
    Approved,
    /// All of it was scanned, and nothing was found that a person must know.
    NothingFound,
    /// It was approved once, and is not what it was.
    Changed,
    /// Something in it was not scanned.
    Unscanned,
    /// Nobody approved what it can do.
    New,
}

/// A node, and whether it needs a review.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NodeVerdict {
    pub name: String,
    #[serde(rename = "standing")]
    pub status: ReviewStatus,
    /// Of everything in it.
    pub digest: Option<String>,
    /// What came of looking at it.
    #[serde(flatten)]
    pub report: NodeReport,
    /// What is different from what was approved.
    pub changes: Option<Changes>,
}

/// What is different from what was approved. Paths are escaped.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Changes {
    /// Files that were not there.
    pub added: Vec<String>,
    /// Files that are not there any more.
    pub removed: Vec<String>,
    /// Files with another content, or of another kind.
    pub altered: Vec<String>,
    /// What it could not do.
    #[serde(rename = "abilities")]
    pub behaviours: Vec<Behaviour>,
}

impl NodeVerdict {
    /// Whether a person has to look at it.
    pub fn needs_review(&self) -> bool {
        !matches!(self.status, ReviewStatus::Approved | ReviewStatus::NothingFound)
    }
}

pub fn compare_with_approvals(results: &[ScanResult], approved: &BTreeMap<String, Approval>) -> Vec<NodeVerdict> {
    results.iter().map(|result| node_verdict(result, approved.get(&result.name))).collect()
}

fn node_verdict(result: &ScanResult, approval: Option<&Approval>) -> NodeVerdict {
    let same = approval.is_some_and(|approval| result.digest.as_ref() == Some(&approval.digest));
    let status = match approval {
        _ if same => ReviewStatus::Approved,
        Some(_) => ReviewStatus::Changed,
        None if !result.report.unscanned.is_empty() || result.digest.is_none() => ReviewStatus::Unscanned,
        None if result.report.behaviours.is_empty() => ReviewStatus::NothingFound,
        None => ReviewStatus::New,
    };
    let changes = approval.filter(|_| !same).map(|approval| changes_since_approval(result, approval));
    let (name, digest, report) = (result.name.clone(), result.digest.clone(), result.report.clone());
    NodeVerdict { name, status, digest, report, changes }
}

fn changes_since_approval(result: &ScanResult, approval: &Approval) -> Changes {
    let (old, new) = (&approval.files, &result.files);
    Changes {
        added: new.keys().filter(|path| !old.contains_key(*path)).cloned().collect(),
        removed: old.keys().filter(|path| !new.contains_key(*path)).cloned().collect(),
        altered: new
            .iter()
            .filter(|(path, digest)| old.get(*path).is_some_and(|before| before != *digest))
            .map(|(path, _)| path.clone())
            .collect(),
        behaviours: result
            .report
            .behaviours
            .iter()
            .map(|summary| summary.behaviour)
            .filter(|behaviour| !approval.behaviours().any(|before| before == *behaviour))
            .collect(),
    }
}

/// `node-scan`. `aside`: who is moved where it is not loaded.
pub fn scan_verdict(verdicts: &[NodeVerdict], aside: &[String]) -> ScanVerdict {
    let open: Vec<&NodeVerdict> =
        verdicts.iter().filter(|verdict| verdict.needs_review() && !aside.contains(&verdict.name)).collect();
    let count = |status| verdicts.iter().filter(|verdict| verdict.status == status).count();
    let mut detail = match verdicts.len() {
        0 => "no nodes found".to_string(),
        all => format!(
            "{all} scanned: {} approved, {} with nothing found",
            count(ReviewStatus::Approved),
            count(ReviewStatus::NothingFound)
        ),
    };
    if !aside.is_empty() {
        detail += &format!(", {} moved aside ({})", aside.len(), List(aside));
    }
    if open.is_empty() {
        return ScanVerdict { passed: true, detail };
    }
    let names: Vec<&str> = open.iter().take(MAX_NAMES).map(|verdict| verdict.name.as_str()).collect();
    let more = open.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    ScanVerdict { passed: false, detail: format!("not approved: {}{more} ({detail})", List(&names)) }
}

/// Of nodes that a verdict names.
const MAX_NAMES: usize = 8;

#[cfg(test)]
mod tests;

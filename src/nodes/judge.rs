//! What follows from what was seen and what was approved. Pure.

use super::ability::Ability;
use super::answer::Verdict;
use super::approvals::Approval;
use super::{Report, Seen};
use crate::text::List;
use serde::Serialize;
use std::collections::BTreeMap;

/// How a node stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
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

/// A node and how it stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Judged {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// Of everything in it.
    pub digest: Option<String>,
    /// What came of looking at it.
    #[serde(flatten)]
    pub report: Report,
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
    pub abilities: Vec<Ability>,
}

impl Judged {
    /// Whether a person has to look at it.
    pub fn is_open(&self) -> bool {
        !matches!(self.standing, Standing::Approved | Standing::NothingFound)
    }
}

/// Judges each.
pub fn judge(seen: &[Seen], approved: &BTreeMap<String, Approval>) -> Vec<Judged> {
    seen.iter().map(|seen| one(seen, approved.get(&seen.name))).collect()
}

fn one(seen: &Seen, approval: Option<&Approval>) -> Judged {
    let same = approval.is_some_and(|approval| seen.digest.as_ref() == Some(&approval.digest));
    let standing = match approval {
        _ if same => Standing::Approved,
        Some(_) => Standing::Changed,
        None if !seen.report.unscanned.is_empty() || seen.digest.is_none() => Standing::Unscanned,
        None if seen.report.can.is_empty() => Standing::NothingFound,
        None => Standing::New,
    };
    let changes = approval.filter(|_| !same).map(|approval| changes(seen, approval));
    let (name, digest, report) = (seen.name.clone(), seen.digest.clone(), seen.report.clone());
    Judged { name, standing, digest, report, changes }
}

fn changes(seen: &Seen, approval: &Approval) -> Changes {
    let (old, new) = (&approval.files, &seen.files);
    Changes {
        added: new.keys().filter(|path| !old.contains_key(*path)).cloned().collect(),
        removed: old.keys().filter(|path| !new.contains_key(*path)).cloned().collect(),
        altered: new
            .iter()
            .filter(|(path, digest)| old.get(*path).is_some_and(|before| before != *digest))
            .map(|(path, _)| path.clone())
            .collect(),
        abilities: seen
            .report
            .can
            .iter()
            .map(|can| can.ability)
            .filter(|ability| !approval.abilities().any(|before| before == *ability))
            .collect(),
    }
}

/// `node-scan`. `aside`: who is moved where it is not loaded.
pub fn verdict(judged: &[Judged], aside: &[String]) -> Verdict {
    let open: Vec<&Judged> = judged.iter().filter(|judged| judged.is_open() && !aside.contains(&judged.name)).collect();
    let count = |standing| judged.iter().filter(|judged| judged.standing == standing).count();
    let mut detail = match judged.len() {
        0 => "no nodes found".to_string(),
        all => format!(
            "{all} scanned: {} approved, {} with nothing found",
            count(Standing::Approved),
            count(Standing::NothingFound)
        ),
    };
    if !aside.is_empty() {
        detail += &format!(", {} moved aside ({})", aside.len(), List(aside));
    }
    if open.is_empty() {
        return Verdict { passed: true, detail };
    }
    let names: Vec<&str> = open.iter().take(MOST_NAMES).map(|judged| judged.name.as_str()).collect();
    let more = open.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Verdict { passed: false, detail: format!("not approved: {}{more} ({detail})", List(&names)) }
}

/// Of nodes that a verdict names.
const MOST_NAMES: usize = 8;

#[cfg(test)]
mod tests;

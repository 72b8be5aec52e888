//! What a person reads.

use super::verdict::{Changes, NodeVerdict, ReviewStatus};
use super::{BehaviourSummary, Severity};
use crate::text::{List, SingleLine};

/// The line that people know.
pub const HEADLINE: &str = "⚠️ Security risks detected by Bandit!";
/// Of nodes, files and reasons that are told in one go; `init --nodes list` and `show` have the rest.
const MAX_NODES: usize = 10;
const MAX_FILES: usize = 4;
const MAX_REASONS: usize = 3;
const MAX_PLACES: usize = 3;
const MAX_PLACE_CHARS: usize = 60;

/// What stands somewhere, cut to so many characters.
pub fn truncate(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// The warning: nothing where no node is open.
pub fn warning(verdicts: &[NodeVerdict]) -> Vec<String> {
    let open: Vec<&NodeVerdict> = verdicts.iter().filter(|verdict| verdict.needs_review()).collect();
    if open.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("WARN: {HEADLINE}")];
    for verdict in open.iter().take(MAX_NODES) {
        lines.extend(node_lines(verdict, false).into_iter().map(|line| format!("  {line}")));
    }
    if open.len() > MAX_NODES {
        lines.push(format!("  and {} more (init --nodes list)", open.len() - MAX_NODES));
    }
    lines.push(
        "  Review required: `init --nodes show NAME` in the container. If you trust it: `init --nodes approve NAME`. If not, remove it"
            .to_string(),
    );
    lines
}

/// A node as it stands; `whole`: with every file and reason.
pub fn node_lines(verdict: &NodeVerdict, whole: bool) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", SingleLine(&verdict.name), status_text(verdict.status))];
    let most = |count: usize| if whole { usize::MAX } else { count };
    if let Some(changes) = &verdict.changes {
        lines.extend(change_lines(changes, most(MAX_FILES)));
    }
    for summary in &verdict.report.behaviours {
        match whole {
            true => lines.extend(behaviour_lines(summary)),
            false => lines.push(format!("  {}", behaviour_line(summary))),
        }
    }
    let reasons = &verdict.report.unscanned;
    lines.extend(reasons.iter().take(most(MAX_REASONS)).map(|why| format!("  not scanned: {}", SingleLine(why))));
    if reasons.len() > most(MAX_REASONS) {
        lines.push(format!("  and {} more not scanned", reasons.len() - MAX_REASONS));
    }
    lines
}

/// In a few words.
pub fn status_text(status: ReviewStatus) -> &'static str {
    match status {
        ReviewStatus::Approved => "approved",
        ReviewStatus::NothingFound => "nothing found",
        ReviewStatus::Changed => "changed since it was approved",
        ReviewStatus::Unscanned => "not approved, and not scanned",
        ReviewStatus::New => "not approved",
    }
}

/// On one line, with the first places.
fn behaviour_line(summary: &BehaviourSummary) -> String {
    let places: Vec<String> =
        summary.places.iter().take(MAX_PLACES).map(|place| truncate(place, MAX_PLACE_CHARS)).collect();
    let more = if (summary.count as usize) > places.len() { ", …" } else { "" };
    format!("{}: {}{more}{}", counted_description(summary), List(&places), severity_suffix(summary))
}

fn behaviour_lines(summary: &BehaviourSummary) -> Vec<String> {
    let mut lines = vec![format!("  {}{}", counted_description(summary), severity_suffix(summary))];
    lines.extend(summary.places.iter().map(|place| format!("    {place}")));
    let more = (summary.count as usize).saturating_sub(summary.places.len());
    if more > 0 {
        lines.push(format!("    and {more} more"));
    }
    lines
}

fn counted_description(summary: &BehaviourSummary) -> String {
    match summary.count {
        1 => summary.behaviour.description().to_string(),
        count => format!("{} ({count} places)", summary.behaviour.description()),
    }
}

fn severity_suffix(summary: &BehaviourSummary) -> &'static str {
    match summary.severity {
        Some(Severity::High) => ", Bandit: HIGH",
        Some(Severity::Medium) => ", Bandit: MEDIUM",
        Some(Severity::Low) => ", Bandit: LOW",
        None => "",
    }
}

fn change_lines(changes: &Changes, most: usize) -> Vec<String> {
    let list = |what: &str, paths: &[String]| match paths.len() {
        0 => None,
        count => {
            let first: Vec<&str> = paths.iter().take(most).map(String::as_str).collect();
            let more = if count > first.len() { format!(" and {} more", count - first.len()) } else { String::new() };
            Some(format!("  {what}: {}{more}", List(&first)))
        }
    };
    let mut lines: Vec<String> =
        [("altered", &changes.altered), ("added", &changes.added), ("removed", &changes.removed)]
            .into_iter()
            .filter_map(|(what, paths)| list(what, paths))
            .collect();
    if !changes.behaviours.is_empty() {
        let words: Vec<&str> = changes.behaviours.iter().map(|behaviour| behaviour.description()).collect();
        lines.push(format!("  new since approval: {}", words.join("; ")));
    }
    lines
}

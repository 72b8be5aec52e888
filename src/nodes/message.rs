//! What a person reads.

use super::judge::{Changes, Judged, Standing};
use super::{Can, Severity};
use crate::text::{List, SingleLine};

/// The line that people know.
pub const HEADLINE: &str = "⚠️ Security risks detected by Bandit!";
/// Of nodes, files and reasons that are told in one go; `init --nodes list` and `show` have the rest.
const MOST_NODES: usize = 10;
const MOST_FILES: usize = 4;
const MOST_REASONS: usize = 3;
const MOST_PLACES: usize = 3;
/// In characters.
const LONGEST_PLACE: usize = 60;

/// What stands somewhere, cut to so many characters.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// The warning: nothing where no node is open.
pub fn warning(judged: &[Judged]) -> Vec<String> {
    let open: Vec<&Judged> = judged.iter().filter(|judged| judged.is_open()).collect();
    if open.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("WARN: {HEADLINE}")];
    for judged in open.iter().take(MOST_NODES) {
        lines.extend(of_node(judged, false).into_iter().map(|line| format!("  {line}")));
    }
    if open.len() > MOST_NODES {
        lines.push(format!("  and {} more (init --nodes list)", open.len() - MOST_NODES));
    }
    lines.push(
        "  A person has to look: `init --nodes show NAME` in the container, then `init --nodes approve NAME`"
            .to_string(),
    );
    lines
}

/// A node as it stands; `whole`: with every file and reason.
pub fn of_node(judged: &Judged, whole: bool) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", SingleLine(&judged.name), standing(judged.standing))];
    let most = |count: usize| if whole { usize::MAX } else { count };
    if let Some(changes) = &judged.changes {
        lines.extend(changed(changes, most(MOST_FILES)));
    }
    for can in &judged.report.can {
        match whole {
            true => lines.extend(every_place(can)),
            false => lines.push(format!("  {}", ability(can))),
        }
    }
    let reasons = &judged.report.unscanned;
    lines.extend(reasons.iter().take(most(MOST_REASONS)).map(|why| format!("  not scanned: {}", SingleLine(why))));
    if reasons.len() > most(MOST_REASONS) {
        lines.push(format!("  and {} more that was not scanned", reasons.len() - MOST_REASONS));
    }
    lines
}

/// In a few words.
pub fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Approved => "approved",
        Standing::NothingFound => "nothing found",
        Standing::Changed => "changed since it was approved",
        Standing::Unscanned => "not approved, and not scanned",
        Standing::New => "not approved",
    }
}

/// On one line, with the first places.
fn ability(can: &Can) -> String {
    let places: Vec<String> = can.places.iter().take(MOST_PLACES).map(|place| cut(place, LONGEST_PLACE)).collect();
    let more = if (can.count as usize) > places.len() { ", …" } else { "" };
    format!("{}: {}{more}{}", counted(can), List(&places), severity(can))
}

/// A line each.
fn every_place(can: &Can) -> Vec<String> {
    let mut lines = vec![format!("  {}{}", counted(can), severity(can))];
    lines.extend(can.places.iter().map(|place| format!("    {place}")));
    let more = (can.count as usize).saturating_sub(can.places.len());
    if more > 0 {
        lines.push(format!("    and {more} more"));
    }
    lines
}

fn counted(can: &Can) -> String {
    match can.count {
        1 => can.ability.words().to_string(),
        count => format!("{} ({count} places)", can.ability.words()),
    }
}

fn severity(can: &Can) -> &'static str {
    match can.severity {
        Some(Severity::High) => ", Bandit: HIGH",
        Some(Severity::Medium) => ", Bandit: MEDIUM",
        Some(Severity::Low) => ", Bandit: LOW",
        None => "",
    }
}

fn changed(changes: &Changes, most: usize) -> Vec<String> {
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
    if !changes.abilities.is_empty() {
        let words: Vec<&str> = changes.abilities.iter().map(|ability| ability.words()).collect();
        lines.push(format!("  it could not do before: {}", words.join("; ")));
    }
    lines
}

//! What each attack comes to, and the pages of docs/threat-model.md that say so.

use super::rows::ROWS;
use super::world::{AttackResults, Stack};
use std::fmt::Write as _;

/// The columns, from left to right.
pub const COLUMNS: [Stack; 5] =
    [Stack::Classic, Stack::Init, Stack::Locked, Stack::ForgottenInit, Stack::ForgottenLocked];

/// What is expected of one attack on one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// It succeeds.
    Yes,
    /// It succeeds here; another kernel or engine may refuse it. Never said of the sandbox.
    Depends,
    /// It is blocked: by the kernel's word or by what is said.
    No(&'static str),
    /// Not possible to try, and why.
    NotTried(&'static str),
}
use Cell::{Depends, No, NotTried, Yes};

/// One attack.
pub struct Row {
    /// The chapter of the table.
    pub theme: &'static str,
    /// As the attacker calls it.
    pub attack: &'static str,
    /// As a reader does.
    pub title: &'static str,
    /// Why no control shows that it can succeed at all; empty where one does.
    pub unproven: &'static str,
    /// By column.
    pub cells: [Cell; 5],
    /// Of an attack that the sandbox does not stop: why, and who must.
    pub remains: &'static str,
}

impl Row {
    fn remains_for(&self) -> Option<&'static str> {
        match (self.cells[2], self.cells[4]) {
            (Yes, _) => Some("with every flag"),
            (_, Yes) => Some("with forgotten flags"),
            _ => None,
        }
    }

    /// On a kernel whose Landlock does not know a rule yet, the column of the lock is the one before it.
    fn expected(&self, column: usize, kernel: (u32, u32)) -> Cell {
        let too_old = |&(attack, since): &(&str, (u32, u32))| attack == self.attack && kernel < since;
        let locked = matches!(COLUMNS[column], Stack::Locked | Stack::ForgottenLocked);
        self.cells[if locked && LANDLOCK.iter().any(too_old) { column - 1 } else { column }]
    }

    /// What is wrong with one stack's answer; None if nothing is.
    pub fn objection(&self, column: usize, kernel: (u32, u32), answers: &AttackResults) -> Option<String> {
        let (stack, cell) = (COLUMNS[column], self.expected(column, kernel));
        let Some(answer) = answers.get(self.attack) else {
            return Some(format!("{}: {stack:?} has no answer", self.attack));
        };
        // Kernels and engines refuse the same thing by different words; a wall that is no errno has one name.
        let same_wall = |by: &str| answer.by == by || (is_errno(by) && is_errno(&answer.by));
        let right = match (cell, answer.outcome.as_str()) {
            (Yes | Depends, "succeeded") | (Depends, "blocked") => true,
            (No(by), "blocked") => same_wall(by),
            (NotTried(why), "impossible") => answer.by == why,
            _ => false,
        };
        (!right)
            .then(|| format!("{}: {stack:?} should be {cell:?} and is {}, {}", self.attack, answer.outcome, answer.by))
    }

    /// It has to succeed on the control or, as that stack's own test sees, on one of the table's, or to be said unproven.
    pub fn unproven_objection(&self, control: &AttackResults) -> Option<String> {
        let answer = &control[self.attack];
        let right = answer.outcome == "succeeded" || self.cells.contains(&Yes) || !self.unproven.is_empty();
        (!right).then(|| format!("{}: succeeds nowhere; the control says {answer:?}", self.attack))
    }
}

/// What Landlock alone stops, and the kernel's version that brought it: rules for TCP, scopes.
const LANDLOCK: [(&str, (u32, u32)); 6] = [
    ("connect-out", (6, 7)),
    ("connect-to-the-host", (6, 7)),
    ("connect-to-a-neighbour", (6, 7)),
    ("signal-a-sibling", (6, 12)),
    ("connect-to-an-abstract-socket", (6, 12)),
    ("write-to-a-folder-that-the-image-left-open", (5, 13)),
];

fn is_errno(word: &str) -> bool {
    ["EPERM", "EACCES", "EROFS", "ENOENT", "ENOSYS", "EINVAL", "EXDEV", "ENXIO"].contains(&word)
}

/// The part of docs/threat-model.md between the markers.
pub fn page() -> String {
    let mut page = String::from(
        "| attack | classic | `init` | `init`, sandbox | forgotten: `init` | forgotten: sandbox |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut theme = "";
    for row in ROWS {
        if row.theme != theme {
            theme = row.theme;
            writeln!(page, "| **{theme}** | | | | | |").unwrap();
        }
        let words: Vec<String> = row.cells.iter().map(|cell| word(*cell)).collect();
        writeln!(page, "| {} | {} |", row.title, words.join(" | ")).unwrap();
    }
    page += "\nWhat still succeeds under the sandbox:\n\n| attack | where | why, and who must stop it |\n| --- | --- | --- |\n";
    for row in ROWS {
        if let Some(place) = row.remains_for() {
            writeln!(page, "| {}: {} | {place} | {} |", row.theme, row.title, row.remains).unwrap();
        }
    }
    page += "\nNot proved: these attacks failed even without protection on the test machine, so the test says nothing about them:\n\n| attack | why not |\n| --- | --- |\n";
    for row in ROWS.iter().filter(|row| !row.unproven.is_empty()) {
        writeln!(page, "| {}: {} | {} |", row.theme, row.title, row.unproven).unwrap();
    }
    page
}

fn word(cell: Cell) -> String {
    match cell {
        Yes => "**yes**".into(),
        Depends => "**yes**\u{b9}".into(),
        No(by) => format!("no: {by}"),
        NotTried(_) => "not tried".into(),
    }
}

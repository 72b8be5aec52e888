//! The attacker: a program that tries what a malicious node would, as COMMAND of the stack that this project replaces, of `init`, and of
//! `init` with its sandbox. docs/threat-model.md has the table; `PRINT_TABLE=1` prints it anew.

mod operator;
mod rows;
mod table;
mod world;

use rows::ROWS;
use std::collections::BTreeSet;
use table::{COLUMNS, Cell, Row};
use takumi_test::require;
use world::{AttackResult, AttackResults, AttackStack, Stack};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/threat-model.md");
const BEGIN: &str = "<!-- attacker: begin -->\n";
const END: &str = "<!-- attacker: end -->\n";

/// Runs every attack on one stack and asks for what is wrong with the answers.
fn attack(stack: Stack, objections: impl Fn(&AttackResults) -> Vec<String>) {
    require!(rootful_docker, root, demo, gosu, "tini-static");
    let answers = AttackStack::of(stack).attack();
    if std::env::var_os("PRINT_ANSWERS").is_some() {
        answers.values().for_each(|a| println!("{stack:?}\t{}\t{}\t{}", a.attack, a.outcome, a.by));
    }
    let known: BTreeSet<&str> = ROWS.iter().map(|row| row.attack).collect();
    let tried: BTreeSet<&str> = answers.keys().map(String::as_str).collect();
    assert_eq!(tried, known, "an attack without a row, or a row without an attack");
    let objections = objections(&answers);
    assert!(objections.is_empty(), "{} of {} rows:\n{}", objections.len(), ROWS.len(), objections.join("\n"));
}

fn ends_as_the_threat_model_says(stack: Stack) {
    let column = COLUMNS.iter().position(|column| *column == stack).unwrap();
    attack(stack, |answers| ROWS.iter().filter_map(|row| row.objection(column, kernel(), answers)).collect());
}

/// The containers' kernel is this one: these tests need an engine on the same machine.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-', '\n']).map_while(|number| number.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
#[cfg_attr(
    not(target_arch = "x86_64"),
    ignore = "the attacker knows the numbers of x86-64 alone, and so does the sandbox"
)]
fn every_attack_on_the_classic_stack_ends_as_the_threat_model_says() {
    ends_as_the_threat_model_says(Stack::Classic);
}

#[test]
#[cfg_attr(
    not(target_arch = "x86_64"),
    ignore = "the attacker knows the numbers of x86-64 alone, and so does the sandbox"
)]
fn every_attack_on_init_ends_as_the_threat_model_says() {
    ends_as_the_threat_model_says(Stack::Init);
}

#[test]
#[cfg_attr(
    not(target_arch = "x86_64"),
    ignore = "the attacker knows the numbers of x86-64 alone, and so does the sandbox"
)]
fn every_attack_on_init_with_the_second_lock_ends_as_the_threat_model_says() {
    ends_as_the_threat_model_says(Stack::Locked);
}

#[test]
#[cfg_attr(
    not(target_arch = "x86_64"),
    ignore = "the attacker knows the numbers of x86-64 alone, and so does the sandbox"
)]
fn every_attack_on_init_with_forgotten_flags_ends_as_the_threat_model_says() {
    ends_as_the_threat_model_says(Stack::ForgottenInit);
}

#[test]
#[cfg_attr(
    not(target_arch = "x86_64"),
    ignore = "the attacker knows the numbers of x86-64 alone, and so does the sandbox"
)]
fn every_attack_on_the_second_lock_with_forgotten_flags_ends_as_the_threat_model_says() {
    ends_as_the_threat_model_says(Stack::ForgottenLocked);
}

/// Where no stack of the table is open to an attack, the control is: root, with everything, and careless.
#[test]
#[cfg_attr(
    not(target_arch = "x86_64"),
    ignore = "the attacker knows the numbers of x86-64 alone, and so does the sandbox"
)]
fn every_attack_can_succeed_somewhere() {
    attack(Stack::Control, |answers| ROWS.iter().filter_map(|row| row.unproven_objection(answers)).collect());
}

#[test]
fn the_threat_model_shows_this_table() {
    let page = table::page();
    if std::env::var_os("PRINT_TABLE").is_some() {
        println!("{BEGIN}{page}{END}");
    }
    let whole = std::fs::read_to_string(PAGE).unwrap();
    let shown = whole.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).expect("the markers").0;
    assert_eq!(shown.trim(), page.trim(), "docs/threat-model.md: PRINT_TABLE=1 prints it anew");
}

/// A success under the sandbox has a reason and somebody who must stop it; nothing else has; and no column of the lock is vague.
#[test]
fn what_the_second_lock_lets_through_is_owned_up_to() {
    for row in ROWS {
        let let_through = [2, 4].iter().any(|&column| row.cells[column] == Cell::Yes);
        assert_eq!(let_through, !row.remains.is_empty(), "{}", row.attack);
        assert!([2, 4].iter().all(|&column| row.cells[column] != Cell::Depends), "{}", row.attack);
    }
    // The lock only takes away: what the same flags stop without it, they stop with it.
    for row in ROWS {
        for (without, with) in [(1, 2), (3, 4)] {
            let worse = matches!(row.cells[without], Cell::No(_)) && row.cells[with] == Cell::Yes;
            assert!(!worse, "{}", row.attack);
        }
    }
}

/// The control of the comparison: one stack's answers are not another's.
#[test]
fn no_two_columns_are_the_same() {
    for (column, other) in [(1, 0), (2, 1), (4, 3)] {
        let answer = |row: &Row| match row.cells[other] {
            Cell::Yes | Cell::Depends => AttackResult::new(row.attack, true, ""),
            Cell::No(by) | Cell::NotTried(by) => AttackResult::new(row.attack, false, by),
        };
        let answers = ROWS.iter().map(|row| (row.attack.to_owned(), answer(row))).collect();
        let differs =
            |row: &Row| row.cells[other] != Cell::Depends && row.objection(column, kernel(), &answers).is_some();
        let differs = ROWS.iter().filter(|row| !matches!(row.cells[other], Cell::NotTried(_))).any(differs);
        assert!(differs, "{:?} and {:?} cannot be told apart", COLUMNS[column], COLUMNS[other]);
    }
}

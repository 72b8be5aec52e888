//! The attacker: a program that tries what a malicious node would, as COMMAND of the stack that this project replaces, of `init`, and of
//! `init` with its second lock. docs/threat-model.md has the table; `PRINT_TABLE=1` prints it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../container/engine.rs"]
mod engine;
mod operator;
mod table;
mod world;

use std::collections::BTreeSet;
use table::{COLUMNS, Cell, ROWS};
use world::{Answers, Stack, World};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/threat-model.md");
const BEGIN: &str = "<!-- attacker: begin -->\n";
const END: &str = "<!-- attacker: end -->\n";

#[test]
fn every_attack_ends_as_the_threat_model_says() {
    if std::env::consts::ARCH != "x86_64" {
        println!("skipped: the attacker knows the numbers of x86-64 alone, and so does the second lock's filter");
        return;
    }
    let Some(world) = World::new() else { return };
    let stacks: Vec<Stack> = std::iter::once(Stack::Control).chain(COLUMNS).collect();
    let answers: Vec<Answers> = std::thread::scope(|scope| {
        let world = &world;
        // Three at a time: an attack that has to wait leaves the processors to two others.
        let three = |stacks: &[Stack]| -> Vec<Answers> {
            let threads: Vec<_> = stacks.iter().map(|&stack| scope.spawn(move || world.attack(stack))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        };
        stacks.chunks(3).flat_map(three).collect()
    });
    if std::env::var_os("PRINT_ANSWERS").is_some() {
        for (stack, answers) in stacks.iter().zip(&answers) {
            answers.values().for_each(|a| println!("{stack:?}\t{}\t{}\t{}", a.attack, a.outcome, a.by));
        }
    }

    let known: BTreeSet<&str> = ROWS.iter().map(|row| row.attack).collect();
    let tried: BTreeSet<&str> = answers.iter().flatten().map(|(name, _)| name.as_str()).collect();
    assert_eq!(tried, known, "an attack without a row, or a row without an attack");
    let mut objections: Vec<String> = ROWS.iter().filter_map(|row| row.unproven_objection(&answers)).collect();
    for (column, answers) in answers[1..].iter().enumerate() {
        objections.extend(ROWS.iter().filter_map(|row| row.objection(column, kernel(), answers)));
    }
    // The control of this comparison: one stack's answers are not another's.
    for (column, other) in [(1, 0), (2, 1), (4, 3)] {
        let differs = |row: &table::Row| row.objection(column, kernel(), &answers[other + 1]).is_some();
        assert!(ROWS.iter().any(differs), "{:?} and {:?} cannot be told apart", COLUMNS[column], COLUMNS[other]);
    }
    assert!(objections.is_empty(), "{} of {} rows:\n{}", objections.len(), ROWS.len(), objections.join("\n"));
}

/// The containers' kernel is this one: the tests of this folder need an engine on the same machine.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-', '\n']).map_while(|number| number.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
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

/// A success under the second lock has a reason and somebody who must stop it; nothing else has; and no column of the lock is vague.
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

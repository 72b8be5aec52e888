//! That every behaviour is tested, that nothing stands in `known_failures.txt` that is not, and that a check can fail.

use super::support::{Program, check};
use std::fs;
use std::path::PathBuf;
use takumi_test::require;

/// Every behaviour by its letter; the gaps were never given a meaning.
const BEHAVIOURS: [(char, &[u32]); 8] = [
    ('X', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]),
    ('C', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 17, 18, 19]),
    ('S', &[1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 24, 25, 26]),
    ('R', &[1, 2, 3, 6, 7, 8, 9, 10]),
    ('N', &[1, 2, 3, 4, 5, 7, 8]),
    ('T', &[1, 2, 3, 4, 5, 6, 7, 9, 11]),
    ('P', &[1, 2, 3, 4, 5, 6, 7]),
    ('U', &[1, 2, 3, 4, 5, 6, 7]),
];

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pid1/behaviours")
}

/// The text of all files here that `mod.rs` takes in.
fn tests() -> String {
    let list = fs::read_to_string(directory().join("mod.rs")).unwrap();
    let modules = list.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    modules
        .filter(|name| *name != "coverage")
        .filter_map(|name| fs::read_to_string(directory().join(format!("{name}.rs"))).ok())
        .collect()
}

#[test]
fn every_behaviour_is_tested() {
    let tests = tests();
    let ids = BEHAVIOURS
        .iter()
        .flat_map(|(letter, numbers)| numbers.iter().map(move |number| format!("{letter}{number:02}")));
    let missing: Vec<String> = ids.filter(|id| !tests.contains(&format!("\"{id}\""))).collect();
    assert!(missing.is_empty(), "not tested: {missing:?}");
}

#[test]
fn every_known_failure_is_of_a_tested_behaviour() {
    let (tests, known) = (tests(), fs::read_to_string(directory().join("known_failures.txt")).unwrap());
    let entries = known.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for entry in entries {
        let words: Vec<&str> = entry.splitn(3, ' ').collect();
        let [program, id, reason] = words[..] else { panic!("program, behaviour, reason: {entry:?}") };
        assert!(["tini", "dumb-init"].contains(&program) && !reason.is_empty(), "{entry:?}");
        assert!(tests.contains(&format!("\"{id}\"")), "no test of {id}: {entry:?}");
    }
}

/// Whether `check` is content with programs of which those given fail with these words.
fn content(id: &str, failing: &[(Program, &str)]) -> bool {
    let behaviour = |program| {
        if let Some((_, words)) = failing.iter().find(|(known, _)| *known == program) {
            std::panic::panic_any(words.to_string());
        }
    };
    std::panic::catch_unwind(|| check(id, behaviour)).is_ok()
}

#[test]
fn check_fails_for_what_is_not_known() {
    require!(namespaces, tini, "dumb-init");
    use Program::{DumbInit, Init, Tini};
    assert!(content("X01", &[]));
    assert!(!content("X01", &[(Init, "")]));
    assert!(!content("X01", &[(Tini, "")]));
    // dumb-init is known to fail X05, and to have no option for X18.
    assert!(content("X05", &[(DumbInit, "")]));
    assert!(!content("X05", &[(DumbInit, ""), (Tini, "")]));
    assert!(!content("X05", &[(DumbInit, ""), (Init, "")]));
    assert!(!content("X05", &[]));
    assert!(!content("X05", &[(DumbInit, "no such option")]));
    assert!(content("X18", &[(DumbInit, "no such option")]));
    assert!(!content("X18", &[(DumbInit, "")]));
}

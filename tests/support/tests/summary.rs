//! The closing lines of scripts/test.sh: what did not run counts as failed, what was skipped is no pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use takumi_test::folder::Folder;
use takumi_test::program::{Ended, REPOSITORY, run};
use takumi_test::require;

/// The summary of a run whose list has `one`, `two` and `three`, and whose record is this.
fn summary(record: &str) -> Ended {
    let folder = Folder::new();
    let tests = |names: &[&str]| {
        let cases: Vec<String> =
            names.iter().map(|name| format!(r#""{name}": {{"filter-match": {{"status": "matches"}}}}"#)).collect();
        format!(r#"{{"rust-suites": {{"takumi-init::pid1": {{"testcases": {{{}}}}}}}}}"#, cases.join(","))
    };
    std::fs::write(folder.join("list"), tests(&["one", "two", "three"])).unwrap();
    std::fs::write(folder.join("everything"), tests(&["one", "two", "three", "rest::four"])).unwrap();
    let suites = format!(r#"<testsuites><testsuite name="takumi-init::pid1">{record}</testsuite></testsuites>"#);
    std::fs::write(folder.join("junit"), suites).unwrap();
    let mut command = Command::new(format!("{REPOSITORY}/scripts/test/summary.py"));
    run(command.arg("quick").args(["list", "everything", "junit"].map(|name| folder.join(name))))
}

#[test]
fn all_that_passed_is_a_pass_and_what_is_left_is_said() {
    require!(python3);
    let ended = summary(r#"<testcase name="one"/><testcase name="two"/><testcase name="three"/>"#).ends_with(0);
    assert!(ended.stdout.ends_with("\n3 passed, 0 failed, 0 skipped\n"), "{ended:?}");
    ended.says("left to --all and --full: 1 tests (pid1::rest 1)").never_says("did not run");
}

#[test]
fn what_did_not_run_is_named_and_counts_as_failed() {
    require!(python3);
    let ended = summary(r#"<testcase name="one"/><testcase name="two"><failure type="test timeout"/></testcase>"#);
    let ended = ended.ends_with(1).says("did not run: takumi-init::pid1 three\n");
    assert!(ended.stdout.ends_with("\n1 passed, 2 failed, 0 skipped\n"), "{ended:?}");
    summary("").ends_with(1).says("0 passed, 3 failed, 0 skipped").says("no test ran");
}

#[test]
fn what_was_skipped_is_counted_apart_with_its_reason() {
    require!(python3);
    let skipped = "<system-out>running 1 test\nskipped: gosu is not installed (gosu)\ntest ok</system-out>";
    let record = format!(r#"<testcase name="one"/><testcase name="two">{skipped}</testcase><testcase name="three"/>"#);
    let ended = summary(&record).ends_with(0).says("skipped 1: gosu is not installed (gosu)\n");
    assert!(ended.stdout.ends_with("\n2 passed, 0 failed, 1 skipped\n"), "{ended:?}");
}

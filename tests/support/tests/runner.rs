//! The runner ends what a test started, however the test ends, and removes what a failed one left.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use takumi_test::poll::eventually;
use takumi_test::program::run;

const RUNNER: &str = env!("CARGO_BIN_EXE_takumi-test-runner");

fn runner(line: &str) -> Command {
    let mut command = Command::new(RUNNER);
    command.args(["sh", "-c", line]);
    command
}

fn lives(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
    // Whoever has this machine's PID 1 may leave a zombie for a while.
    !status.is_empty() && !status.contains("State:\tZ")
}

#[test]
fn a_daemon_of_a_test_ends_with_it_and_the_code_is_the_tests() {
    for code in [0, 7] {
        let ended = run(&mut runner(&format!("setsid sleep 1000 >/dev/null 2>&1 & echo $!; exit {code}")));
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(!lives(&ended.stdout), "{ended:?}");
    }
    // The control: without the runner it lives on.
    let ended = run(Command::new("sh").args(["-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"]));
    assert!(lives(&ended.stdout), "{ended:?}");
    run(Command::new("kill").arg(ended.stdout.trim()));
}

#[test]
fn an_orphan_that_dies_while_the_test_runs_is_reaped() {
    // The shell in between is gone before its child is.
    let line = "sh -c 'sleep 0.2 & echo $!' >$0; orphan=$(cat $0); while [ -e /proc/$orphan ]; do sleep 0.1; done";
    let folder = takumi_test::folder::Folder::new();
    let mut command = runner(line);
    command.arg(folder.join("orphan"));
    assert_eq!(run(&mut command).code, 0);
}

#[test]
fn a_limit_ends_the_test_and_its_daemons() {
    let mut command = runner("setsid sh -c 'trap \"\" TERM; echo $$; sleep 1000' & wait; sleep 1000");
    let mut child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut daemon = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut daemon).unwrap();
    assert!(lives(&daemon));
    // As nextest does it where a test has reached its limit.
    // SAFETY: no pointer is passed, and the group is that of a child which nobody has waited for.
    unsafe { libc::kill(-(child.id() as i32), libc::SIGTERM) };
    let status = eventually("the runner's end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(128 + libc::SIGTERM));
    assert!(!lives(&daemon), "{daemon}");
}

#[test]
fn what_a_failed_test_left_is_removed() {
    let place = std::env::temp_dir();
    let line = format!("mkdir {0}/takumi-test-left-$$-0 && echo {0}/takumi-test-left-$$-0; exit 1", place.display());
    let ended = run(&mut runner(&line));
    assert!(ended.stdout.contains("takumi-test-left-") && !Path::new(ended.stdout.trim()).exists(), "{ended:?}");
    // What is somebody else's stays: this test's own folder has another pid in its name.
    let own = takumi_test::folder::Folder::new();
    run(&mut runner("exit 1"));
    assert!(own.0.exists());
}

//! `takumi-test-runner TEST ARGUMENT…` runs one test and ends what it started, however it ends: nextest's limit ends the process group of a
//! test, and tests start engines, namespaces and daemons of their own beside it. `takumi-test-runner --sweep` removes what tests left that
//! are over, and with `PID` also what belongs to that run.
#![allow(unsafe_code, clippy::expect_used)]

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, exit};
use takumi_test::sweep::{is_gone, sweep};

fn main() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [program, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: takumi-test-runner TEST ARGUMENT...");
        exit(2);
    };
    if program == "--sweep" {
        let own = rest.first().and_then(|pid| pid.to_str()?.parse().ok());
        sweep(|pid| is_gone(pid) || Some(pid) == own);
        return;
    }
    if rest.iter().any(|argument| argument == "--list") {
        let error = Command::new(program).args(rest).exec();
        eprintln!("{}: {error}", program.display());
        exit(126);
    }
    // SAFETY: no pointer is passed. Whatever loses its parent below comes to this process.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    // The signals of a limit or of Ctrl-C reach the test as well; this process has work to do after it.
    set_signals(libc::SIG_IGN);
    let mut test = Command::new(program);
    test.args(rest);
    // SAFETY: signal(2) may be called between fork and exec.
    unsafe {
        test.pre_exec(|| {
            set_signals(libc::SIG_DFL);
            Ok(())
        })
    };
    let test = test.spawn().expect("the test starts").id();
    let status = wait_for(test);
    end_children();
    if !status.success() {
        sweep(|owner| owner == test);
    }
    exit(status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1));
}

fn set_signals(disposition: libc::sighandler_t) {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: neither disposition is a handler.
        unsafe { libc::signal(signal, disposition) };
    }
}

/// Orphans that die meanwhile are reaped, as the machine's PID 1 would do it: tests wait until nothing of a user's is left.
fn wait_for(test: u32) -> ExitStatus {
    loop {
        let mut status = 0;
        // SAFETY: room for one status.
        let ended = unsafe { libc::waitpid(-1, &mut status, 0) };
        if ended == test as i32 {
            return ExitStatus::from_raw(status);
        }
        assert!(ended > 0, "{}", std::io::Error::last_os_error());
    }
}

/// Whoever is left is this process's own child by now, or the child of one.
fn end_children() {
    let own = std::process::id();
    loop {
        let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            // SAFETY: no pointer is passed, and the pid is that of a child that nobody has waited for.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        // SAFETY: no status is asked for.
        if unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } < 0 {
            return;
        }
    }
}

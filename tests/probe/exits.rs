//! The exit code is 0 or 1, whatever happens.

use crate::inside::{Checked, PidNamespace, run};
use crate::server::Server;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Stdio;
use takumi_test::program::Ended;
use takumi_test::require;

#[track_caller]
fn is_0_or_1(what: &str, checked: &Checked) {
    assert!(matches!(checked.code, Some(0 | 1)), "{what}: {checked:?}");
}

#[test]
fn a_bad_environment_is_1_with_a_line_for_each_mistake() {
    require!(namespaces);
    let inside = PidNamespace::init(&[], &["sleep", "600"]);
    inside.check(&[]).expect("healthy");
    let long = "x".repeat(100_000);
    let many: Vec<(String, String)> = (0..2000).map(|number| (format!("TAKUMI_{number}"), String::new())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for (environment, lines) in [
        (&[("TAKUMI_HEALTH_TIMEOUT", "soon")][..], 1),
        (&[("TAKUMI_HEALTH_URL", "https://a/")], 1),
        (&[("TAKUMI_HEALTH_URL", long.as_str())], 1),
        (&[("TAKUMI_HELTH_URL", "http://a/"), ("PUID", "")], 2),
        (&[("TAKUMI_LOG_FORMAT", "json"), ("PUID", "-1")], 1),
        (many.as_slice(), 2000),
    ] {
        let checked = inside.check(environment);
        assert_eq!((checked.code, checked.stderr.lines().count()), (Some(1), lines), "{environment:?}: {checked:?}");
        assert_eq!(checked.stdout, "");
    }
    // Without the report: what the start was told would win.
    inside.shell("rm -f /run/takumi/report.json");
    for environment in [
        &[("TAKUMI_HEALTH_TIMEOUT", "1000000000m")][..],
        &[("PATH", ""), ("HOME", ""), ("LD_PRELOAD", "/nonexistent"), ("MALLOC_ARENA_MAX", "0")],
        &[("TAKUMI_LOG", "trace")],
    ] {
        inside.check(environment).expect("healthy");
    }
    is_0_or_1("no time at all", &inside.check(&[("TAKUMI_HEALTH_TIMEOUT", "0s")]));
    for argument in ["--jsn", "app", "--json=1", ""] {
        let checked = run(&mut inside.enter(&[&inside.path(), "--check", argument]));
        assert_eq!(checked.code, Some(1), "{argument}: {checked:?}");
    }
}

#[test]
fn closed_and_full_outputs_cost_no_code_and_end_in_time() {
    require!(namespaces);
    let server = Server::good();
    let inside =
        PidNamespace::init(&[("TAKUMI_HEALTH_URL", &server.url()), ("TAKUMI_HEALTH_TIMEOUT", "5s")], &["sleep", "600"]);
    let line = |redirections: &str| format!("exec {} --check {redirections}", inside.path());
    for redirections in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "> /dev/full", "> /dev/full 2> /dev/full"] {
        let checked = run(&mut inside.enter(&["sh", "-c", &line(redirections)]));
        assert_eq!(checked.code, Some(0), "{redirections}: {checked:?}");
    }
    // A reader that has gone (SIGPIPE), and signals and masks that the caller left behind.
    let checked = |output: Stdio, prefix: &str| {
        let words = format!("{prefix} {}", line(""));
        let child = inside.enter(&["bash", "-c", &words]).stdout(output).stderr(Stdio::piped()).spawn().unwrap();
        Ended::from(child.wait_with_output().unwrap())
    };
    for prefix in ["", "trap '' PIPE ALRM CHLD;", "ulimit -f 0;"] {
        let (reader, writer) = pipe();
        drop(reader);
        assert_eq!(checked(writer.into(), prefix).code, 0, "{prefix}");
    }
    // A full pipe that nobody reads: nothing can be said there, and the end of its time ends the wait.
    let (_reader, writer) = pipe();
    // SAFETY: flags of a descriptor of ours, and writes of a live buffer.
    unsafe {
        libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
        while libc::write(writer.as_raw_fd(), [0_u8; 4096].as_ptr().cast(), 4096) > 0 {}
        libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, 0);
    }
    let late = checked(writer.into(), "").ends_with(1);
    assert_eq!(late.stderr, "init: error: --check timed out (see TAKUMI_HEALTH_TIMEOUT)\n");
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors, which are ours alone.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

#[test]
fn limits_that_leave_nothing_are_0_or_1() {
    require!(namespaces, prlimit);
    let server = Server::good();
    let inside =
        PidNamespace::init(&[("TAKUMI_HEALTH_URL", &server.url()), ("TAKUMI_HEALTH_TIMEOUT", "5s")], &["sleep", "600"]);
    let path = inside.path();
    for limit in (0..16)
        .map(|number| format!("--nofile={number}"))
        .chain(["--nproc=1", "--fsize=0", "--stack=65536"].map(str::to_owned))
    {
        let checked = run(&mut inside.enter(&["prlimit", &limit, &path, "--check"]));
        is_0_or_1(&limit, &checked);
    }
    let mut codes = Vec::new();
    for pages in (0..1200).step_by(3) {
        let limit = format!("--as={}", pages * 4096);
        // Where the kernel cannot even lay out the program no line of it runs: another verb then ends by a signal, or without ours.
        let version = run(&mut inside.enter(&["prlimit", &limit, &path, "--version"]));
        let is_ours = version.code == Some(0) || version.stderr.starts_with("init: error: cannot allocate");
        if !is_ours {
            continue;
        }
        let checked = run(&mut inside.enter(&["prlimit", &limit, &path, "--check"]));
        is_0_or_1(&limit, &checked);
        codes.push(checked.code);
    }
    assert!(codes.contains(&Some(0)), "no limit was large enough: {codes:?}");
}

#[test]
fn without_proc_it_is_1() {
    require!(namespaces);
    let inside = PidNamespace::init(&[], &["sleep", "600"]);
    let hidden = |line: &str| {
        let line = format!("{line} && exec {} --check", inside.path());
        run(&mut inside.enter(&["unshare", "--mount", "sh", "-c", &line]))
    };
    hidden("true").expect("healthy");
    let checked = hidden("mount -t tmpfs tmpfs /proc");
    assert_eq!(checked.code, Some(1), "{checked:?}");
    for line in ["mount -t tmpfs tmpfs /dev", "mount -t tmpfs tmpfs /run", "mount -t tmpfs tmpfs /etc"] {
        is_0_or_1(line, &hidden(line));
    }
}

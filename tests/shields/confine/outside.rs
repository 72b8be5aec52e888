//! Signals and abstract sockets of processes outside, and what such processes may still do to COMMAND.

use super::tried::{answers, open, with_program};
use takumi_test::container::Process;
use takumi_test::image::Image;
use takumi_test::poll::eventually;
use takumi_test::require;

const LISTEN: &str = "import os, socket, time
open('/tmp/outside', 'w').write(str(os.getpid()))
one = socket.socket(socket.AF_UNIX); one.bind('\\0takumi-test-outside'); one.listen(); time.sleep(600)";

#[test]
fn somebody_outside_is_reached_by_no_abstract_socket_and_no_signal() {
    require!(landlock, demo);
    let image = Image::demo();
    for (confine, expected) in [("off", 0), ("auto", libc::EPERM), ("strict", libc::EPERM)] {
        let container = with_program(open(&image, confine), &["abstract"]).spawn();
        container.exec_detached(&["--user", "1000"], &["python3", "-c", LISTEN]);
        let answers = answers(&container.end());
        assert_eq!((answers["abstract"], answers["signal"]), (expected, expected), "{confine}");
    }
}

/// PID 1 stays outside: it has COMMAND's user, and must be able to forward, stop and reap.
#[test]
fn init_has_a_filter_less_and_still_stops_command() {
    require!(landlock, demo);
    let image = Image::demo();
    let filters = |process: &Process| process.field("Seccomp_filters").parse::<u32>().unwrap();
    for (confine, more) in [("off", 0), ("auto", 1), ("strict", 1)] {
        let container =
            open(&image, confine).shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done").spawn();
        container.await_words("ready");
        let first = Process::first(&container);
        assert_eq!(filters(&first.child()), filters(&first) + more, "{confine}");
        assert_eq!(container.stop().code, 7, "{confine}");
    }
}

/// `--check` sees the filter that COMMAND has more; it is required under `strict`.
#[test]
fn the_probe_counts_the_filters() {
    require!(landlock, demo);
    let image = Image::demo();
    for confine in ["auto", "strict"] {
        let start = open(&image, confine).env("TAKUMI_REQUIRE", "confined").options(&["--tmpfs", "/run"]);
        let container = start.shell("while :; do sleep 0.1; done").spawn();
        let said = eventually("a healthy check", || {
            let check = container.exec(&["/init", "--check", "--json"]);
            (check.status.code() == Some(0)).then(|| String::from_utf8_lossy(&check.stdout).into_owned())
        });
        assert!(said.contains(r#""id":"confined""#) && said.contains("COMMAND has 1 seccomp filters"), "{said}");
    }
}

//! Signals and abstract sockets of processes outside, and what such processes may still do to COMMAND.

use crate::engine::{Image, eventually};
use crate::start::Process;
use crate::tried::{answers, open, with_program};

const LISTEN: &str = "import os, socket, time
open('/tmp/outside', 'w').write(str(os.getpid()))
one = socket.socket(socket.AF_UNIX); one.bind('\\0takumi-test-outside'); one.listen(); time.sleep(60)";

#[test]
fn somebody_outside_is_reached_by_no_abstract_socket_and_no_signal() {
    let Some(image) = Image::demo() else { return };
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
    let Some(image) = Image::demo() else { return };
    let filters = |process: &Process| process.field("Seccomp_filters").parse::<u32>().unwrap();
    for (confine, more) in [("off", 0), ("auto", 1), ("strict", 1)] {
        let container =
            open(&image, confine).shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done").spawn();
        eventually("COMMAND", || container.logs().0.contains("ready").then_some(()));
        let first = Process::first(&container);
        let pid: u32 = container.inspect(".State.Pid").parse().unwrap();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let command = Process::of(children.split_whitespace().next().unwrap().parse().unwrap());
        assert_eq!(filters(&command), filters(&first) + more, "{confine}");
        assert_eq!(container.stop().0.code, 7, "{confine}");
    }
}

/// `--check` sees the filter that COMMAND has more; it is required under `strict`.
#[test]
fn the_probe_counts_the_filters() {
    let Some(image) = Image::demo() else { return };
    for confine in ["auto", "strict"] {
        let start = open(&image, confine).env("TAKUMI_REQUIRE", "confined").options(&["--tmpfs", "/run"]);
        let container = start.shell("while :; do sleep 0.1; done").spawn();
        let said = eventually("a healthy check", || {
            let check = container.exec(&["/init", "--check", "--json"]);
            (check.status.code() == Some(0)).then(|| String::from_utf8_lossy(&check.stdout).into_owned())
        });
        assert!(said.contains(r#""id":"confined""#) && said.contains("COMMAND has 1 filters"), "{said}");
    }
}

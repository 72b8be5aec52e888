//! Standard descriptors that are closed, and descriptors beyond them.

use super::support::{Program, Scratch, Start, State, Stdio, check_control, check_init};
use serde_json::json;
use takumi_test::require;

/// A start with the standard descriptors closed whose numbers are given.
fn without(program: Program, closed: &[usize]) -> Start {
    closed.iter().fold(Start::new(program), |start, number| match number {
        0 => start.stdin(Stdio::Closed),
        1 => start.stdout(Stdio::Closed),
        _ => start.stderr(Stdio::Closed),
    })
}

const SUBSETS: [&[usize]; 8] = [&[], &[0], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]];

#[test]
fn closed_standard_descriptors_stay_closed() {
    check_init(|program| {
        for closed in SUBSETS {
            let scratch = Scratch::new();
            let file = scratch.path("state");
            without(program, closed).probe(&format!("state:{file} exit:7")).run().expect(7);
            let state = State::parse(&std::fs::read_to_string(&file).unwrap());
            let open: Vec<usize> = (0..3).filter(|number| !closed.contains(number)).collect();
            assert_eq!(state["open"], json!(open), "closed: {closed:?}");
        }
    });
}

#[test]
fn closed_standard_descriptors_and_an_ordinary_user() {
    check_init(|program| {
        without(program, &[0, 1, 2]).started_as(1234, 1234).probe("exit:7").run().expect(7);
        without(program, &[0, 1, 2]).not_first().probe("exit:7").run().expect(7);
    });
}

#[test]
fn closed_stderr_changes_no_exit_code() {
    check_init(|program| {
        without(program, &[2]).command(["no-such-program"]).run().expect(127);
        without(program, &[2]).env("PUID", "nonsense").probe("exit:0").run().expect(125);
        without(program, &[0, 1, 2]).run().expect(125);
        without(program, &[2]).verbose().probe("orphan { exit:1 } exit:3").run().expect(3);
    });
}

#[test]
fn full_and_broken_stderr_changes_no_exit_code() {
    check_init(|program| {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        Start::new(program).verbose().stderr(Stdio::Given(full.into())).probe("exit:3").run().expect(3);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Start::new(program).verbose().stderr(Stdio::Given(writer.into())).probe("exit:3").run().expect(3);
    });
}

#[test]
fn descriptors_are_closed_unless_kept() {
    check_init(|program| {
        let open = |keep: Option<&str>| {
            let pipes = [3, 4, 9, 255].map(|number| (std::io::pipe().unwrap().1, number));
            let start =
                pipes.into_iter().fold(Start::new(program), |start, (pipe, number)| start.descriptor(number, pipe));
            let start = keep.into_iter().fold(start, |start, keep| start.env("TAKUMI_KEEP_FDS", keep));
            start.probe("state").spawn().state()["open"].clone()
        };
        assert_eq!(open(None), json!([0, 1, 2]));
        assert_eq!(open(Some("")), json!([0, 1, 2]));
        assert_eq!(open(Some("4,255")), json!([0, 1, 2, 4, 255]));
        assert_eq!(open(Some("all")), json!([0, 1, 2, 3, 4, 9, 255]));
        // One that is not open is not to be missed.
        assert_eq!(open(Some("9,77")), json!([0, 1, 2, 9]));
    });
}

#[test]
fn listen_fds_are_kept_as_declared() {
    check_init(|program| {
        let pipes = [3, 4, 5].map(|number| (std::io::pipe().unwrap().1, number));
        let start = pipes.into_iter().fold(Start::new(program), |start, (pipe, number)| start.descriptor(number, pipe));
        let state = start
            .env("LISTEN_FDS", "2")
            .env("LISTEN_PID", "1")
            .env("LISTEN_FDNAMES", "a:b")
            .probe("state")
            .spawn()
            .state();
        assert_eq!(state["open"], json!([0, 1, 2, 3, 4]));
        assert_eq!(state.variable("LISTEN_PID"), Some(state["pid"].to_string().into_bytes()));
        assert_eq!(state.variable("LISTEN_FDS"), Some(b"2".to_vec()));
        assert_eq!(state.variable("LISTEN_FDNAMES"), Some(b"a:b".to_vec()));
    });
}

#[test]
fn listen_pid_of_another_process_is_left_alone() {
    check_init(|program| {
        let state = Start::new(program).env("LISTEN_FDS", "1").env("LISTEN_PID", "4711").probe("state").spawn().state();
        assert_eq!(state.variable("LISTEN_PID"), Some(b"4711".to_vec()));
    });
}

#[test]
fn low_descriptor_limit() {
    check_init(|program| {
        Start::new(program).limit(libc::RLIMIT_NOFILE, 8, 8).probe("exit:3").run().expect(3);
    });
}

#[test]
fn fork_refused_is_125() {
    check_init(|program| {
        let ended = Start::new(program).limit(libc::RLIMIT_NPROC, 0, 0).probe("say:ran").run();
        ended.expect(125).expect_one_line();
        assert!(ended.stdout.is_empty() && ended.stderr.contains("Resource temporarily unavailable"), "{ended:?}");
    });
}

/// COMMAND's user opens standard output anew, as a program that logs to /dev/stdout does.
fn reopen(start: Start) -> Start {
    start.command(["sh", "-c", "echo reopened >/dev/stdout"])
}

#[test]
fn pipes_are_handed_to_the_user() {
    check_init(|program| {
        let ended = reopen(Start::new(program)).run();
        ended.expect(0);
        assert_eq!(ended.stdout, "reopened\n");
    });
}

#[test]
fn control_gosu_leaves_pipes_to_root() {
    require!(gosu);
    check_control(Program::Tini, |program| {
        let ended = reopen(Start::new(program).user("1000:1000")).run();
        assert!(ended.failed() && ended.stderr.contains("Permission denied"), "{ended:?}");
    });
}

#[test]
fn pipes_are_handed_over_by_pid_1_alone() {
    check_init(|program| {
        let ended = reopen(Start::new(program).not_first()).run();
        assert!(ended.failed() && ended.stderr.contains("Permission denied"), "{ended:?}");
    });
}

#[test]
fn files_and_devices_are_not_handed_over() {
    use std::os::unix::fs::MetadataExt;
    check_init(|program| {
        let scratch = Scratch::new();
        let (log, null) = (scratch.file("log", 0o600, ""), scratch.path("null"));
        let mut mknod = std::process::Command::new("mknod");
        mknod.args(["--mode=600", &null, "c", "1", "3"]);
        let made = mknod.status().unwrap();
        assert!(made.success(), "mknod");
        let open = |path| std::fs::OpenOptions::new().read(true).append(true).open(path).unwrap().into();
        let start = Start::new(program).stdin(Stdio::Given(open(&null))).stdout(Stdio::Given(open(&log)));
        start.stderr(Stdio::Given(open(&null))).probe("say:written").run().expect(0);
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "written\n");
        for path in [log, null] {
            let metadata = std::fs::metadata(&path).unwrap();
            assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600), "{path}");
        }
    });
}

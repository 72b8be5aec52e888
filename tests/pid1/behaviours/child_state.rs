//! C: what COMMAND inherits, and what PID 1 does not keep.

use super::support::{PROBE, Program, Scratch, Start, Stdio, check, check_control, check_init, eventually};
use serde_json::json;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

#[test]
fn c01_signal_mask_is_empty() {
    check("C01", |program| {
        assert_eq!(Start::new(program).probe("state").spawn().state()["blocked"], json!([]));
    });
}

#[test]
fn c02_blocked_signals_stay_blocked() {
    check("C02", |program| {
        let state = Start::new(program).blocked(&["ILL", "TERM", "TTIN", "40"]).probe("state").spawn().state();
        assert_eq!(state["blocked"], json!([4, 15, 21, 40]));
    });
}

#[test]
fn c03_ignored_signals_stay_ignored() {
    check("C03", |program| {
        let state = Start::new(program).ignored(&["HUP", "INT", "PIPE", "TTOU", "50"]).probe("state").spawn().state();
        assert_eq!(state["ignored"], json!([1, 2, 13, 22, 50]));
    });
}

#[test]
fn c04_no_further_signal_is_ignored() {
    check("C04", |program| {
        assert_eq!(Start::new(program).probe("state").spawn().state()["ignored"], json!([]));
    });
}

#[test]
fn c05_no_descriptor_leaks_into_the_child() {
    check("C05", |program| {
        assert_eq!(Start::new(program).probe("state").spawn().state()["open"], json!([0, 1, 2]));
        assert_eq!(Start::new(program).verbose().probe("state").spawn().state()["open"], json!([0, 1, 2]));
    });
}

#[test]
fn c06_kept_descriptor_reaches_the_child() {
    check("C06", |program| {
        let (_reader, writer) = std::io::pipe().unwrap();
        let start = Start::new(program).setting("TAKUMI_KEEP_FDS", "7").descriptor(7, writer);
        assert_eq!(start.probe("state").spawn().state()["open"], json!([0, 1, 2, 7]));
    });
}

#[test]
fn c07_init_does_not_hold_inherited_descriptors() {
    check("C07", |program| {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let start = Start::new(program).setting("TAKUMI_KEEP_FDS", "7").descriptor(7, writer);
        let running = start.probe("close:7 ready pause").spawn().ready();
        eventually("no descriptor 7", || running.process.descriptors().iter().all(|(fd, _)| *fd != 7).then_some(()));
        // And so the reader sees the end as soon as COMMAND has closed its copy.
        assert_eq!(std::io::copy(&mut reader, &mut std::io::sink()).unwrap(), 0);
    });
}

#[test]
fn c08_child_keeps_the_working_directory() {
    check("C08", |program| {
        let scratch = Scratch::new();
        let state = Start::new(program).directory(scratch.path("")).probe("state").spawn().state();
        assert_eq!(state["directory"].as_str().unwrap(), scratch.path("").trim_end_matches('/'));
    });
}

#[test]
fn c09_init_does_not_pin_the_working_directory() {
    check("C09", |program| {
        let scratch = Scratch::new();
        let running = Start::new(program).directory(scratch.path("")).probe("ready pause").spawn().ready();
        eventually("init in /", || (running.process.directory() == std::path::Path::new("/")).then_some(()));
    });
}

#[test]
fn c10_arguments_pass_byte_for_byte() {
    check("C10", |program| {
        let arguments = [&b""[..], b" a  b ", b"\xff\xfe\x80", b"line\nbreak", b"'\"$(x)\\", b"-x", b"--", b"\xc3\xa9"];
        let words = arguments.map(OsStr::from_bytes);
        let mut running = Start::new(program).separator(true).command([PROBE, "state", "--"]).command(words).spawn();
        assert_eq!(running.state().arguments()[3..], arguments);
    });
}

#[test]
fn c11_environment_passes_unchanged() {
    check("C11", |program| {
        let start = Start::new(program)
            .env("EMPTY", "")
            .env("EQUAL", "a=b=c")
            .env("LINES", "a\nb\n")
            .env("BYTES", OsStr::from_bytes(b"\xff\xfe\x80"))
            .env(OsStr::from_bytes(b"N\xffME"), "name")
            .env("HOME", "/somewhere");
        let mut environment = start.probe("state").spawn().state().environment();
        // Who it runs as is what `init` has to say to COMMAND, and how much to log is for COMMAND's own tools.
        environment
            .retain(|(name, _)| !["USER", "LOGNAME", "TAKUMI_LOG", "PATH"].map(str::as_bytes).contains(&&name[..]));
        environment.sort();
        let mut expected = [
            (&b"EMPTY"[..], &b""[..]),
            (b"EQUAL", b"a=b=c"),
            (b"LINES", b"a\nb\n"),
            (b"BYTES", b"\xff\xfe\x80"),
            (b"N\xffME", b"name"),
            (b"HOME", b"/somewhere"),
        ]
        .map(|(name, value)| (name.to_vec(), value.to_vec()));
        expected.sort();
        assert_eq!(environment, expected);
    });
}

#[test]
fn c12_listen_pid_is_rewritten() {
    check("C12", |program| {
        let (_reader, writer) = std::io::pipe().unwrap();
        let start = Start::new(program).descriptor(3, writer).env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
        let state = start.probe("state").spawn().state();
        assert_eq!(state.variable("LISTEN_PID"), Some(state["pid"].to_string().into_bytes()));
        assert_eq!(state["open"], json!([0, 1, 2, 3]));
    });
}

#[test]
fn c13_umask_limits_and_niceness_pass() {
    check("C13", |program| {
        let state = Start::new(program)
            .umask(0o027)
            .limit(libc::RLIMIT_NOFILE, 512, 1024)
            .nice(5)
            .probe("state")
            .spawn()
            .state();
        assert_eq!(state["umask"], json!(0o027));
        assert_eq!(state["files"], json!([512, 1024]));
        assert_eq!(state["nice"], json!(5));
    });
}

#[test]
fn c14_stdin_reaches_the_child_with_its_end() {
    check("C14", |program| {
        let mut running = Start::new(program).stdin(Stdio::Pipe).probe("echo exit:4").spawn();
        running.stdin.as_mut().unwrap().write_all(b"one\ntwo").unwrap();
        let ended = running.wait();
        ended.expect(4);
        assert_eq!(ended.stdout, "one\ntwo");
    });
}

#[test]
fn c17_child_leads_its_own_process_group() {
    check("C17", |program| {
        let state = Start::new(program).probe("state").spawn().state();
        assert_eq!(state["group"], state["pid"]);
        assert_ne!(state["pid"], json!(1));
    });
}

#[test]
fn c18_program_is_looked_up_on_path() {
    check("C18", |program| {
        Start::new(program).command(["probe", "exit:3"]).run().expect(3);
    });
}

#[test]
fn c19_sigterm_kills_a_child_without_handler() {
    check("C19", |program| {
        let running = Start::new(program).probe("ready pause").spawn().ready();
        running.signal("TERM");
        running.wait().expect(143);
    });
}

#[test]
fn umask_setting() {
    check_init(|program| {
        for (setting, mask) in [("077", 0o077), ("0", 0), ("0022", 0o022)] {
            let state = Start::new(program).umask(0o027).env("UMASK", setting).probe("state").spawn().state();
            assert_eq!(state["umask"], json!(mask));
        }
    });
}

#[test]
fn init_is_not_dumpable_and_holds_nothing() {
    check_init(|program| {
        let running = Start::new(program).probe("ready pause").spawn().ready();
        assert_eq!(running.process.field("NoNewPrivs"), "1");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(running.process.field(set), "0000000000000000", "{set}");
        }
        assert_eq!(running.process.field("Uid"), "1000\t1000\t1000\t1000");
        // Of a process that is not dumpable root owns the entries.
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(format!("/proc/{}/mem", running.process.0)).unwrap().uid(), 0);
        // Beside it COMMAND, which is dumpable and whose entries are its user's.
        assert_eq!(std::fs::metadata(format!("/proc/{}/mem", running.child().0)).unwrap().uid(), 1000);
    });
}

#[test]
fn control_tini_stays_root() {
    check_control(Program::Tini, |program| {
        let running = Start::new(program).probe("ready pause").spawn().ready();
        assert_eq!(running.process.field("Uid"), "0\t0\t0\t0");
    });
}

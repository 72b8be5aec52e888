//! P: what it costs at rest, and what it says.

use super::support::{Exit, Start, check, eventually};
use super::traced::{TracedInit, waits_for_ever};
use takumi_test::require;

#[test]
fn p01_no_wake_ups_when_idle() {
    require!(strace);
    check("P01", |program| {
        let traced = TracedInit::start(program, "sleep 600");
        traced.await_command("sleep");
        let process = traced.process();
        eventually("a wait without a time", || waits_for_ever(process).then_some(()));
        assert_eq!(traced.timers(), [""; 0]);
    });
}

#[test]
fn p02_version() {
    check("P02", |program| {
        let ended = Start::new(program).argument("--version").separator(false).run();
        ended.expect(0);
        assert!(
            format!("{}{}", ended.stdout, ended.stderr).contains(|letter: char| letter.is_ascii_digit()),
            "{ended:?}"
        );
    });
}

#[test]
fn p03_help() {
    check("P03", |program| {
        let ended = Start::new(program).argument("-h").separator(false).run();
        ended.expect(0);
        assert!(format!("{}{}", ended.stdout, ended.stderr).to_lowercase().contains("usage"), "{ended:?}");
    });
}

#[test]
fn p04_help_and_version_go_to_stdout() {
    check("P04", |program| {
        for option in ["--version", "-h"] {
            let ended = Start::new(program).argument(option).separator(false).run();
            assert!(!ended.stdout.is_empty() && ended.stderr.is_empty(), "{option}: {ended:?}");
        }
    });
}

#[test]
fn p05_silent_by_default() {
    check("P05", |program| {
        for words in ["exit:0", "exit:3", "times:3 { orphan { exit:1 } } exit:0"] {
            let ended = Start::new(program).probe(words).run();
            assert!(ended.stdout.is_empty() && ended.stderr.is_empty(), "{ended:?}");
        }
        let running = Start::new(program).probe("hold:TERM ready until:TERM exit:0").spawn().ready();
        running.signal("TERM");
        let ended = running.wait();
        assert!(ended.stdout == "ready\n" && ended.stderr.is_empty(), "{ended:?}");
    });
}

#[test]
fn p06_verbose_logs_go_to_stderr() {
    check("P06", |program| {
        let running =
            Start::new(program).verbose().probe("orphan { exit:0 } hold:TERM ready until:TERM exit:3").spawn().ready();
        running.signal("TERM");
        let ended = running.wait();
        assert_eq!(ended.exit, Exit::Code(3));
        assert!(ended.stdout == "ready\n" && !ended.stderr.is_empty(), "{ended:?}");
    });
}

#[test]
fn p07_one_thread() {
    check("P07", |program| {
        let running = Start::new(program).probe("ready pause").spawn().ready();
        assert_eq!(running.process.field("Threads"), "1");
    });
}

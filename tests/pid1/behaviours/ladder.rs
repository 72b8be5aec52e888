//! TAKUMI_STOP: what a SIGTERM starts.

use super::leftovers::LONG;
use super::prepared::Prepared;
use super::recorder::{Record, flush, recording};
use super::signals::{ready, still_forwards};
use super::support::{Exit, Start, check_init};
use std::time::{Duration, Instant};
use takumi_test::level::full;

#[test]
fn each_rung_has_its_time_and_sigkill_is_last() {
    check_init(|program| {
        let running = ready(recording(program, "").setting("TAKUMI_STOP", "INT:300ms,QUIT:200ms"));
        running.signal("TERM");
        let ended = running.wait();
        ended.expect(137);
        let heard: Vec<&str> = ended.stdout.lines().filter_map(|line| line.strip_prefix("child signal ")).collect();
        let numbers: Vec<&str> = heard.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(numbers, ["2", "3"], "a rung replaces the signal: {}", ended.stdout);
        // A COMMAND that needs a moment has it on either rung.
        for (ladder, slow) in [("INT:10m,QUIT:1ms", "2:100:7"), ("INT:1ms,QUIT:10m", "3:100:7")] {
            let running = ready(recording(program, &format!("--on {slow}")).setting("TAKUMI_STOP", ladder));
            running.signal("TERM");
            running.wait().expect(7);
        }
    });
}

#[test]
fn a_second_sigterm_goes_to_the_next_rung_at_once() {
    check_init(|program| {
        let running = ready(recording(program, "").setting("TAKUMI_STOP", "INT:10m,QUIT:10m"));
        running.signal("TERM");
        running.await_heard("child", "INT");
        running.signal("TERM");
        running.await_heard("child", "QUIT");
        running.signal("TERM");
        running.wait().expect(137);
    });
}

#[test]
fn a_child_that_stops_on_a_rung_keeps_its_code() {
    check_init(|program| {
        let running = ready(recording(program, "--on 3:50:7").setting("TAKUMI_STOP", "INT:100ms,QUIT:60s"));
        running.signal("TERM");
        let ended = running.wait();
        ended.expect(7);
        assert_eq!(ended.stdout.heard("child", "INT"), 1);
    });
}

#[test]
fn exit_ok_covers_the_death_that_was_asked_for() {
    check_init(|program| {
        for (ok, code) in [("143", 0), ("130", 143)] {
            let start = Start::new(program).probe("ready pause").setting("TAKUMI_STOP", "TERM:60s");
            let running = start.setting("TAKUMI_EXIT_OK", ok).spawn().ready();
            running.signal("TERM");
            running.wait().expect(code);
        }
    });
}

#[test]
fn rungs_follow_the_scope() {
    check_init(|program| {
        for (scope, reached) in
            [("child", vec!["child"]), ("group", vec!["child", "kin"]), ("all", vec!["child", "kin", "daemon"])]
        {
            let start =
                recording(program, "--kin group:kin --kin session:daemon").setting("TAKUMI_SIGNAL_SCOPE", scope);
            let running = ready(start.setting("TAKUMI_STOP", "INT:60s"));
            running.signal("TERM");
            for role in ["child", "kin", "daemon"] {
                if reached.contains(&role) {
                    running.await_heard(role, "INT");
                }
                flush(&running, &running, role);
                assert_eq!(running.heard(role, "INT"), usize::from(reached.contains(&role)), "{scope}: {role}");
            }
        }
    });
}

#[test]
fn the_last_rung_follows_the_scope() {
    check_init(|program| {
        let start = recording(program, "--kin session:daemon").setting("TAKUMI_SIGNAL_SCOPE", "all");
        let running = ready(start.setting("TAKUMI_STOP", "INT:100ms").setting("TAKUMI_LEFTOVER_GRACE", LONG));
        running.signal("TERM");
        // With the daemon killed as well no leftover is there to wait for.
        running.wait().expect(137);
    });
}

#[test]
fn rungs_are_not_rewritten() {
    check_init(|program| {
        let start = recording(program, "").setting("TAKUMI_SIGNALS", "INT=USR1");
        let running = ready(start.setting("TAKUMI_STOP", "INT:60s"));
        running.signal("TERM");
        running.await_heard("child", "INT");
        flush(&running, &running, "child");
        assert_eq!(running.heard("child", "USR1"), 0);
        // The control: sent from outside the same signal is rewritten.
        running.signal("INT");
        running.await_heard("child", "USR1");
    });
}

#[test]
fn rewriting_comes_before_the_ladder() {
    check_init(|program| {
        let start = recording(program, "").setting("TAKUMI_SIGNALS", "USR1=TERM,TERM=USR2");
        let running = ready(start.setting("TAKUMI_STOP", "INT:60s"));
        running.signal("TERM");
        running.await_heard("child", "USR2");
        still_forwards(&running);
        assert_eq!(running.heard("child", "INT"), 0, "what SIGTERM became starts no ladder");
        running.signal("USR1");
        running.await_heard("child", "INT");
        assert_eq!(running.heard("child", "TERM"), 0);
    });
}

#[test]
fn other_signals_are_forwarded_during_the_ladder() {
    check_init(|program| {
        let running = ready(recording(program, "").setting("TAKUMI_STOP", "INT:60s"));
        running.signal("TERM");
        running.await_heard("child", "INT");
        running.signal("HUP");
        running.await_heard("child", "HUP");
        still_forwards(&running);
    });
}

#[test]
fn the_ladder_ends_a_stopped_child() {
    check_init(|program| {
        let running = ready(recording(program, "").setting("TAKUMI_STOP", "TERM:200ms"));
        running.child().signal(libc::SIGSTOP);
        running.signal("TERM");
        running.wait().expect(137);
    });
}

#[test]
fn without_a_ladder_there_is_no_deadline() {
    check_init(|program| {
        let running = ready(recording(program, ""));
        for _ in 0..3 {
            running.signal("TERM");
        }
        running.await_heard("child", "TERM");
        still_forwards(&running);
    });
}

/// SIGTERM is blocked and pending when `init` begins: the start is told to stop before COMMAND can have run.
#[test]
fn sigterm_before_command_runs_is_125() {
    check_init(|program| {
        for signal in ["15", "12"] {
            let wrapper = format!("unshare --pid --fork --mount-proc --kill-child PROBE pending {signal} --");
            let mut running = Prepared::start(program, &wrapper, &[], "record --to RECORD --exit 3");
            let code = running.exit();
            if signal == "15" {
                assert_eq!((code, running.record().text()), (125, String::new()));
                let errors = running.errors();
                assert_eq!(errors.lines().count(), 1, "{errors}");
                assert!(errors.contains("stop") || errors.contains("SIGTERM"), "{errors}");
            } else {
                // The control: another signal does not hinder the start.
                assert_eq!(code, 3, "{}", running.errors());
            }
        }
    });
}

/// Whenever it comes, it ends the start: before COMMAND by 125, afterwards by COMMAND, which keeps it blocked as it found it.
/// Blocked from the first, since the kernel drops what PID 1 has neither blocked nor asked for.
#[test]
fn sigterm_at_any_moment_of_the_start_ends_it() {
    check_init(|program| {
        let mut codes = Vec::new();
        for round in 0..if full() { 400 } else { 40 } {
            let mut running = Start::new(program).probe("until:TERM exit:99").blocked(&["TERM"]).spawn();
            let (started, delay) = (Instant::now(), Duration::from_micros(100 * (round % 40)));
            while started.elapsed() < delay {
                std::hint::spin_loop();
            }
            running.signal("TERM");
            codes.push(running.exit());
        }
        assert!(codes.iter().all(|code| matches!(code, Exit::Code(125 | 99))), "{codes:?}");
    });
}

#[test]
fn a_drain_without_a_server_is_passed_over_at_once() {
    check_init(|program| {
        for (url, said) in [
            ("http://127.0.0.1:9/", "cannot drain ComfyUI: Connection refused"),
            ("http://nowhere.invalid/", "/etc/hosts"),
        ] {
            let start = recording(program, "--on 3:50:7").setting("TAKUMI_STOP", "drain:10m,QUIT:10m");
            let running = ready(start.setting("TAKUMI_HEALTH_URL", url));
            running.signal("TERM");
            let ended = running.wait();
            ended.expect(7);
            assert!(ended.stderr.contains(said), "{ended:?}");
        }
    });
}

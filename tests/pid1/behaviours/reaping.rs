//! R: orphans, zombies and what COMMAND leaves behind.

use super::recorder::{Record, recording, with_recorder};
use super::signals::{await_state, ready};
use super::support::{Process, Running, Start, check, check_init, eventually};
use takumi_test::level::full;

#[test]
fn r01_an_orphan_is_reaped() {
    check("R01", |program| {
        let running = Start::new(program).probe("orphan { pause } ready pause").spawn().ready();
        let orphan = await_orphan(&running);
        orphan.signal(libc::SIGKILL);
        await_reaped(&running);
        assert_eq!(orphan.state(), None);
    });
}

#[test]
fn r02_staggered_orphans_are_reaped() {
    check("R02", |program| {
        let running = ready(recording(program, "--orphans 100:10"));
        await_orphan(&running);
        await_reaped(&running);
    });
}

#[test]
fn r03_a_storm_of_orphans_is_reaped() {
    check("R03", |program| {
        let count = if full() { 10_000 } else { 3_000 };
        let running = ready(recording(program, &format!("--orphans {count}:release")));
        assert_eq!(running.process.children().len(), count + 1);
        running.signal("USR1");
        await_reaped(&running);
    });
}

#[test]
fn r06_orphans_are_reaped_while_the_child_is_stopped() {
    check("R06", |program| {
        let running = ready(recording(program, "--orphans 20:release"));
        let child = running.child();
        let orphans: Vec<Process> =
            running.process.children().into_iter().filter(|process| *process != child).collect();
        child.signal(libc::SIGSTOP);
        await_state(child, "T");
        orphans.iter().for_each(|orphan| orphan.signal(libc::SIGKILL));
        await_reaped(&running);
        assert_eq!((orphans.len(), child.state()), (20, Some('T')));
    });
}

/// One of the two daemonised: that one is out of reach of a signal to the child's group.
const LEFTOVERS: &str = "--exit 3 --kin group:kin --kin session:daemon --kin-on";

#[test]
fn r07_leftovers_get_sigterm() {
    check("R07", |program| {
        let ended = recording(program, &format!("{LEFTOVERS} 15:0:0")).run();
        ended.expect(3);
        for role in ["kin", "daemon"] {
            assert_eq!(ended.stdout.heard(role, "TERM"), 1, "{role}: {}", ended.stdout);
        }
    });
}

#[test]
fn r08_leftovers_get_time_to_finish() {
    check("R08", |program| {
        let ended = recording(program, &format!("{LEFTOVERS} 15:500:0")).run();
        ended.expect(3);
        for role in ["kin", "daemon"] {
            assert!(ended.stdout.contains(&format!("{role} exits 0\n")), "{role}: {}", ended.stdout);
        }
    });
}

#[test]
fn r09_reaped_orphans_are_logged() {
    check("R09", |program| {
        let running = Start::new(program).probe("orphan { pause } ready pause").reap_log().spawn().ready();
        let orphan = await_orphan(&running);
        let pid = orphan.inner_pid().to_string();
        orphan.signal(libc::SIGKILL);
        let told = |line: &str| {
            line.to_lowercase().contains("reap") && line.split(|c: char| !c.is_ascii_digit()).any(|n| n == pid)
        };
        eventually("a line on the orphan", || running.errors().lines().any(told).then_some(()));
    });
}

#[test]
fn r10_zombies_stay_few_while_orphans_come_one_by_one() {
    check("R10", |program| {
        let running = ready(recording(program, "--stream 800"));
        running.signal("USR1");
        let mut most = 0;
        eventually("the last orphan", || {
            most = most.max(running.process.zombies());
            running.output().contains("child streamed").then_some(())
        });
        await_reaped(&running);
        // On a loaded machine PID 1 may not run for a while; one that does not reap at all comes near 800.
        assert!(most < 500, "{most} zombies at a time");
    });
}

#[test]
fn a_child_killed_while_stopped_ends_the_start() {
    check_init(|program| {
        let running = ready(recording(program, ""));
        let child = running.child();
        child.signal(libc::SIGSTOP);
        await_state(child, "T");
        child.signal(libc::SIGKILL);
        running.wait().expect(137);
    });
}

/// As PID 1 the kernel sees to it; here the parent-death signal must.
#[test]
fn command_dies_with_it() {
    check_init(|program| {
        let running = ready(recording(program, "").not_first());
        let child = running.child();
        running.process.signal(libc::SIGKILL);
        eventually("the child's death", || matches!(child.state(), None | Some('Z')).then_some(()));
    });
}

#[test]
fn one_inside_another_is_transparent() {
    check_init(|program| {
        let inner = format!("/run/programs/{program}");
        let start =
            with_recorder(program).command([inner.as_str(), super::recorder::RECORDER, "record", "--on", "15:0:7"]);
        let running = ready(start);
        for signal in ["USR1", "40", "SEGV"] {
            running.signal(signal);
            running.await_heard("child", signal);
            assert_eq!(running.heard("child", signal), 1, "{signal}");
        }
        running.signal("TERM");
        running.wait().expect(7);
    });
}

/// A child of the program that is not COMMAND.
fn await_orphan(running: &Running) -> Process {
    let child = running.child();
    eventually("an orphan", || running.process.children().into_iter().find(|process| *process != child))
}

/// Only COMMAND is left.
fn await_reaped(running: &Running) {
    eventually("the last orphan to be reaped", || (running.process.children().len() == 1).then_some(()));
    assert_ne!(running.child().state(), Some('Z'));
}

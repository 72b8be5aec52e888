//! S: what is forwarded, to whom, and what is not.

use super::prepared::{Prepared, UNKILLABLE};
use super::recorder::{Record, flush, recording};
use super::support::{Running, Scope, Scratch, Start, Stdio, check, eventually};
use std::path::PathBuf;

const ASYNCHRONOUS: [&str; 18] = [
    "HUP", "INT", "QUIT", "USR1", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CONT", "URG", "XCPU", "XFSZ", "VTALRM",
    "PROF", "WINCH", "IO", "PWR",
];

/// Those that the kernel sends for a fault, here sent by kill(2).
const FAULTS: [&str; 7] = ["ABRT", "SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS"];

#[test]
fn s01_every_asynchronous_signal_reaches_the_child() {
    check("S01", |program| {
        let running = ready(recording(program, ""));
        ASYNCHRONOUS.iter().for_each(|signal| running.signal(signal));
        for signal in ASYNCHRONOUS {
            running.await_heard("child", signal);
        }
    });
}

#[test]
fn s02_sent_faults_do_not_end_it() {
    check("S02", |program| {
        let running = ready(recording(program, ""));
        FAULTS.iter().for_each(|signal| running.signal(signal));
        still_forwards(&running);
    });
}

#[test]
fn s03_sent_faults_are_forwarded() {
    check("S03", |program| {
        let running = ready(recording(program, ""));
        FAULTS.iter().for_each(|signal| running.signal(signal));
        for signal in FAULTS {
            running.await_heard("child", signal);
        }
    });
}

#[test]
fn s04_real_time_signals_reach_the_child() {
    check("S04", |program| {
        let running = ready(recording(program, ""));
        let real_time: Vec<String> = (34..=64).map(|signal| signal.to_string()).collect();
        real_time.iter().for_each(|signal| running.signal(signal));
        for signal in &real_time {
            running.await_heard("child", signal);
        }
    });
}

#[test]
fn s05_queued_real_time_signals_are_not_lost() {
    check("S05", |program| {
        let running = ready(recording(program, ""));
        // Stopped, it takes none until all are queued.
        running.signal("STOP");
        await_state(running.process, "T");
        (0..200).for_each(|_| running.signal("40"));
        running.signal("CONT");
        eventually("200 signals", || (running.heard("child", "40") == 200).then_some(()));
        flush(&running, &running, "child");
        assert_eq!(running.heard("child", "40"), 200);
    });
}

#[test]
fn s06_a_child_that_ignores_sigterm_keeps_running() {
    check("S06", |program| {
        let running = Start::new(program).probe("ignore:TERM hold:USR1 ready until:USR1 exit:5").spawn().ready();
        running.signal("TERM");
        running.signal("USR1");
        running.wait().expect(5);
    });
}

#[test]
fn s07_a_signal_sent_inside_is_forwarded() {
    check("S07", |program| {
        let running = ready(recording(program, "--tell 10"));
        running.await_heard("child", "USR1");
    });
}

#[test]
fn s09_sigtstp_reaches_or_stops_the_child() {
    check("S09", |program| {
        let running = ready(recording(program, ""));
        running.signal("TSTP");
        await_heard_or_stopped(&running, "TSTP");
    });
}

#[test]
fn s10_sigttin_and_sigttou_reach_or_stop_the_child() {
    check("S10", |program| {
        for signal in ["TTIN", "TTOU"] {
            let running = ready(recording(program, ""));
            running.signal(signal);
            await_heard_or_stopped(&running, signal);
        }
    });
}

#[test]
fn s11_forwards_after_sigtstp_and_sigcont() {
    check("S11", |program| {
        let running = ready(recording(program, ""));
        running.signal("TSTP");
        await_heard_or_stopped(&running, "TSTP");
        running.signal("CONT");
        still_forwards(&running);
    });
}

#[test]
fn s12_a_stopped_child_is_resumed_through_it() {
    check("S12", |program| {
        let running = ready(recording(program, ""));
        let child = running.child();
        child.signal(libc::SIGSTOP);
        await_state(child, "T");
        running.signal("USR1");
        running.signal("CONT");
        running.await_heard("child", "USR1");
        assert_eq!(child.state(), Some('S'));
        still_forwards(&running);
    });
}

#[test]
fn s13_a_sent_sigchld_is_harmless() {
    check("S13", |program| {
        let running = ready(recording(program, "--on 15:0:7"));
        (0..20).for_each(|_| running.signal("CHLD"));
        still_forwards(&running);
        running.signal("TERM");
        running.wait().expect(7);
    });
}

#[test]
fn s14_group_mode_reaches_the_process_group() {
    check("S14", |program| {
        let running = family(recording(program, FAMILY).scope(Scope::Group));
        running.signal("USR2");
        running.await_heard("child", "USR2");
        running.await_heard("kin", "USR2");
        flush(&running, &running, "daemon");
        assert_eq!(running.heard("daemon", "USR2"), 0);
    });
}

#[test]
fn s15_single_mode_reaches_the_child_only() {
    check("S15", |program| {
        let running = family(recording(program, FAMILY).scope(Scope::Child));
        running.signal("USR2");
        running.await_heard("child", "USR2");
        for role in ["kin", "daemon"] {
            flush(&running, &running, role);
            assert_eq!(running.heard(role, "USR2"), 0, "{role}");
        }
    });
}

#[test]
fn s16_tree_mode_reaches_a_session_of_its_own() {
    check("S16", |program| {
        let running = family(recording(program, FAMILY).scope(Scope::All));
        running.signal("TERM");
        for role in ["child", "kin", "daemon"] {
            running.await_heard(role, "TERM");
            flush(&running, &running, role);
            assert_eq!(running.heard(role, "TERM"), 1, "{role}");
        }
    });
}

#[test]
fn s17_signals_are_rewritten_and_dropped() {
    check("S17", |program| {
        let running = ready(recording(program, "").rewrite("USR1", "USR2").rewrite("HUP", ""));
        ["HUP", "USR1", "WINCH"].iter().for_each(|signal| running.signal(signal));
        running.await_heard("child", "USR2");
        running.await_heard("child", "WINCH");
        flush(&running, &running, "child");
        assert_eq!((running.heard("child", "HUP"), running.heard("child", "USR1")), (0, 0));
    });
}

#[test]
fn s18_rewrites_take_names() {
    check("S18", |program| {
        for (from, to) in [("USR1", "WINCH"), ("SIGUSR1", "SIGWINCH")] {
            let running = ready(recording(program, "").rewrite_as_said(from, to));
            running.signal("USR1");
            running.await_heard("child", "WINCH");
        }
    });
}

#[test]
fn s19_bad_rewrites_are_refused() {
    check("S19", |program| {
        for (from, to) in [("NOSUCH", "15"), ("15", "NOSUCH"), ("65", "15"), ("15", "65"), ("-1", "15"), ("", "")] {
            let ended = Start::new(program).probe("say:ran exit:0").rewrite_as_said(from, to).run();
            assert_ne!(ended.exit, super::support::Exit::Code(0), "{from}={to}");
            assert_eq!(ended.stdout, "", "{from}={to}");
        }
    });
}

/// As where the child has another uid and PID 1 no CAP_KILL: every kill answers EPERM.
#[test]
fn s21_a_refused_kill_does_not_end_it() {
    check("S21", |program| {
        let mut running = Prepared::start(program, UNKILLABLE, &[], "record --to RECORD");
        running.record().await_said("child", "ready");
        running.program().signal(libc::SIGUSR1);
        running.program().signal(libc::SIGUSR2);
        // Both are taken, and refused, before the child's end is.
        running.child().signal(libc::SIGKILL);
        assert_eq!(running.exit(), 137);
    });
}

#[test]
fn s24_sigkill_after_the_grace() {
    check("S24", |program| {
        let running = ready(recording(program, "").grace("300ms"));
        running.signal("TERM");
        running.await_heard("child", "TERM");
        running.wait().expect(137);
    });
}

#[test]
fn s25_a_child_that_stops_in_time_is_not_killed() {
    check("S25", |program| {
        let running = ready(recording(program, "--on 15:100:7").grace("60s"));
        running.signal("TERM");
        running.wait().expect(7);
    });
}

#[test]
fn s26_a_log_write_to_a_closed_pipe_does_not_signal_the_child() {
    check("S26", |program| {
        let scratch = Scratch::new();
        let record = PathBuf::from(scratch.path("record"));
        let closed = || Stdio::Given(std::io::pipe().unwrap().1.into());
        let start =
            recording(program, &format!("--to {}", record.display())).verbose().stdout(closed()).stderr(closed());
        let running = start.spawn();
        record.await_said("child", "ready");
        // Some write only when a buffer is full.
        (0..300).for_each(|_| running.signal("40"));
        running.signal("50");
        record.await_heard("child", "50");
        flush(&running, &record, "child");
        assert_eq!(record.heard("child", "PIPE"), 0);
    });
}

const FAMILY: &str = "--kin group:kin --kin session:daemon";

fn family(start: Start) -> Running {
    let running = ready(start);
    ["kin", "daemon"].iter().for_each(|role| drop(running.await_said(role, "ready")));
    running
}

pub fn ready(start: Start) -> Running {
    let running = start.spawn();
    running.await_said("child", "ready");
    running
}

/// The signal used to ask is one that no test here sends before.
pub fn still_forwards(running: &Running) {
    running.signal("50");
    running.await_heard("child", "50");
}

fn await_heard_or_stopped(running: &Running, signal: &str) {
    let child = running.child();
    let arrived = || running.heard("child", signal) > 0 || child.state() == Some('T');
    eventually(signal, || arrived().then_some(()));
}

/// Waits until the process is in one of these states.
pub fn await_state(process: super::support::Process, states: &str) {
    eventually(&format!("state {states} of {process:?}"), || process.state().filter(|state| states.contains(*state)));
}

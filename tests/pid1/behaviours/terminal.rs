//! T: with a pseudo-terminal.

use super::prepared::Prepared;
use super::recorder::{Record, flush, recording};
use super::signals::await_state;
use super::support::{Process, Program, Running, Scratch, Start, check, check_init, eventually, patience};
use std::path::PathBuf;
use takumi_test::pty::Pty;
use takumi_test::spec::Terminal;

#[test]
fn t01_the_child_is_in_the_foreground() {
    check("T01", |program| {
        let pty = Pty::open().unwrap();
        let running = on(&pty, Start::new(program).probe("pause")).spawn();
        let child = running.child();
        eventually("the child in the foreground", || (pty.foreground() == child.0).then_some(()));
    });
}

#[test]
fn t02_an_interactive_shell_has_job_control() {
    check("T02", |program| {
        let mut pty = Pty::open().unwrap();
        let _running =
            on(&pty, Start::new(program).command(["bash", "--norc", "--noprofile", "-i"]).env("PS1", "> ")).spawn();
        pty.press("echo flags=$-=\n").unwrap();
        assert!(pty.shows("> ", patience()), "{}", pty.text());
        pty.press("sleep 600\n").unwrap();
        // Between fork and exec the shell's child still ignores the stop key.
        eventually("a job in the foreground", || (Process(pty.foreground()).name() == "sleep").then_some(()));
        pty.press("\x1a").unwrap();
        assert!(pty.shows("Stopped", patience()), "{}", pty.text());
        // The first is the echo of the question.
        let text = pty.text();
        let mut flags = text.split("flags=").filter_map(|text| text.split_once("=\r")).map(|(flags, _)| flags);
        assert!(flags.any(|flags| flags.contains('m')), "{text}");
        assert!(!pty.text().contains("job control"), "{}", pty.text());
    });
}

#[test]
fn t03_the_child_reads_the_terminal() {
    check("T03", |program| {
        let mut pty = Pty::open().unwrap();
        let running = on(&pty, Start::new(program).command(["sh", "-c", "read word; echo got=$word; exit 5"])).spawn();
        pty.press("hello\n").unwrap();
        assert!(pty.shows("got=hello", patience()), "{}", pty.text());
        running.wait().expect(5);
    });
}

#[test]
fn t04_ctrl_c_reaches_the_child_once() {
    check("T04", |program| {
        let (pty, running, record, _scratch) = recording_on_a_terminal(program);
        pty.press("\x03").unwrap();
        record.await_heard("child", "INT");
        running.signal("50");
        record.await_heard("child", "50");
        flush(&running, &record, "child");
        assert_eq!(record.heard("child", "INT"), 1);
    });
}

#[test]
fn t05_a_resize_reaches_the_child() {
    check("T05", |program| {
        let (pty, _running, record, _scratch) = recording_on_a_terminal(program);
        pty.resize(50, 132);
        record.await_heard("child", "WINCH");
    });
}

#[test]
fn t06_a_hangup_reaches_the_child() {
    check("T06", |program| {
        let (pty, running, record, _scratch) = recording_on_a_terminal(program);
        drop(pty);
        record.await_heard("child", "HUP");
        drop(running);
    });
}

#[test]
fn t07_no_stray_signal_at_the_start() {
    check("T07", |program| {
        let (_pty, running, record, _scratch) = recording_on_a_terminal(program);
        running.signal("50");
        record.await_heard("child", "50");
        flush(&running, &record, "child");
        assert_eq!((record.heard("child", "HUP"), record.heard("child", "CONT")), (0, 0), "{}", record.text());
    });
}

#[test]
fn t09_started_in_the_background_it_leaves_the_foreground_alone() {
    check("T09", |program| {
        let (pty, job) = job(program, "back", "record --to RECORD --on 15:0:7");
        let leader = job.first().0;
        job.record().await_said("child", "ready");
        assert_eq!(pty.foreground(), leader);
        job.program().signal(libc::SIGTERM);
        await_told(&job, "job ended");
        assert!(job.output().contains(&format!("foreground {leader}")), "{}", job.output());
    });
}

#[test]
fn t10_the_terminal_is_handed_back_at_the_end() {
    check("T10", |program| {
        let (pty, job) = job(program, "fore", "record --to RECORD --on 15:0:7");
        let own = job.program().0;
        job.record().await_said("child", "ready");
        let child = job.child();
        eventually("the child in the foreground", || (pty.foreground() == child.0).then_some(()));
        job.program().signal(libc::SIGTERM);
        await_told(&job, "job ended");
        assert!(job.output().contains(&format!("foreground {own}")), "own group {own}: {}", job.output());
    });
}

#[test]
fn t11_sigtstp_stops_both_and_sigcont_resumes_both() {
    check("T11", |program| {
        let (_pty, job) = job(program, "fore", "pause");
        let (init, child) = (job.program(), job.child());
        eventually("the child", || (child.name() == "sleep").then_some(()));
        for _ in 0..2 {
            init.signal(libc::SIGTSTP);
            await_state(child, "T");
            await_state(init, "T");
            init.signal(libc::SIGCONT);
            await_state(init, "SR");
            await_state(child, "SR");
        }
    });
}

/// COMMAND stops first, so that a shell that shows its prompt again does not find COMMAND still writing.
#[test]
fn sigtstp_as_pid_1_stops_command_only() {
    check_init(|program| {
        let pty = Pty::open().unwrap();
        let running = on(&pty, Start::new(program).command(["sleep", "600"])).spawn();
        let child = running.child();
        eventually("the child", || (child.name() == "sleep").then_some(()));
        running.signal("TSTP");
        await_state(child, "T");
        // It may still be on its way back to sleep.
        await_state(running.process, "S");
        running.signal("CONT");
        await_state(child, "SR");
    });
}

fn on(pty: &Pty, start: Start) -> Start {
    start.terminal(pty.slave(), Some(Terminal::Foreground))
}

/// The recorder on a terminal, writing to a file, so that what it says is not mixed with what the terminal echoes.
fn recording_on_a_terminal(program: Program) -> (Pty, Running, PathBuf, Scratch) {
    let (pty, scratch) = (Pty::open().unwrap(), Scratch::new());
    let record = PathBuf::from(scratch.path("record"));
    let running = on(&pty, recording(program, &format!("--to {}", record.display()))).spawn();
    record.await_said("child", "ready");
    (pty, running, record, scratch)
}

/// Not PID 1, but a job of a shell's on a terminal of its own; [`Prepared::output`] is what the shell sees.
fn job(program: Program, ground: &str, command: &str) -> (Pty, Prepared) {
    let pty = Pty::open().unwrap();
    let wrapper = format!("PROBE session {} {ground} --", pty.path().display());
    let job = match command {
        "pause" => Prepared::start_command(program, &wrapper, &[], "sleep 600"),
        _ => Prepared::start(program, &wrapper, &[], command),
    };
    await_told(&job, "leader");
    (pty, job)
}

fn await_told(job: &Prepared, words: &str) {
    eventually(words, || job.output().contains(words).then_some(()));
}

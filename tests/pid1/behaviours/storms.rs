//! Signals and orphans under load, during the start, and where the log cannot be written.

use super::recorder::{Record, flush, recording};
use super::signals::{ready, still_forwards};
use super::support::{Program, Running, Scratch, Start, Stdio, check, check_init, eventually};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;
use takumi_test::level::full;
use takumi_test::signal::number;

const REAL_TIME: [&str; 4] = ["34", "40", "50", "63"];
const STANDARD: [&str; 8] = ["HUP", "USR1", "USR2", "ALRM", "CONT", "URG", "WINCH", "CHLD"];

/// Standard signals coalesce, real-time ones must all arrive, and every orphan is reaped in between.
#[test]
fn a_storm_of_signals_while_orphans_die() {
    check("storm", |program| {
        let (rounds, orphans) = if full() { (20, 5_000) } else { (2, 2_000) };
        let running = ready(recording(program, &format!("--orphans {orphans}:release --on 15:0:7")));
        for round in 1..=rounds {
            // Fewer than may be pending, so that a lost one is lost by the program.
            for _ in 0..5_000 / (REAL_TIME.len() + STANDARD.len()) {
                REAL_TIME.iter().chain(&STANDARD).for_each(|signal| running.signal(signal));
            }
            let sent = round * (5_000 / (REAL_TIME.len() + STANDARD.len()));
            for signal in REAL_TIME {
                eventually(&format!("{sent} times {signal}"), || {
                    (running.heard("child", signal) == sent).then_some(())
                });
            }
        }
        eventually("the last orphan", || (running.process.children().len() == 1).then_some(()));
        still_forwards(&running);
        running.signal("TERM");
        running.wait().expect(7);
    });
}

/// As many leftovers as orphans: to look for them all again at each death would take minutes.
#[test]
fn a_crowd_of_leftovers_ends_in_time() {
    check_init(|program| {
        let count = if full() { 5_000 } else { 2_000 };
        let start = recording(program, &format!("--orphans {count}:release --on 15:0:7"));
        let running = ready(start.setting("TAKUMI_LEFTOVER_GRACE", "200ms"));
        running.signal("TERM");
        running.wait().expect(7);
    });
}

#[test]
fn the_value_of_a_queued_signal_is_kept() {
    check_init(|program| {
        let running = ready(recording(program, ""));
        for value in [1, 77, -5] {
            queue(&running, number("40"), value);
        }
        eventually("three signals", || (running.heard("child", "40") == 3).then_some(()));
        let values: Vec<String> =
            running.text().lines().filter_map(|line| line.split(" value ").nth(1).map(str::to_owned)).collect();
        let values: Vec<&str> = values.iter().filter_map(|text| text.split(' ').next()).collect();
        assert_eq!(values, ["1", "77", "-5"]);
    });
}

/// Blocked in COMMAND as well, they can reach it before its exec; none may be lost or arrive twice.
#[test]
fn signals_sent_during_the_start_arrive() {
    check_init(|program| {
        for _ in 0..if full() { 200 } else { 20 } {
            let running = recording(program, "").blocked(&["40", "HUP"]).spawn();
            let mut sent = 0;
            while !running.output().contains("ready") {
                running.signal("40");
                running.signal("HUP");
                sent += 1;
                // A user may have as many pending signals as processes (RLIMIT_SIGPENDING), all tests of that user together.
                std::thread::sleep(Duration::from_micros(100));
            }
            running.signal("64");
            running.await_heard("child", "64");
            assert_eq!(running.heard("child", "40"), sent);
            assert_eq!(running.heard("child", "HUP") > 0, sent > 0);
        }
    });
}

/// Nobody reads, the pipe is full: lines may be lost, signals not.
#[test]
fn a_full_log_pipe_stops_no_signal() {
    check("full-log", |program| {
        let (running, record, [reader, fill], _scratch) = logging_to_a_pipe(program, |_| ());
        record.await_said("child", "ready");
        fill_up(&fill);
        (0..300).for_each(|_| running.signal("40"));
        eventually("300 signals", || (record.heard("child", "40") == 300).then_some(()));
        running.child().signal(libc::SIGKILL);
        running.wait().expect(137);
        drop(reader);
    });
}

/// Full from the first: the start may wait for a reader, but not for ever.
#[test]
fn a_full_log_pipe_does_not_hinder_the_start() {
    check_init(|program| {
        let (running, record, ends, _scratch) = logging_to_a_pipe(program, fill_up);
        record.await_said("child", "ready");
        running.signal("50");
        record.await_heard("child", "50");
        drop(ends);
    });
}

/// A pipe's flags belong to all who share it: O_NONBLOCK set by one makes the other lose output.
#[test]
fn standard_descriptors_stay_blocking() {
    check("C-blocking", |program| {
        let running = Start::new(program).probe("ready pause").verbose().spawn().ready();
        for descriptor in 0..3 {
            let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/{descriptor}", running.child().0)).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
            assert_eq!(i32::from_str_radix(flags, 8).unwrap() & libc::O_NONBLOCK, 0, "descriptor {descriptor}");
        }
    });
}

/// At `warn` it says nothing of its own, and a stop by SIGTERM is nothing to warn of.
#[test]
fn silent_while_it_works() {
    check("silence", |program| {
        let running = ready(recording(program, "--orphans 20:release --on 15:0:7"));
        running.signal("USR1");
        eventually("the last orphan", || (running.process.children().len() == 1).then_some(()));
        flush(&running, &running, "child");
        running.signal("TERM");
        let ended = running.wait();
        ended.expect(7);
        assert_eq!(ended.stderr, "");
    });
}

/// The program at its most talkative, both its outputs being one pipe whose ends the test holds too.
fn logging_to_a_pipe(program: Program, prepare: impl Fn(&OwnedFd)) -> (Running, PathBuf, [OwnedFd; 2], Scratch) {
    let scratch = Scratch::new();
    let record = PathBuf::from(scratch.path("record"));
    let (reader, writer) = std::io::pipe().unwrap();
    let fill = OwnedFd::from(writer.try_clone().unwrap());
    prepare(&fill);
    let start = recording(program, &format!("--to {}", record.display())).verbose();
    let [stdout, stderr] = [writer.try_clone().unwrap(), writer].map(|writer| Stdio::Given(writer.into()));
    let running = start.stdout(stdout).stderr(stderr).spawn();
    (running, record, [reader.into(), fill], scratch)
}

fn queue(running: &Running, signal: i32, value: i32) {
    let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(value as u32 as usize) };
    // SAFETY: the value is a number, no pointer that anyone follows.
    assert_eq!(unsafe { libc::sigqueue(running.process.0, signal, value) }, 0);
}

fn fill_up(pipe: &OwnedFd) {
    let mut file = std::fs::File::from(pipe.try_clone().unwrap());
    let flags = |new: Option<i32>| {
        // SAFETY: no memory is involved.
        unsafe {
            new.map_or_else(
                || libc::fcntl(pipe.as_raw_fd(), libc::F_GETFL),
                |new| libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, new),
            )
        }
    };
    let before = flags(None);
    flags(Some(before | libc::O_NONBLOCK));
    while file.write(&[b'.'; 4096]).is_ok() {}
    while file.write(b".").is_ok() {}
    flags(Some(before));
}

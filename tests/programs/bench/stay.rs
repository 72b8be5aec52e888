//! Staying: what PID 1 holds at rest, costs per orphan, and adds to a signal's way.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::os;
use crate::programs::{BenchFolder, Program, as_pid_1, working};
use crate::table::{Goal, median, number, order, print, quantile, ratio};

/// How long PID 1 is watched doing nothing: tini wakes each second.
const REST: Duration = Duration::from_secs(3);
const ORPHANS: u32 = 4000;
const ORPHAN_RUNS: usize = 7;

/// PID 1 over `sleep`: wake-ups, memory, threads, descriptors, size of the binary.
pub fn rest(place: &BenchFolder) -> Vec<Goal> {
    let programs = supervisors(place);
    let sleeper = [PathBuf::from("/bin/sleep"), PathBuf::from("600")];
    let held: Vec<Pid1> = programs.iter().map(|program| Pid1::start(program, &sleeper, "sleep")).collect();
    // Not to synchronise: what a program does just after COMMAND's exec belongs to its start.
    sleep(Duration::from_millis(500));
    let before: Vec<f64> = held.iter().map(Pid1::switches).collect();
    sleep(REST);
    let figures: Vec<Vec<f64>> = held
        .iter()
        .zip(before)
        .map(|(init, before)| {
            let kib = |field| init.field("smaps_rollup", field);
            let size = init.size();
            let fds = fs::read_dir(init.path("fd")).map_or(f64::NAN, |dir| dir.count() as f64);
            let threads = init.field("status", "Threads:");
            vec![init.switches() - before, kib("Private_Dirty:"), kib("Pss:"), kib("Rss:"), threads, fds, size]
        })
        .collect();
    let of = |name: &str, column: usize| {
        programs.iter().position(|program| program.name == name).map(|row| figures[row][column])
    };
    let dirty = of("init", 1);
    // tini wakes once a second: a count that does not see it sees nothing.
    let wake_ups = of("init", 0).filter(|_| of("tini", 0).is_none_or(|tini| tini > 0.0));
    let goals = vec![
        Goal::at_most("wake-ups of init", wake_ups, 0.0),
        Goal::at_most("private dirty of init / tini", dirty.zip(of("tini", 1)).map(|(init, tini)| init / tini), 1.0),
        Goal::at_most("private dirty of init, KiB", dirty, 80.0),
        Goal::at_most("threads of init", of("init", 4), 1.0),
        Goal::at_most("size of init, bytes", of("init", 6), 1_100_000.0),
    ];
    let rows: Vec<Vec<String>> = programs
        .iter()
        .zip(&figures)
        .map(|(program, figures)| {
            [program.name.to_owned()].into_iter().chain(figures.iter().map(|figure| number(*figure))).collect()
        })
        .collect();
    let heads = [
        "program", "wake-ups in 3 s", "private dirty KiB", "PSS KiB", "RSS KiB", "threads", "descriptors",
        "binary bytes",
    ];
    print("rest: PID 1 over sleep", &heads, &rows, &goals);
    goals
}

/// PID 1's CPU time per orphan that it reaps, from a stream of orphans that die at once.
pub fn orphans(place: &BenchFolder) -> Vec<Goal> {
    let programs = supervisors(place);
    let command = [place.bench(), "orphans".into(), ORPHANS.to_string().into()];
    let mut per_orphan: Vec<Vec<f64>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 0..ORPHAN_RUNS {
        for index in order(round, programs.len()) {
            let mut init = Pid1::start(&programs[index], &command, "bench");
            init.await_byte();
            let before = init.cpu_ns();
            init.child.stdin.as_mut().unwrap().write_all(b"g").unwrap();
            init.await_byte();
            await_that("all orphans are reaped", || children(init.pid).len() == 1);
            per_orphan[index].push((init.cpu_ns() - before) / 1e3 / f64::from(ORPHANS));
        }
    }
    let of = |name: &str| samples_of(&programs, &per_orphan, name);
    let goals = vec![Goal::at_most("init / tini", ratio(of("init"), of("tini"), 0.5), 0.70)];
    let row = |(program, samples): (&Program, &Vec<f64>)| {
        let ratio = ratio(samples, of("tini"), 0.5).unwrap_or(f64::NAN);
        vec![program.name.to_owned(), format!("{:.2}", median(samples)), number(ratio)]
    };
    let rows: Vec<Vec<String>> = programs.iter().zip(&per_orphan).map(row).collect();
    let title = format!("orphans: CPU of PID 1 per orphan, {ORPHAN_RUNS} interleaved streams of {ORPHANS}, us");
    print(&title, &["program", "median", "x tini"], &rows, &goals);
    goals
}

/// From the sending of SIGTERM to the moment that COMMAND's handler runs.
pub fn signal(place: &BenchFolder, runs: usize) -> Vec<Goal> {
    let command = [place.bench(), "app".into()];
    let programs = working(place.supervisors(), &[], &command);
    let mut running: Vec<Child> = programs
        .iter()
        .map(|program| {
            let mut run = program.over(&[], &command);
            let mut child = run.stdin(Stdio::piped()).spawn().unwrap();
            child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            child
        })
        .collect();
    let mut delays: Vec<Vec<f64>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 0..runs {
        for index in order(round, programs.len()) {
            let child = &mut running[index];
            // Not to synchronise: the program is to be asleep again, as one that waits for its `docker stop` is.
            sleep(Duration::from_micros(500));
            let sent = os::now();
            os::kill(child.id(), libc::SIGTERM);
            let mut stamp = [0; 16];
            child.stdout.as_mut().unwrap().read_exact(&mut stamp).unwrap();
            delays[index].push((os::stamps(&stamp)[0] - sent) as f64 / 1e3);
        }
    }
    for child in &mut running {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
    let of = |name: &str| samples_of(&programs, &delays, name);
    let goals = vec![Goal::ratio("init / direct", of("init"), of("direct"), 2.5)];
    let row = |(program, samples): (&Program, &Vec<f64>)| {
        let figure = |q| format!("{:.1}", quantile(samples, q).unwrap_or(f64::NAN));
        let ratio = number(ratio(samples, of("direct"), 0.5).unwrap_or(f64::NAN));
        vec![program.name.to_owned(), figure(0.5), figure(0.1), figure(0.9), ratio]
    };
    let rows: Vec<Vec<String>> = programs.iter().zip(&delays).map(row).collect();
    let title = format!("signal: SIGTERM sent to COMMAND's handler running, {runs} interleaved runs, us");
    print(&title, &["program", "median", "p10", "p90", "x direct"], &rows, &goals);
    goals
}

fn samples_of<'a>(programs: &[Program], samples: &'a [Vec<f64>], name: &str) -> &'a [f64] {
    programs.iter().position(|program| program.name == name).map_or(&[], |row| &samples[row])
}

fn supervisors(place: &BenchFolder) -> Vec<Program> {
    let programs = working(place.supervisors(), &as_pid_1(), &[PathBuf::from("/bin/true")]);
    programs.into_iter().filter(|program| program.binary().is_some()).collect()
}

/// A program that is PID 1 of a fresh pid namespace over a COMMAND; the namespace ends with the value.
struct Pid1 {
    child: Child,
    pid: u32,
}

impl Pid1 {
    /// Returns when COMMAND, known by its `comm`, runs.
    fn start(program: &Program, command: &[PathBuf], comm: &str) -> Self {
        let child = program.over(&as_pid_1(), command).stdin(Stdio::piped()).spawn().unwrap();
        let mut init = Pid1 { pid: child.id(), child };
        let first = |pid| children(pid).first().copied();
        let named = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == comm);
        await_that("COMMAND runs", || first(init.child.id()).and_then(first).is_some_and(named));
        init.pid = first(init.child.id()).unwrap();
        init
    }

    fn await_byte(&mut self) {
        self.child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }

    /// The number after `name` in one of its files in /proc.
    fn field(&self, file: &str, name: &str) -> f64 {
        let text = fs::read_to_string(self.path(file)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
    }

    fn switches(&self) -> f64 {
        self.field("status", "voluntary_ctxt_switches:") + self.field("status", "nonvoluntary_ctxt_switches:")
    }

    fn cpu_ns(&self) -> f64 {
        let text = fs::read_to_string(self.path("schedstat")).unwrap();
        text.split_whitespace().next().unwrap().parse().unwrap()
    }

    fn size(&self) -> f64 {
        fs::metadata(self.path("exe")).map_or(f64::NAN, |file| file.len() as f64)
    }
}

impl Drop for Pid1 {
    fn drop(&mut self) {
        os::kill(self.pid, libc::SIGKILL);
        let _ = self.child.wait();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn await_that(what: &str, mut held: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !held() {
        assert!(Instant::now() < deadline, "waited 20 s in vain: {what}");
        sleep(Duration::from_millis(1));
    }
}

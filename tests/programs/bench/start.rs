//! Starting: from the spawn to COMMAND's end, and from exec to COMMAND's first instruction.

use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;

use crate::os;
use crate::programs::{BenchFolder, CONFINED, Program, WITHOUT_CHECKS, as_pid_1, working};
use crate::table::{Goal, median, number, order, print, quantile, ratio};

/// Rounds before the counted ones: page cache, branch predictors, frequency.
const WARM_UP: usize = 5;

/// `PROGRAM /bin/true` as root: wall time, CPU time and page faults from the spawn to the end.
pub fn start(place: &BenchFolder, runs: usize) -> Vec<Goal> {
    let programs = place.as_root();
    let measured = to_end(programs, runs);
    let goals = vec![
        measured.goal("init", "tini+gosu", 0.70),
        measured.added("init's checks", ("init", WITHOUT_CHECKS), "tini+gosu", 0.25),
        measured.goal(WITHOUT_CHECKS, "tini+gosu", 0.50),
        measured.goal(WITHOUT_CHECKS, "direct", 2.6),
        // Of a whole start, as everybody has it: the mounts are read once for both.
        measured.added("the sandbox", (CONFINED, "init"), "tini+gosu", 0.10),
    ];
    measured.print(&format!("start: PROGRAM /bin/true as root, spawn to end, {runs} interleaved runs, us"), &goals);
    goals
}

/// `PROGRAM /bin/true`, everything started by an ordinary user: nothing to drop.
pub fn unprivileged(place: &BenchFolder, runs: usize) -> Vec<Goal> {
    let mut programs = place.supervisors();
    programs.extend(place.as_root().into_iter().filter(|program| program.name == WITHOUT_CHECKS));
    let measured = to_end(programs, runs);
    // tini looks at nothing either.
    let goals = vec![measured.goal(WITHOUT_CHECKS, "tini-static", 1.05)];
    measured.print(
        &format!("unprivileged: PROGRAM /bin/true as an ordinary user, spawn to end, {runs} interleaved runs, us"),
        &goals,
    );
    goals
}

/// From the exec of PROGRAM to the first instruction of its COMMAND, as an ordinary child and as PID 1 of a pid namespace.
pub fn exec(place: &BenchFolder, runs: usize) -> Vec<Goal> {
    let stamp = place.stamp();
    let mut pid_1 = as_pid_1();
    pid_1.push(stamp.clone());
    for (title, before) in [("as a child", vec![stamp.clone()]), ("as PID 1", pid_1)] {
        let programs = working(place.as_root(), &before, std::slice::from_ref(&stamp));
        let measured = interleave(programs, runs, |program| Sample { wall: to_exec(program, &before, &stamp), ..NONE });
        measured.print(&format!("exec: exec of PROGRAM to exec of COMMAND, {title}, {runs} interleaved runs, us"), &[]);
    }
    Vec::new()
}

#[expect(clippy::zombie_processes, reason = "os::wait waits, and says what the child used")]
fn to_end(programs: Vec<Program>, runs: usize) -> Measured {
    let command = [PathBuf::from("/bin/true")];
    interleave(working(programs, &[], &command), runs, |program| {
        let mut run = program.over(&[], &command);
        run.stdout(Stdio::null());
        let begin = os::now();
        let child = run.spawn().unwrap();
        let usage = os::wait(&child);
        let wall = (os::now() - begin) as f64 / 1e3;
        assert_eq!(usage.status, 0, "{} ended with status {:#x}", program.name, usage.status);
        Sample { wall, cpu: usage.cpu_us, faults: usage.faults }
    })
}

fn to_exec(program: &Program, before: &[PathBuf], stamp: &PathBuf) -> f64 {
    let mut child = program.over(before, std::slice::from_ref(stamp)).spawn().unwrap();
    let mut bytes = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
    child.wait().unwrap();
    match os::stamps(&bytes)[..] {
        [program, command] => (command - program) as f64 / 1e3,
        ref other => panic!("{} ran COMMAND {} times", program.name, other.len().saturating_sub(1)),
    }
}

#[derive(Clone, Copy)]
struct Sample {
    wall: f64,
    cpu: f64,
    faults: f64,
}

const NONE: Sample = Sample { wall: f64::NAN, cpu: f64::NAN, faults: f64::NAN };

struct Measured(Vec<(&'static str, Vec<Sample>)>);

/// Every program once a round.
fn interleave(programs: Vec<Program>, runs: usize, measure: impl Fn(&Program) -> Sample) -> Measured {
    let mut all: Vec<Vec<Sample>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 0..runs + WARM_UP {
        for index in order(round, programs.len()) {
            let sample = measure(&programs[index]);
            if round >= WARM_UP {
                all[index].push(sample);
            }
        }
    }
    Measured(programs.iter().map(|program| program.name).zip(all).collect())
}

impl Measured {
    fn column(&self, name: &str, value: fn(&Sample) -> f64) -> Vec<f64> {
        self.0.iter().filter(|(n, _)| *n == name).flat_map(|(_, samples)| samples.iter().map(value)).collect()
    }

    fn goal(&self, one: &str, other: &str, limit: f64) -> Goal {
        let wall = |name| self.column(name, |s| s.wall);
        let cpu = |name| self.column(name, |s| s.cpu);
        let goal = Goal::ratio(&format!("{one} / {other}"), &wall(one), &wall(other), limit);
        goal.compared_with("CPU", ratio(&cpu(one), &cpu(other), 0.5))
    }

    /// What a part (the checks with their report and the state file, the sandbox) adds to a start, round by round.
    fn added(&self, what: &str, (with, without): (&str, &str), other: &str, limit: f64) -> Goal {
        let wall = |name| self.column(name, |s| s.wall);
        let added: Vec<f64> = wall(with).iter().zip(wall(without)).map(|(whole, without)| whole - without).collect();
        Goal::ratio(&format!("{what} / {other}"), &added, &wall(other), limit)
    }

    fn print(&self, title: &str, goals: &[Goal]) {
        let row = |name: &&'static str| {
            let wall = self.column(name, |s| s.wall);
            let cpu = median(&self.column(name, |s| s.cpu));
            let direct_cpu = median(&self.column("direct", |s| s.cpu));
            let ratio = |other| number(ratio(&wall, &self.column(other, |s| s.wall), 0.5).unwrap_or(f64::NAN));
            vec![
                (*name).to_owned(),
                number(median(&wall).round()),
                number(quantile(&wall, 0.1).unwrap_or(f64::NAN).round()),
                number(quantile(&wall, 0.9).unwrap_or(f64::NAN).round()),
                ratio("direct"),
                ratio("tini-static"),
                ratio("tini+gosu"),
                number(cpu.round()),
                number(cpu / direct_cpu),
                number(median(&self.column(name, |s| s.faults))),
            ]
        };
        let heads = [
            "program", "median", "p10", "p90", "x direct", "x tini-static", "x tini+gosu", "CPU", "CPU x direct",
            "page faults",
        ];
        let mut rows: Vec<Vec<String>> = self.0.iter().map(|(name, _)| row(name)).collect();
        // A column that nobody filled (no gosu among the supervisors, no CPU time of an exec) is not shown.
        let filled: Vec<usize> = (0..heads.len()).filter(|&i| rows.iter().any(|row| row[i] != "-")).collect();
        rows.iter_mut().for_each(|row| *row = filled.iter().map(|&i| row[i].clone()).collect());
        print(title, &filled.iter().map(|&i| heads[i]).collect::<Vec<_>>(), &rows, goals);
    }
}

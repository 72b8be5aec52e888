//! The measurements of scripts/bench.sh, and the COMMANDs that they start.
//!
//! `bench WORK [--runs N] [--rounds N] [--only TOPIC] [--strict]` measures with what lies in WORK: `init`, `bench` (this program), `stamp`
//! and `entrypoint.sh`. `bench app`, `bench orphans N` and `bench within WORK` are COMMANDs, `bench walk looks|blind OWNER DIRECTORY` is a walk to compare with.
#![allow(clippy::unwrap_used, clippy::panic)]

mod calls;
mod check;
mod ends;
mod lock;
mod os;
mod ownership;
mod programs;
mod skips;
mod start;
mod stay;
mod table;

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

use programs::BenchFolder;

const TOPICS: &[&str] = &[
    "start", "exec", "unprivileged", "rest", "orphans", "signal", "ends", "syscalls", "ownership", "check", "lock",
    "skips",
];

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["app"] => os::app(),
        ["orphans", count] => os::orphans(count.parse().unwrap()),
        ["within", work] => lock::within(work.as_ref()),
        ["walk", looks, owner, top] => os::bare_walk(top.as_ref(), owner.parse().unwrap(), looks == "looks"),
        [work, ref options @ ..] => exit(measure(BenchFolder { work: work.into() }, options)),
        [] => usage(),
    }
}

fn measure(place: BenchFolder, options: &[&str]) -> i32 {
    let (mut runs, mut rounds, mut only, mut strict) = (200, 3, None, false);
    let mut options_left = options.iter().copied();
    while let Some(option) = options_left.next() {
        match option {
            "--runs" => runs = options_left.next().and_then(|n| n.parse().ok()).unwrap_or_else(|| usage()),
            "--rounds" => rounds = options_left.next().and_then(|n| n.parse().ok()).unwrap_or_else(|| usage()),
            "--only" => only = Some(options_left.next().filter(|t| TOPICS.contains(t)).unwrap_or_else(|| usage())),
            "--strict" => strict = true,
            _ => usage(),
        }
    }
    let mut missed = 0;
    // What `init` does not do is measured only when asked for.
    let is_asked_for = |topic: &&&str| only.map_or(**topic != "skips", |only| only == **topic);
    for topic in TOPICS.iter().filter(is_asked_for) {
        let goals = match *topic {
            "start" => start::start(&place, runs),
            "exec" => start::exec(&place, runs),
            "unprivileged" if is_root() => {
                missed += as_ordinary_user(&place, runs);
                Vec::new()
            }
            "unprivileged" => start::unprivileged(&place, runs),
            "rest" => stay::rest(&place),
            "orphans" => stay::orphans(&place),
            "signal" => stay::signal(&place, runs.max(400)),
            "ends" => ends::ends(&place, runs.min(50)),
            "check" => check::check(&place, runs),
            "lock" => lock::lock(&place, runs),
            "ownership" => ownership::ownership(&place, rounds),
            "skips" => skips::skips(&place, rounds),
            _ => calls::calls(&place),
        };
        missed += goals.iter().filter(|goal| !goal.held()).count() as i32;
    }
    if strict { missed.min(1) } else { 0 }
}

/// The unprivileged topic in a process that is uid 1000 from the start: what it starts has nothing to drop.
fn as_ordinary_user(place: &BenchFolder, runs: usize) -> i32 {
    let mut bench = Command::new(place.bench());
    bench.arg(&place.work).args(["--runs", &runs.to_string(), "--only", "unprivileged", "--strict"]);
    let status = bench.uid(1000).gid(1000).status().unwrap();
    i32::from(!status.success())
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn usage() -> ! {
    eprintln!("usage: bench.sh [--runs N] [--rounds N] [--only {}] [--strict]", TOPICS.join("|"));
    exit(2)
}

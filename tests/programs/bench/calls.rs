//! How many system calls a start takes, by strace; informational.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::programs::{BenchFolder, Program, working};
use crate::table::{Goal, print};

/// System calls from PROGRAM's exec to its COMMAND's, loader included; of `init` each by name.
pub fn calls(place: &BenchFolder) -> Vec<Goal> {
    if !Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success()) {
        println!("\nsyscalls: strace is not installed, left out");
        return Vec::new();
    }
    let stamp = [place.stamp()];
    let programs = working(place.as_root(), &[], &stamp);
    let traced = programs.iter().map(|program| (program, trace(place, program)));
    let rows: Vec<Vec<String>> = traced
        .map(|(program, calls)| {
            let count = |of_first| calls.iter().filter(|call| call.by_first == of_first).count();
            let mut row = vec![program.name.to_owned()];
            row.extend([count(true), count(false), calls.len()].map(|n| n.to_string()));
            row
        })
        .collect();
    let title = "syscalls: from PROGRAM's exec to COMMAND's (strace -f)";
    print(title, &["program", "first process", "others", "total"], &rows, &[]);
    if let Some(init) = programs.iter().find(|program| program.name == "init") {
        println!("init: {}", by_name(&trace(place, init)));
    }
    Vec::new()
}

struct Call {
    name: String,
    by_first: bool,
}

/// The calls before that which executes `stamp`; a call that strace shows in two parts counts once.
fn trace(place: &BenchFolder, program: &Program) -> Vec<Call> {
    let log = place.work.join("strace");
    let strace: Vec<PathBuf> = ["strace", "-f", "-qq", "-o"].iter().map(PathBuf::from).chain([log.clone()]).collect();
    program.over(&strace, &[place.stamp()]).output().unwrap();
    let text = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    let exec = format!("execve(\"{}\"", place.stamp().display());
    let lines = || text.lines().filter_map(|line| line.split_once(' ')).map(|(pid, call)| (pid, call.trim_start()));
    let first = lines().next().map_or("", |(pid, _)| pid);
    let calls = lines().skip(1).take_while(|(_, call)| !call.starts_with(&exec));
    calls
        .filter_map(|(pid, call)| {
            let (name, _) = call.split_once('(').filter(|_| !call.starts_with('<'))?;
            Some(Call { name: name.to_owned(), by_first: pid == first })
        })
        .collect()
}

fn by_name(calls: &[Call]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    calls.iter().for_each(|call| *counts.entry(&call.name).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

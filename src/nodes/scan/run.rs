//! The scanner's processes: which files each is given, how many run at once, and what came of each.

use super::answer::{self, Refusal, Understood};
use super::process::{self, End, Ended, Running};
use super::{Job, Outcome, Scanner};
use crate::nodes::tree::{File, Kind};
use crate::sys::limits::ResourceLimits;
use crate::sys::{Errno, Signal, process::processor_count};
use crate::text::Escaped;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Python of that size is data; Bandit takes 5 s for a MiB of code.
const LARGEST_FILE: u64 = 4 * MIB;
const LARGEST_NODE: u64 = 32 * MIB;
/// What one process is given, unless a single file is more: small enough to share the work between cores, large enough that a
/// quarter of a second for Bandit's own start does not count.
const BATCH: u64 = MIB;
const BATCH_FILES: usize = 1000;
/// Of the kernel's 2 MiB for arguments (a quarter of the stack's limit, `man 2 execve`).
const BATCH_NAMES: usize = 512 << 10;
/// How many processes more a node gets to tell the files that break the scanner from the others.
const SECOND_LOOKS: u32 = 24;
/// Each takes some hundred MiB at worst, whatever the number of cores.
const MOST_AT_ONCE: usize = 4;
const MEMORY: u64 = 2 << 30;
const OUTPUT: usize = 64 << 20;

/// Its only JSON, on one line of code for each issue; no comment, no file and no list of its own may leave anything out. A name
/// with `//` in it is no name of ours.
const OPTIONS: [&str; 11] = ["-q", "-f", "json", "-n", "1", "--ignore-nosec", "--ini", "/dev/null", "-x", "//", "--"];

/// All of it. There is no home, and nobody can make one: stevedore, which finds Bandit's tests, would keep a list of them there.
const ENVIRONMENT: [(&str, &str); 4] =
    [("PATH", crate::path::PATH), ("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8"), ("HOME", "/dev/null")];

/// Files of one node for one process.
struct Batch {
    job: usize,
    files: Vec<usize>,
    bytes: u64,
}

/// What is known of a node so far.
#[derive(Default)]
struct Node {
    refused: Option<String>,
    understood: Understood,
    answered: bool,
    failed: Vec<(Vec<usize>, String)>,
    second_looks: u32,
}

pub(super) fn run(scanner: &Scanner, jobs: &[Job], slowest: Duration, stopped: &dyn Fn() -> bool) -> Vec<Outcome> {
    let mut nodes = Vec::with_capacity(jobs.len());
    let mut waiting = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        nodes.push(prepare(index, job, &mut waiting));
    }
    // The largest is taken first, from the end: begun last, it would keep one core busy while the others are done.
    waiting.sort_by_key(|batch| batch.bytes);
    let most = processor_count().min(MOST_AT_ONCE);
    let mut running: Vec<(Batch, Running)> = Vec::new();
    loop {
        while running.len() < most
            && let Some(batch) = waiting.pop()
        {
            let (Some(job), Some(node)) = (jobs.get(batch.job), nodes.get_mut(batch.job)) else { continue };
            match start(scanner, job, &batch, slowest) {
                Ok(child) => running.push((batch, child)),
                Err(reason) => node.failed.push((batch.files, reason)),
            }
        }
        let Some((batch, ended)) = process::wait_for_one(&mut running, stopped) else { break };
        if let (Some(job), Some(node)) = (jobs.get(batch.job), nodes.get_mut(batch.job)) {
            node.take(job, batch, &ended, slowest, &mut waiting);
        }
    }
    if stopped() {
        return jobs.iter().map(|_| Err("the scan was stopped".to_owned())).collect();
    }
    nodes.into_iter().map(Node::outcome).collect()
}

/// Parts a node's files into batches and leaves out what the scanner is not to be given.
fn prepare(index: usize, job: &Job, waiting: &mut Vec<Batch>) -> Node {
    let mut node = Node::default();
    let mut taken = Vec::new();
    let mut bytes = 0_u64;
    for &number in &job.files {
        let Some(file) = job.tree.files.get(number) else { continue };
        match refusal(file) {
            Some(reason) => node.understood.1.push((number, reason)),
            None => {
                taken.push((number, file));
                bytes = bytes.saturating_add(file.size);
            }
        }
    }
    if bytes > LARGEST_NODE {
        node.refused =
            Some(format!("it has {bytes} bytes of Python, more than the {LARGEST_NODE} that the scanner is given"));
        return node;
    }
    // A node without anything to scan is one that was scanned.
    node.answered = taken.is_empty();
    let mut batch = Batch { job: index, files: Vec::new(), bytes: 0 };
    let mut names = 0;
    for (number, file) in taken {
        let full = batch.bytes + file.size > BATCH || names + file.path.len() > BATCH_NAMES;
        if !batch.files.is_empty() && (full || batch.files.len() == BATCH_FILES) {
            names = 0;
            waiting.push(std::mem::replace(&mut batch, Batch { job: index, files: Vec::new(), bytes: 0 }));
        }
        batch.files.push(number);
        batch.bytes += file.size;
        names += file.path.len();
    }
    if !batch.files.is_empty() {
        waiting.push(batch);
    }
    node
}

/// Why the scanner is not given a file.
fn refusal(file: &File) -> Option<String> {
    match file.kind {
        Kind::Plain { .. } if file.size > LARGEST_FILE => {
            Some(format!("it has {} bytes, more than the {LARGEST_FILE} that the scanner is given", file.size))
        }
        // JSON has no such names: what Bandit prints for one is no text, and others give up.
        Kind::Plain { .. } if std::str::from_utf8(&file.path).is_err() => Some("its name is not UTF-8".to_owned()),
        Kind::Plain { .. } => None,
        Kind::Link(_) => Some("it is a link".to_owned()),
        Kind::Other => Some("it is no file".to_owned()),
    }
}

fn start(scanner: &Scanner, job: &Job, batch: &Batch, slowest: Duration) -> Result<Running, String> {
    let mut command = Command::new(OsStr::from_bytes(scanner.program.to_bytes()));
    let mut arguments = scanner.arguments.iter().map(|argument| OsStr::from_bytes(argument.to_bytes()));
    command.arg0(arguments.next().unwrap_or_default()).args(arguments).args(OPTIONS);
    for file in batch.files.iter().filter_map(|&number| job.tree.files.get(number)) {
        // Behind `./` a name is never an option.
        command.arg(OsStr::from_bytes(&[b"./", file.path.as_slice()].concat()));
    }
    command.env_clear().envs(ENVIRONMENT);
    let time = patience(batch, slowest);
    let limits = ResourceLimits { memory: MEMORY, cpu_seconds: time.as_secs().saturating_add(1), open_files: 256 };
    let directory = job.tree.root.try_clone();
    let started = directory.and_then(|directory| process::start(command, directory, limits, OUTPUT, time));
    started.map_err(|error| format!("cannot start the scanner: {}", Errno::from(error)))
}

/// How long it has: for more than a MiB in proportion.
fn patience(batch: &Batch, slowest: Duration) -> Duration {
    slowest.max(slowest.saturating_mul(u32::try_from(batch.bytes / 1024).unwrap_or(u32::MAX)) / 1024)
}

impl Node {
    /// Takes what came of a batch: an answer; else its halves are tried, since one file can break the scanner for all; else a failure.
    fn take(&mut self, job: &Job, mut batch: Batch, ended: &Ended, slowest: Duration, waiting: &mut Vec<Batch>) {
        match judge(job, &batch, ended, slowest) {
            Ok((issues, unscanned)) => {
                self.answered = true;
                self.understood.0.extend(issues);
                self.understood.1.extend(unscanned);
            }
            Err((_, true)) if batch.files.len() > 1 && self.second_looks + 2 <= SECOND_LOOKS => {
                self.second_looks += 2;
                let second = batch.files.split_off(batch.files.len() / 2);
                for files in [batch.files, second] {
                    let sizes = files.iter().filter_map(|&number| Some(job.tree.files.get(number)?.size));
                    waiting.push(Batch { job: batch.job, bytes: sizes.sum(), files });
                }
            }
            Err((reason, _)) => self.failed.push((batch.files, reason)),
        }
    }

    fn outcome(self) -> Outcome {
        let (mut issues, mut unscanned) = self.understood;
        if let Some(reason) = self.refused {
            return Err(reason);
        }
        for (files, reason) in self.failed {
            if !self.answered {
                return Err(reason);
            }
            let Some((&first, rest)) = files.split_first() else { continue };
            let others =
                if rest.is_empty() { String::new() } else { format!(" (nor were {} other files)", rest.len()) };
            unscanned.push((first, reason + &others));
        }
        issues.sort();
        unscanned.sort();
        Ok((issues, unscanned))
    }
}

/// What a process said, or why that is no answer and whether fewer files could get one.
fn judge(job: &Job, batch: &Batch, ended: &Ended, slowest: Duration) -> Result<Understood, (String, bool)> {
    let code = match ended.end {
        End::Exited(code) => code,
        End::Killed(Signal::XCPU) | End::Late => {
            let seconds = patience(batch, slowest).as_secs_f32();
            return Err((format!("the scanner had not ended after {seconds} s and was stopped"), false));
        }
        End::Killed(signal) => {
            return Err((crash(ended, &format!("died of {signal}")), true));
        }
        End::Loud => return Err((format!("the scanner printed more than {OUTPUT} bytes and was stopped"), true)),
        End::Lost(errno) => return Err((format!("the scanner was lost: {errno}"), false)),
    };
    if code > 1 || ended.output.is_empty() {
        return Err((crash(ended, &format!("ended with code {code} and no answer")), true));
    }
    let given = batch.files.iter().filter_map(|&number| Some((number, job.tree.files.get(number)?.path.as_slice())));
    let given: Vec<(usize, &[u8])> = given.collect();
    answer::understand(&ended.output, code, &given).map_err(|refusal| match refusal {
        Refusal::Strange(what) => (format!("the scanner's answer cannot be trusted: {what}"), true),
        Refusal::NoRules => (NO_RULES.to_owned(), false),
    })
}

const NO_RULES: &str = "the scanner ran without the rules of takumi-init: install image/bandit beside its Bandit (takumi_rules and \
                        takumi_rules-1.dist-info into its site-packages)";

/// How it broke, with its last word.
fn crash(ended: &Ended, how: &str) -> String {
    let mut lines = ended.errors.split(|&byte| byte == b'\n').rev().map(<[u8]>::trim_ascii);
    let last = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let memory = [b"MemoryError".as_slice(), b"memory allocation of "];
    if memory.iter().any(|words| last.starts_with(words)) {
        return format!("the scanner had no memory left ({} MiB)", MEMORY / MIB);
    }
    match (last, ended.end) {
        ([], End::Killed(Signal::KILL)) => {
            format!("the scanner {how}; the container may lack memory")
        }
        ([], _) => format!("the scanner {how}"),
        _ => format!("the scanner {how}: {}", Escaped(last)),
    }
}

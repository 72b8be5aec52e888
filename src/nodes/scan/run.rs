//! The scanner's processes: which files each is given, how many run at once, and what came of each.

use super::bandit_output::{self, OutputError, ParsedOutput};
use super::process::{self, FinishedProcess, ProcessEnd, RunningProcess};
use super::{ScanJob, ScanOutcome, Scanner};
use crate::nodes::tree::{File, FileKind};
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
const MAX_FILE_BYTES: u64 = 4 * MIB;
const MAX_NODE_BYTES: u64 = 32 * MIB;
/// What one process is given, unless a single file is more: small enough to share the work between cores, large enough
/// that a quarter of a second for Bandit's own start does not count.
const MAX_BATCH_BYTES: u64 = MIB;
const MAX_BATCH_FILES: usize = 1000;
/// Of the kernel's 2 MiB for arguments (a quarter of the stack's limit, `man 2 execve`).
const MAX_BATCH_NAME_BYTES: usize = 512 << 10;
/// How many processes more a node gets to tell the files that break the scanner from the others.
const MAX_RETRIES: u32 = 24;
/// Each takes some hundred MiB at worst, whatever the number of cores.
const MAX_PROCESSES: usize = 4;
const MEMORY_LIMIT: u64 = 2 << 30;
const MAX_OUTPUT: usize = 64 << 20;

/// Its only JSON, on one line of code for each issue; no comment, no file and no list of its own may leave anything
/// out. A name with `//` in it is no name of ours.
const OPTIONS: [&str; 11] = ["-q", "-f", "json", "-n", "1", "--ignore-nosec", "--ini", "/dev/null", "-x", "//", "--"];

/// All of it. There is no home, and nobody can make one: stevedore, which finds Bandit's tests, would keep a list of
/// them there.
const ENVIRONMENT: [(&str, &str); 4] =
    [("PATH", crate::path::SYSTEM_PATH), ("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8"), ("HOME", "/dev/null")];

/// Files of one node for one process.
struct Batch {
    job: usize,
    files: Vec<usize>,
    bytes: u64,
}

/// What is known of a node so far.
#[derive(Default)]
struct NodeScan {
    skipped: Option<String>,
    parsed: ParsedOutput,
    has_output: bool,
    failed: Vec<(Vec<usize>, String)>,
    retries: u32,
}

pub(super) fn run_jobs(
    scanner: &Scanner,
    jobs: &[ScanJob],
    slowest: Duration,
    stopped: &dyn Fn() -> bool,
) -> Vec<ScanOutcome> {
    let mut nodes = Vec::with_capacity(jobs.len());
    let mut waiting = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        nodes.push(split_into_batches(index, job, &mut waiting));
    }
    // The largest is taken first, from the end: begun last, it would keep one core busy while the others are done.
    waiting.sort_by_key(|batch| batch.bytes);
    let most = processor_count().min(MAX_PROCESSES);
    let mut running: Vec<(Batch, RunningProcess)> = Vec::new();
    loop {
        while running.len() < most
            && let Some(batch) = waiting.pop()
        {
            let (Some(job), Some(node)) = (jobs.get(batch.job), nodes.get_mut(batch.job)) else { continue };
            match start_batch(scanner, job, &batch, slowest) {
                Ok(child) => running.push((batch, child)),
                Err(reason) => node.failed.push((batch.files, reason)),
            }
        }
        let Some((batch, ended)) = process::wait_for_any(&mut running, stopped) else { break };
        if let (Some(job), Some(node)) = (jobs.get(batch.job), nodes.get_mut(batch.job)) {
            node.add_batch_result(job, batch, &ended, slowest, &mut waiting);
        }
    }
    if stopped() {
        return jobs.iter().map(|_| Err("the scan was stopped".to_owned())).collect();
    }
    nodes.into_iter().map(NodeScan::outcome).collect()
}

/// Parts a node's files into batches and leaves out what the scanner is not to be given.
fn split_into_batches(index: usize, job: &ScanJob, waiting: &mut Vec<Batch>) -> NodeScan {
    let mut node = NodeScan::default();
    let mut taken = Vec::new();
    let mut bytes = 0_u64;
    for &number in &job.files {
        let Some(file) = job.tree.files.get(number) else { continue };
        match skip_reason(file) {
            Some(reason) => node.parsed.1.push((number, reason)),
            None => {
                taken.push((number, file));
                bytes = bytes.saturating_add(file.size);
            }
        }
    }
    if bytes > MAX_NODE_BYTES {
        node.skipped = Some(format!("it has {bytes} bytes of Python, over the scan limit of {MAX_NODE_BYTES}"));
        return node;
    }
    // A node without anything to scan is one that was scanned.
    node.has_output = taken.is_empty();
    let mut batch = Batch { job: index, files: Vec::new(), bytes: 0 };
    let mut names = 0;
    for (number, file) in taken {
        let full = batch.bytes + file.size > MAX_BATCH_BYTES || names + file.path.len() > MAX_BATCH_NAME_BYTES;
        if !batch.files.is_empty() && (full || batch.files.len() == MAX_BATCH_FILES) {
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
fn skip_reason(file: &File) -> Option<String> {
    match file.kind {
        FileKind::Plain { .. } if file.size > MAX_FILE_BYTES => {
            Some(format!("it has {} bytes, over the scan limit of {MAX_FILE_BYTES}", file.size))
        }
        // JSON has no such names: what Bandit prints for one is no text, and others give up.
        FileKind::Plain { .. } if std::str::from_utf8(&file.path).is_err() => Some("its name is not UTF-8".to_owned()),
        FileKind::Plain { .. } => None,
        FileKind::Link(_) => Some("it is a link".to_owned()),
        FileKind::Other => Some("it is not a regular file".to_owned()),
    }
}

fn start_batch(scanner: &Scanner, job: &ScanJob, batch: &Batch, slowest: Duration) -> Result<RunningProcess, String> {
    let mut command = Command::new(OsStr::from_bytes(scanner.program.to_bytes()));
    let mut arguments = scanner.arguments.iter().map(|argument| OsStr::from_bytes(argument.to_bytes()));
    command.arg0(arguments.next().unwrap_or_default()).args(arguments).args(OPTIONS);
    for file in batch.files.iter().filter_map(|&number| job.tree.files.get(number)) {
        // Behind `./` a name is never an option.
        command.arg(OsStr::from_bytes(&[b"./", file.path.as_slice()].concat()));
    }
    command.env_clear().envs(ENVIRONMENT);
    let time = batch_timeout(batch, slowest);
    let limits =
        ResourceLimits { memory: MEMORY_LIMIT, cpu_seconds: time.as_secs().saturating_add(1), open_files: 256 };
    let directory = job.tree.root.try_clone();
    let started = directory.and_then(|directory| process::spawn(command, directory, limits, MAX_OUTPUT, time));
    started.map_err(|error| format!("cannot start the scanner: {}", Errno::from(error)))
}

/// How long it has: for more than a MiB in proportion.
fn batch_timeout(batch: &Batch, slowest: Duration) -> Duration {
    slowest.max(slowest.saturating_mul(u32::try_from(batch.bytes / 1024).unwrap_or(u32::MAX)) / 1024)
}

impl NodeScan {
    /// Takes what came of a batch: an answer; else its halves are tried, since one file can break the scanner for all;
    /// else a failure.
    fn add_batch_result(
        &mut self,
        job: &ScanJob,
        mut batch: Batch,
        ended: &FinishedProcess,
        slowest: Duration,
        waiting: &mut Vec<Batch>,
    ) {
        match interpret_end(job, &batch, ended, slowest) {
            Ok((issues, unscanned)) => {
                self.has_output = true;
                self.parsed.0.extend(issues);
                self.parsed.1.extend(unscanned);
            }
            Err((_, true)) if batch.files.len() > 1 && self.retries + 2 <= MAX_RETRIES => {
                self.retries += 2;
                let second = batch.files.split_off(batch.files.len() / 2);
                for files in [batch.files, second] {
                    let sizes = files.iter().filter_map(|&number| Some(job.tree.files.get(number)?.size));
                    waiting.push(Batch { job: batch.job, bytes: sizes.sum(), files });
                }
            }
            Err((reason, _)) => self.failed.push((batch.files, reason)),
        }
    }

    fn outcome(self) -> ScanOutcome {
        let (mut issues, mut unscanned) = self.parsed;
        if let Some(reason) = self.skipped {
            return Err(reason);
        }
        for (files, reason) in self.failed {
            if !self.has_output {
                return Err(reason);
            }
            let Some((&first, rest)) = files.split_first() else { continue };
            let others = if rest.is_empty() {
                String::new()
            } else {
                format!(" (and {} other files were not scanned)", rest.len())
            };
            unscanned.push((first, reason + &others));
        }
        issues.sort();
        unscanned.sort();
        Ok((issues, unscanned))
    }
}

/// What a process said, or why that is no answer and whether fewer files could get one.
fn interpret_end(
    job: &ScanJob,
    batch: &Batch,
    ended: &FinishedProcess,
    slowest: Duration,
) -> Result<ParsedOutput, (String, bool)> {
    let code = match ended.end {
        ProcessEnd::Exited(code) => code,
        ProcessEnd::Killed(Signal::XCPU) | ProcessEnd::TimedOut => {
            let seconds = batch_timeout(batch, slowest).as_secs_f32();
            return Err((format!("the scanner timed out after {seconds} s"), false));
        }
        ProcessEnd::Killed(signal) => {
            return Err((crash_reason(ended, &format!("died of {signal}")), true));
        }
        ProcessEnd::OutputTruncated => {
            return Err((format!("the scanner printed more than {MAX_OUTPUT} bytes and was stopped"), true));
        }
        ProcessEnd::Lost(errno) => return Err((format!("lost track of the scanner: {errno}"), false)),
    };
    if code > 1 || ended.output.is_empty() {
        return Err((crash_reason(ended, &format!("ended with code {code} and no answer")), true));
    }
    let given = batch.files.iter().filter_map(|&number| Some((number, job.tree.files.get(number)?.path.as_slice())));
    let given: Vec<(usize, &[u8])> = given.collect();
    bandit_output::parse_output(&ended.output, code, &given).map_err(|refusal| match refusal {
        OutputError::Untrusted(what) => (format!("the scanner's answer cannot be trusted: {what}"), true),
        OutputError::RulesMissing => (RULES_MISSING.to_owned(), false),
    })
}

const RULES_MISSING: &str = "the scanner ran without the rules of takumi-init: install image/bandit beside its Bandit (takumi_rules and \
                        takumi_rules-1.dist-info into its site-packages)";

/// How it broke, with its last word.
fn crash_reason(ended: &FinishedProcess, how: &str) -> String {
    let mut lines = ended.errors.split(|&byte| byte == b'\n').rev().map(<[u8]>::trim_ascii);
    let last = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let memory = [b"MemoryError".as_slice(), b"memory allocation of "];
    if memory.iter().any(|words| last.starts_with(words)) {
        return format!("the scanner ran out of memory ({} MiB)", MEMORY_LIMIT / MIB);
    }
    match (last, ended.end) {
        ([], ProcessEnd::Killed(Signal::KILL)) => {
            format!("the scanner {how} (the container may be out of memory)")
        }
        ([], _) => format!("the scanner {how}"),
        _ => format!("the scanner {how}: {}", Escaped(last)),
    }
}

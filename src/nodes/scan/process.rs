//! A scanner's processes: each has limits of the kernel, a deadline and an end, and none of them holds up another.

use crate::sys::limits::{self, ResourceLimits};
use crate::sys::{Errno, Signal, clock, signal};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ProcessEnd {
    /// By itself, with this code.
    Exited(u8),
    /// By a signal of the kernel's.
    Killed(Signal),
    /// Not by its deadline.
    TimedOut,
    /// It printed more than it may.
    OutputTruncated,
    /// It could not be listened to.
    Lost(Errno),
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FinishedProcess {
    pub end: ProcessEnd,
    /// What it printed; of one that printed too much, as much as it may.
    pub output: Vec<u8>,
    /// The last of what it wrote to stderr, some kilobytes.
    pub errors: Vec<u8>,
}

/// A program that was started: in a process group of its own, with /dev/null as its input.
#[derive(Debug)]
pub(super) struct RunningProcess {
    child: Child,
    output: Pipe,
    errors: Pipe,
    max_output: usize,
    deadline: Instant,
    end: Option<ProcessEnd>,
}

/// Its stdout or stderr, closed by all who had it where there is none.
#[derive(Debug)]
struct Pipe {
    open: Option<OwnedFd>,
    content: Vec<u8>,
}

/// What is kept of stderr: the last lines say why.
const MAX_STDERR: usize = 4096;
/// How long a signal to this program waits to be heard.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const READ_SIZE: usize = 65_536;

/// Starts a program in a directory. It may print `most` bytes and take so much time. Errors: those of fork(2) and
/// execve(2), and of what it is limited by.
pub(super) fn spawn(
    mut command: Command,
    directory: OwnedFd,
    limits: ResourceLimits,
    most: usize,
    time: Duration,
) -> std::io::Result<RunningProcess> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    limits::apply(&mut command, directory, limits);
    let mut child = command.spawn()?;
    let output = Pipe { open: child.stdout.take().map(OwnedFd::from), content: Vec::new() };
    let errors = Pipe { open: child.stderr.take().map(OwnedFd::from), content: Vec::new() };
    Ok(RunningProcess { child, output, errors, max_output: most, deadline: Instant::now() + time, end: None })
}

/// Waits for one of them to end, takes it out and returns it; none where there is none, or when `stopped` says so: all
/// are ended then.
pub(super) fn wait_for_any<Key>(
    running: &mut Vec<(Key, RunningProcess)>,
    stopped: &dyn Fn() -> bool,
) -> Option<(Key, FinishedProcess)> {
    while !running.is_empty() && !stopped() {
        if let Some(index) = running.iter_mut().position(|(_, one)| one.has_ended()) {
            let (key, one) = running.swap_remove(index);
            return Some((key, one.finish()));
        }
        poll_pipes(running);
    }
    running.clear();
    None
}

/// Waits until one of them has something to tell or is late, at most a slice of time, and takes what is there.
fn poll_pipes<Key>(running: &mut [(Key, RunningProcess)]) {
    let now = Instant::now();
    let first = running.iter().map(|(_, one)| one.deadline.saturating_duration_since(now)).min();
    // One that has closed both pipes and lives: only asking tells when it ends.
    let is_silent = |one: &RunningProcess| one.output.open.is_none() && one.errors.open.is_none();
    let slice = if running.iter().any(|(_, one)| is_silent(one)) { Duration::from_millis(5) } else { POLL_INTERVAL };
    let time = first.unwrap_or_default().min(slice);
    // Rounded up: a rest below a millisecond is not to be spent in a busy loop.
    let milliseconds = u16::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
    let pipes = running.iter().flat_map(|(_, one)| [&one.output, &one.errors]).filter_map(|pipe| pipe.open.as_ref());
    let mut asked: Vec<PollFd> = pipes.map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)).collect();
    let answer = poll(&mut asked, PollTimeout::from(milliseconds));
    let heard: Vec<bool> = asked.iter().map(|entry| entry.any().unwrap_or(true)).collect();
    let mut heard = heard.into_iter();
    for (_, one) in running {
        match answer {
            Ok(_) => one.drain_pipes(&mut heard),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => one.end = Some(ProcessEnd::Lost(errno.into())),
        }
    }
}

impl Pipe {
    /// Takes what it holds now. Returns how much.
    fn read_available(&mut self) -> std::io::Result<usize> {
        let Some(open) = self.open.take() else { return Ok(0) };
        let mut file = std::fs::File::from(open);
        let filled = self.content.len();
        self.content.resize(filled + READ_SIZE, 0);
        let count = file.read(&mut self.content[filled..]);
        self.content.truncate(filled + *count.as_ref().unwrap_or(&0));
        if !matches!(count, Ok(0)) {
            self.open = Some(file.into());
        }
        count
    }
}

impl RunningProcess {
    /// `heard`: for each of its open pipes, whether there is something in it.
    fn drain_pipes(&mut self, heard: &mut impl Iterator<Item = bool>) {
        for pipe in [&mut self.output, &mut self.errors] {
            if pipe.open.is_some()
                && heard.next() == Some(true)
                && let Err(error) = pipe.read_available()
            {
                self.end = Some(ProcessEnd::Lost(error.into()));
            }
        }
        if self.output.content.len() > self.max_output {
            self.output.content.truncate(self.max_output);
            self.end = Some(ProcessEnd::OutputTruncated);
        }
        let errors = &mut self.errors.content;
        errors.drain(..errors.len().saturating_sub(MAX_STDERR));
    }

    fn has_ended(&mut self) -> bool {
        if self.end.is_none() && self.output.open.is_none() && self.errors.open.is_none() {
            self.end = match self.child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(end_from_status(status)),
                Err(error) => Some(ProcessEnd::Lost(error.into())),
            };
        }
        if self.end.is_none() && Instant::now() >= self.deadline {
            self.end = Some(ProcessEnd::TimedOut);
        }
        self.end.is_some()
    }

    fn finish(mut self) -> FinishedProcess {
        let end = self.end.unwrap_or(ProcessEnd::TimedOut);
        let (output, errors) = (std::mem::take(&mut self.output.content), std::mem::take(&mut self.errors.content));
        FinishedProcess { end, output, errors }
    }
}

impl Drop for RunningProcess {
    /// Ends it and what is left of its group, and takes its end where that comes soon: one in the kernel's hands ends
    /// later.
    fn drop(&mut self) {
        let _ = signal::kill(-(self.child.id() as i32), Signal::KILL);
        let mut pause = Duration::from_micros(50);
        for _ in 0..12 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            clock::sleep(pause);
            pause *= 2;
        }
    }
}

fn end_from_status(status: ExitStatus) -> ProcessEnd {
    let signal = status.signal().and_then(Signal::new);
    signal.map_or(ProcessEnd::Exited(status.code().map_or(255, |code| code as u8)), ProcessEnd::Killed)
}

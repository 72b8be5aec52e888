//! A piece of work in a forked child, for calls that may never come back: a driver that hangs leaves its caller in
//! state D, which no signal ends, and PID 1 must not be that caller.
//!
//! Plain fork(2): the child has its own copy of memory, so whatever becomes of it leaves no lock held and no value half
//! written.

use super::credentials::{self, Capabilities, Credentials, ResIds};
use super::errno::cerr;
use super::ids::ProcessId;
use super::signal::{self, Signal};
use super::{Errno, clock, clock::Instant, io, process, wait};
use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use nix::unistd;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// What the child said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskOutput {
    /// All that it wrote, at most as much as was asked for.
    pub bytes: Vec<u8>,
    /// It had not ended by the deadline, and was killed. It may live on in state D; whoever reaps orphans reaps it.
    pub timed_out: bool,
}

/// The child, as the work in it sees itself.
pub struct ForkedChild {
    output: OwnedFd,
    parent: ProcessId,
}

impl ForkedChild {
    /// Says something to the parent.
    pub fn write_output(&self, bytes: &[u8]) -> Result<(), Errno> {
        io::write_whole(&self.output, bytes)
    }

    /// Where it says something, for a program that it becomes.
    pub fn output(&self) -> &OwnedFd {
        &self.output
    }

    /// Keeps its memory, a copy of the parent's, closed to its own user, and ends it with the parent. To be called
    /// again after a change of user, which undoes both (`commit_creds` in the kernel). Errors: the kernel's; the parent
    /// is gone: ESRCH.
    pub fn isolate_memory(&self) -> Result<(), Errno> {
        credentials::set_not_dumpable()?;
        credentials::die_with_parent(self.parent)
    }

    /// Becomes that user with its groups (`None`: stays who it is) without any capability, as COMMAND will be. Fails
    /// closed: what the kernel shows afterwards counts, not what a call answered.
    pub fn drop_to(&self, target: Option<&Credentials>) -> Result<(), Errno> {
        if let Some(target) = target {
            if credentials::groups()? != target.groups {
                credentials::set_groups(&target.groups)?;
            }
            credentials::set_group_ids(target.group)?;
            credentials::set_user_ids(target.user)?;
        }
        credentials::clear_capabilities()?;
        let matches_target = target.is_none_or(|target| {
            credentials::user_ids() == Ok(ResIds::all(target.user))
                && credentials::group_ids() == Ok(ResIds::all(target.group))
                && credentials::groups().as_ref() == Ok(&target.groups)
        });
        let has_none = credentials::capabilities()? == Capabilities::NONE;
        if matches_target && has_none { Ok(()) } else { Err(Errno(libc::EPERM)) }
    }

    pub fn parent(&self) -> ProcessId {
        self.parent
    }
}

/// Runs `work` in a child and returns what it writes, `max_bytes` of it, within `timeout`. The child ends with the
/// work.
///
/// Errors: those of pipe(2) and fork(2); EIO where a fork that made nobody says that it did. The child has none of the
/// parent's stdin, stdout and stderr: one that hangs in a driver would keep whoever reads them waiting, as `docker
/// exec` does with those of a health check.
pub fn run(timeout: Duration, max_bytes: usize, work: impl FnOnce(&ForkedChild)) -> Result<TaskOutput, Errno> {
    run_while(timeout, max_bytes, &mut || true, |child| {
        // Without /dev/null it keeps them: the work matters more.
        if let Ok(null) = io::open_with(c"/dev/null", OFlag::O_RDWR) {
            let _ = unistd::dup2_stdin(&null);
            let _ = unistd::dup2_stdout(&null);
            let _ = unistd::dup2_stderr(&null);
        }
        work(child);
    })
}

/// How long a child is left alone before it is asked again whether it may go on.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The same, as long as `goes_on` says so: it is asked ten times a second, and a no is like the deadline.
pub fn run_while(
    timeout: Duration,
    max_bytes: usize,
    should_continue: &mut dyn FnMut() -> bool,
    work: impl FnOnce(&ForkedChild),
) -> Result<TaskOutput, Errno> {
    let deadline = Instant::now().after(timeout);
    let parent = process::self_pid();
    let (reader, writer) = io::pipe()?;
    let Some(ProcessId(id)) = fork(parent)? else {
        drop(reader);
        let child = ForkedChild { output: writer, parent };
        if child.isolate_memory().is_ok() {
            work(&child);
        }
        process::exit(0)
    };
    drop(writer);
    let answer = read_output(&reader, max_bytes, deadline, should_continue);
    let late = answer.as_ref().map_or(true, |answer| answer.timed_out);
    if late {
        let _ = signal::kill(id, Signal::KILL);
    }
    // A child that has more to say than anybody wants ends of it.
    drop(reader);
    reap(id);
    answer
}

/// Leaves `work` to a child and does not wait for it: its end is SIGCHLD's matter. The child dies with its parent. The
/// parent allocates nothing. Errors: as for [`run`].
pub fn spawn_detached(work: impl FnOnce()) -> Result<ProcessId, Errno> {
    let parent = process::self_pid();
    if let Some(child) = fork(parent)? {
        return Ok(child);
    }
    // Closed to its own user it is already, as a copy of what is.
    if credentials::die_with_parent(parent).is_ok() {
        work();
    }
    process::exit(0)
}

/// fork(2) of this process, `parent`: nothing in the child, which must leave by `exit`.
fn fork(parent: ProcessId) -> Result<Option<ProcessId>, Errno> {
    // SAFETY: the program has one thread (and glibc's fork holds its locks meanwhile where a test has more); the child
    // goes on with a copy of everything.
    match cerr(unsafe { libc::fork() })? {
        // A filter that answers 0 for the kernel: this is still the parent, and must not do the child's work.
        0 if process::self_pid() == parent => Err(Errno(libc::EIO)),
        0 => Ok(None),
        id => Ok(Some(ProcessId(id))),
    }
}

fn read_output(
    reader: &OwnedFd,
    max_bytes: usize,
    deadline: Instant,
    should_continue: &mut dyn FnMut() -> bool,
) -> Result<TaskOutput, Errno> {
    let mut bytes = Vec::new();
    let mut interruptions = 0;
    while bytes.len() < max_bytes {
        let left = Instant::now().until(deadline);
        match io::poll(reader.as_fd(), PollFlags::POLLIN, left.min(POLL_INTERVAL)).map(|events| !events.is_empty()) {
            Ok(true) => {}
            Ok(false) if left > POLL_INTERVAL && should_continue() => continue,
            // Stopped and continued: what is left of the time is looked at again.
            Err(Errno(libc::EINTR)) if interruptions < 8 => {
                interruptions += 1;
                continue;
            }
            Ok(false) => return Ok(TaskOutput { bytes, timed_out: true }),
            Err(errno) => return Err(errno),
        }
        // As much as a pipe holds: an answer that may be long costs no memory while it is short.
        let filled = bytes.len();
        bytes.resize(max_bytes.min(filled + PIPE_BYTES), 0);
        let count = io::read(reader, &mut bytes[filled..])?;
        bytes.truncate(filled + count);
        if count == 0 {
            break;
        }
    }
    Ok(TaskOutput { bytes, timed_out: false })
}

const PIPE_BYTES: usize = 64 << 10;

/// Takes the end of the child, which is near, without waiting for one that hangs: the supervisor reaps what comes
/// later.
fn reap(id: i32) {
    let mut pause = Duration::from_micros(50);
    for _ in 0..10 {
        match wait::waitpid(id, libc::WNOHANG) {
            Ok(None) | Err(Errno(libc::EINTR)) => clock::sleep(pause),
            // Reaped; or ignored by who started this program, so that the kernel reaps.
            _ => return,
        }
        pause *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_childs_words_come_back_and_nothing_else_does() {
        let mut touched = 1;
        let place = &mut touched;
        let answer = run(SECOND * 20, 64, |child| {
            *place = 2;
            child.write_output(b"one ").unwrap();
            child.write_output(b"two").unwrap();
        });
        assert_eq!(answer, Ok(TaskOutput { bytes: b"one two".to_vec(), timed_out: false }));
        assert_eq!(touched, 1, "the child's memory is its own");
    }

    #[test]
    fn a_child_that_never_ends_is_killed_and_what_it_said_is_kept() {
        let answer = run(Duration::from_millis(200), 64, |child| {
            child.write_output(&process::self_pid().0.to_ne_bytes()).unwrap();
            loop {
                clock::sleep(SECOND);
            }
        })
        .unwrap();
        assert!(answer.timed_out);
        let id = i32::from_ne_bytes(answer.bytes.try_into().unwrap());
        let left = std::fs::read_to_string(format!("/proc/{id}/stat")).ok();
        assert!(left.is_none_or(|stat| !stat.contains(") S ")), "it was killed");
    }

    #[test]
    fn a_child_that_dies_or_says_too_much_is_no_harm() {
        let dead = run(SECOND * 20, 64, |_| process::exit(3)).unwrap();
        assert_eq!(dead, TaskOutput { bytes: vec![], timed_out: false });
        let loud = run(SECOND * 20, 3, |child| {
            let _ = child.write_output(&[7; 200_000]);
        });
        assert_eq!(loud.unwrap().bytes, [7, 7, 7]);
    }

    #[test]
    fn the_child_is_closed_to_its_user_and_dies_with_the_parent() {
        let answer = run(SECOND * 20, 8, |child| {
            let signal = credentials::parent_death_signal().unwrap_or(0) as u8;
            let _ = child.write_output(&[signal, u8::from(credentials::dumpable() == Ok(false))]);
        });
        assert_eq!(answer.unwrap().bytes, [Signal::KILL.number(), 1]);
    }
}

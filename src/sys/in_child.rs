//! A piece of work in a forked child, for calls that may never come back: a driver that hangs leaves its caller in state D, which no
//! signal ends, and PID 1 must not be that caller.
//!
//! Plain fork(2): the child has its own copy of memory, so whatever becomes of it leaves no lock held and no value half written.

use super::credentials::{self, Capabilities, Credentials, Three};
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
pub struct Answer {
    /// All that it wrote, at most as much as was asked for.
    pub bytes: Vec<u8>,
    /// It had not ended by the deadline, and was killed. It may live on in state D; whoever reaps orphans reaps it.
    pub late: bool,
}

/// The child, as the work in it sees itself.
pub struct Child {
    answer: OwnedFd,
    parent: ProcessId,
}

impl Child {
    /// Says something to the parent.
    pub fn tell(&self, bytes: &[u8]) -> Result<(), Errno> {
        io::write_whole(&self.answer, bytes)
    }

    /// Where it says something, for a program that it becomes.
    pub fn answer(&self) -> &OwnedFd {
        &self.answer
    }

    /// Keeps its memory, a copy of the parent's, closed to its own user, and ends it with the parent. To be called again after a
    /// change of user, which undoes both (`commit_creds` in the kernel). Errors: the kernel's; the parent is gone: ESRCH.
    pub fn keep_apart(&self) -> Result<(), Errno> {
        credentials::set_not_dumpable()?;
        credentials::die_with(self.parent)
    }

    /// Becomes that user with its groups (`None`: stays who it is) without any capability, as COMMAND will be. Fails closed: what
    /// the kernel shows afterwards counts, not what a call answered.
    pub fn become_whom(&self, whom: Option<&Credentials>) -> Result<(), Errno> {
        if let Some(whom) = whom {
            if credentials::groups()? != whom.groups {
                credentials::set_groups(&whom.groups)?;
            }
            credentials::set_group_ids(whom.group)?;
            credentials::set_user_ids(whom.user)?;
        }
        credentials::clear_capabilities()?;
        let right = whom.is_none_or(|whom| {
            credentials::user_ids() == Ok(Three::all(whom.user))
                && credentials::group_ids() == Ok(Three::all(whom.group))
                && credentials::groups().as_ref() == Ok(&whom.groups)
        });
        let bare = credentials::capabilities()? == Capabilities::NONE;
        if right && bare { Ok(()) } else { Err(Errno(libc::EPERM)) }
    }

    /// Who made it.
    pub fn parent(&self) -> ProcessId {
        self.parent
    }
}

/// Runs `work` in a child and returns what it tells, `most` bytes of it, within `patience`. The child ends with the work.
///
/// Errors: those of pipe(2) and fork(2); EIO where a fork that made nobody says that it did.
/// The child has none of the parent's stdin, stdout and stderr: one that hangs in a driver would keep whoever reads them waiting, as
/// `docker exec` does with those of a health check.
pub fn run(patience: Duration, most: usize, work: impl FnOnce(&Child)) -> Result<Answer, Errno> {
    run_while(patience, most, &mut || true, |child| {
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
const SLICE: Duration = Duration::from_millis(100);

/// The same, as long as `goes_on` says so: it is asked ten times a second, and a no is like the deadline.
pub fn run_while(
    patience: Duration,
    most: usize,
    goes_on: &mut dyn FnMut() -> bool,
    work: impl FnOnce(&Child),
) -> Result<Answer, Errno> {
    let deadline = Instant::now().after(patience);
    let parent = process::own_id();
    let (reader, writer) = io::pipe()?;
    let Some(ProcessId(id)) = fork(parent)? else {
        drop(reader);
        let child = Child { answer: writer, parent };
        if child.keep_apart().is_ok() {
            work(&child);
        }
        process::exit(0)
    };
    drop(writer);
    let answer = listen(&reader, most, deadline, goes_on);
    let late = answer.as_ref().map_or(true, |answer| answer.late);
    if late {
        let _ = signal::kill(id, Signal::KILL);
    }
    // A child that has more to say than anybody wants ends of it.
    drop(reader);
    reap(id);
    answer
}

/// Leaves `work` to a child and does not wait for it: its end is SIGCHLD's matter. The child dies with its parent. The parent
/// allocates nothing. Errors: as for [`run`].
pub fn leave(work: impl FnOnce()) -> Result<ProcessId, Errno> {
    let parent = process::own_id();
    if let Some(child) = fork(parent)? {
        return Ok(child);
    }
    // Closed to its own user it is already, as a copy of what is.
    if credentials::die_with(parent).is_ok() {
        work();
    }
    process::exit(0)
}

/// fork(2) of this process, `parent`: nothing in the child, which must leave by `exit`.
fn fork(parent: ProcessId) -> Result<Option<ProcessId>, Errno> {
    // SAFETY: the program has one thread (and glibc's fork holds its locks meanwhile where a test has more); the child goes on with
    // a copy of everything.
    match cerr(unsafe { libc::fork() })? {
        // A filter that answers 0 for the kernel: this is still the parent, and must not do the child's work.
        0 if process::own_id() == parent => Err(Errno(libc::EIO)),
        0 => Ok(None),
        id => Ok(Some(ProcessId(id))),
    }
}

fn listen(
    reader: &OwnedFd,
    most: usize,
    deadline: Instant,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Answer, Errno> {
    let mut bytes = Vec::new();
    let mut interruptions = 0;
    while bytes.len() < most {
        let left = Instant::now().until(deadline);
        match io::poll(reader.as_fd(), PollFlags::POLLIN, left.min(SLICE)).map(|events| !events.is_empty()) {
            Ok(true) => {}
            Ok(false) if left > SLICE && goes_on() => continue,
            // Stopped and continued: what is left of the time is looked at again.
            Err(Errno(libc::EINTR)) if interruptions < 8 => {
                interruptions += 1;
                continue;
            }
            Ok(false) => return Ok(Answer { bytes, late: true }),
            Err(errno) => return Err(errno),
        }
        // As much as a pipe holds: an answer that may be long costs no memory while it is short.
        let filled = bytes.len();
        bytes.resize(most.min(filled + PIPE_BYTES), 0);
        let count = io::read(reader, &mut bytes[filled..])?;
        bytes.truncate(filled + count);
        if count == 0 {
            break;
        }
    }
    Ok(Answer { bytes, late: false })
}

const PIPE_BYTES: usize = 64 << 10;

/// Takes the end of the child, which is near, without waiting for one that hangs: the supervisor reaps what comes later.
fn reap(id: i32) {
    let mut pause = Duration::from_micros(50);
    for _ in 0..10 {
        match wait::take(id, libc::WNOHANG) {
            Ok(None) | Err(Errno(libc::EINTR)) => clock::nap(pause),
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
            child.tell(b"one ").unwrap();
            child.tell(b"two").unwrap();
        });
        assert_eq!(answer, Ok(Answer { bytes: b"one two".to_vec(), late: false }));
        assert_eq!(touched, 1, "the child's memory is its own");
    }

    #[test]
    fn a_child_that_never_ends_is_killed_and_what_it_said_is_kept() {
        let answer = run(Duration::from_millis(200), 64, |child| {
            child.tell(&process::own_id().0.to_ne_bytes()).unwrap();
            loop {
                clock::nap(SECOND);
            }
        })
        .unwrap();
        assert!(answer.late);
        let id = i32::from_ne_bytes(answer.bytes.try_into().unwrap());
        let left = std::fs::read_to_string(format!("/proc/{id}/stat")).ok();
        assert!(left.is_none_or(|stat| !stat.contains(") S ")), "it was killed");
    }

    #[test]
    fn a_child_that_dies_or_says_too_much_is_no_harm() {
        let dead = run(SECOND * 20, 64, |_| process::exit(3)).unwrap();
        assert_eq!(dead, Answer { bytes: vec![], late: false });
        let loud = run(SECOND * 20, 3, |child| {
            let _ = child.tell(&[7; 200_000]);
        });
        assert_eq!(loud.unwrap().bytes, [7, 7, 7]);
    }

    #[test]
    fn the_child_is_closed_to_its_user_and_dies_with_the_parent() {
        let answer = run(SECOND * 20, 8, |child| {
            let signal = credentials::parent_death_signal().unwrap_or(0) as u8;
            let _ = child.tell(&[signal, u8::from(credentials::dumpable() == Ok(false))]);
        });
        assert_eq!(answer.unwrap().bytes, [Signal::KILL.number(), 1]);
    }
}

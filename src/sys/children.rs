//! Programs that are run for what they print: each has limits of the kernel, a deadline and an end, and none of them holds up another.

use super::errno::{cerr, cerr_int};
use super::ids::ProcessId;
use super::signal::{self, Signal, SignalSet};
use super::wait::WaitStatus;
use super::{Errno, clock, clock::Instant, credentials, io, process};
use std::ffi::{CStr, c_char};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// A program to start: its input is /dev/null, its process group its own, no signal is blocked in it, and it dies with its parent.
pub struct Program<'a> {
    /// An absolute path.
    pub path: &'a CStr,
    /// Its own name first.
    pub arguments: &'a [&'a CStr],
    /// All of it.
    pub environment: &'a [&'a CStr],
    /// Where it runs.
    pub directory: BorrowedFd<'a>,
    /// What it may use.
    pub limits: Limits,
}

/// What a program may use. No file that it writes may have a byte, and it leaves no core.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of address space.
    pub memory: u64,
    /// Of processor time.
    pub seconds: u64,
    /// Open files.
    pub files: u64,
    /// Bytes that it may print.
    pub output: usize,
    /// From its start to its end.
    pub time: Duration,
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// By itself, or by a signal of the kernel's.
    Ended(WaitStatus),
    /// Not by its deadline.
    Late,
    /// It printed more than it may.
    Loud,
    /// It was never executed: what failed, and the kernel's word.
    NotStarted(&'static str, Errno),
    /// It could not be listened to.
    Lost(Errno),
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// How.
    pub end: End,
    /// What it printed; of one that printed too much, as much as it may.
    pub output: Vec<u8>,
    /// The last of what it wrote to stderr, some kilobytes.
    pub errors: Vec<u8>,
}

/// A program that was started.
#[derive(Debug)]
pub struct Running {
    id: i32,
    /// Its word that it cannot be executed, its stdout, its stderr; none: closed by all who had it.
    pipes: [Option<OwnedFd>; 3],
    said: [Vec<u8>; 3],
    most: usize,
    deadline: Instant,
    end: Option<End>,
}

/// What is kept of stderr: the last lines say why.
const ERRORS: usize = 4096;
const STEPS: [&str; 6] = [
    "tie it to its parent", "enter the directory", "set its input and output", "set its limits", "unblock its signals",
    "execute it",
];

/// Starts a program. Errors: those of pipe(2) and fork(2); EIO where a fork that made nobody says that it did.
pub fn start(program: &Program) -> Result<Running, Errno> {
    let pointers = |strings: &[&CStr]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(program.arguments), pointers(program.environment));
    let (word, output, errors) = (io::pipe()?, io::pipe()?, io::pipe()?);
    let parent = process::own_id();
    // SAFETY: the child makes system calls only, on what was made before it, and leaves by `execve` or `exit`: it allocates nothing
    // and takes no lock, so that a parent with threads (a test) may have it too.
    let id = match cerr_int(unsafe { libc::fork() })? {
        // A filter that answers 0 for the kernel: this is still the parent, and must not do the child's work.
        0 if process::own_id() == parent => return Err(Errno(libc::EIO)),
        0 => {
            let pipes = [output.1.as_raw_fd(), errors.1.as_raw_fd()];
            let (step, errno) = become_it(program, parent, pipes, arguments.as_ptr(), environment.as_ptr());
            let number = errno.0.to_ne_bytes();
            let _ = io::write_whole(&word.1, &[step, number[0], number[1], number[2], number[3]]);
            process::exit(127)
        }
        id => id,
    };
    // The child does the same; whoever comes first.
    // SAFETY: takes numbers only.
    let _ = cerr_int(unsafe { libc::setpgid(id, id) });
    Ok(Running {
        id,
        pipes: [Some(word.0), Some(output.0), Some(errors.0)],
        said: Default::default(),
        most: program.limits.output,
        deadline: Instant::now().after(program.limits.time),
        end: None,
    })
}

/// In the child. Returns only what failed: its place in [`STEPS`] and the kernel's word.
fn become_it(
    program: &Program,
    parent: ProcessId,
    pipes: [RawFd; 2],
    arguments: *const *const c_char,
    environment: *const *const c_char,
) -> (u8, Errno) {
    let steps = || -> Result<(), (u8, Errno)> {
        let at = |step: u8| move |errno: Errno| (step, errno);
        credentials::set_parent_death_signal(Signal::KILL.number()).map_err(at(0))?;
        // It may have died before the signal was asked for.
        if process::parent_id() != parent {
            return Err((0, Errno(libc::ESRCH)));
        }
        // SAFETY: takes numbers only.
        cerr_int(unsafe { libc::setpgid(0, 0) }).map_err(at(0))?;
        // SAFETY: takes a number only; the descriptor is open.
        cerr_int(unsafe { libc::fchdir(program.directory.as_raw_fd()) }).map_err(at(1))?;
        let input = io::open(c"/dev/null").map_err(at(2))?;
        for (number, from) in [(0, input.as_raw_fd()), (1, pipes[0]), (2, pipes[1])] {
            // SAFETY: takes numbers only; `from` is open and no standard descriptor, so that the copy stays open on exec.
            cerr_int(unsafe { libc::dup2(from, number) }).map_err(at(2))?;
        }
        // What others left open for COMMAND is none of its business. Before Linux 5.11 it keeps that.
        // SAFETY: takes numbers only; nothing is closed before exec.
        let _ =
            cerr(unsafe { libc::syscall(libc::SYS_close_range, io::FIRST_OTHER, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) });
        let limits = &program.limits;
        limit(libc::RLIMIT_AS, limits.memory, 0).map_err(at(3))?;
        // SIGXCPU at the first, which tells why; SIGKILL at the second.
        limit(libc::RLIMIT_CPU, limits.seconds, 2).map_err(at(3))?;
        limit(libc::RLIMIT_NOFILE, limits.files, 0).map_err(at(3))?;
        limit(libc::RLIMIT_FSIZE, 0, 0).map_err(at(3))?;
        limit(libc::RLIMIT_CORE, 0, 0).map_err(at(3))?;
        signal::set_mask(SignalSet::EMPTY).map(drop).map_err(at(4))
    };
    if let Err(failure) = steps() {
        return failure;
    }
    // SAFETY: NUL-terminated strings and NULL-terminated arrays, made by `start` and alive.
    unsafe { libc::execve(program.path.as_ptr(), arguments, environment) };
    (5, Errno::last())
}

/// Lowers a limit; one that is lower already stays. `more`: how much higher its hard one is.
fn limit(resource: libc::__rlimit_resource_t, most: u64, more: u64) -> Result<(), Errno> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit into a valid place.
    cerr_int(unsafe { libc::getrlimit(resource, &mut now) })?;
    let hard = most.saturating_add(more).min(now.rlim_max);
    let new = libc::rlimit { rlim_cur: most.min(hard), rlim_max: hard };
    // SAFETY: one valid rlimit.
    cerr_int(unsafe { libc::setrlimit(resource, &new) }).map(drop)
}

/// Waits for one of them to end, takes it out and returns it; none where there is none.
pub fn wait_for_one<Key>(running: &mut Vec<(Key, Running)>) -> Option<(Key, Ended)> {
    let mut buffer = vec![0; 65_536];
    while !running.is_empty() {
        if let Some(index) = running.iter_mut().position(|(_, child)| child.has_ended()) {
            let (key, child) = running.swap_remove(index);
            return Some((key, child.finish()));
        }
        listen(running, &mut buffer);
    }
    None
}

/// Waits until one of them has something to tell or is late, and takes what is there.
fn listen<Key>(running: &mut [(Key, Running)], buffer: &mut [u8]) {
    let now = Instant::now();
    let mut time = Duration::from_secs(3600);
    let mut asked: Vec<libc::pollfd> = Vec::new();
    let mut whose = Vec::new();
    for (index, (_, child)) in running.iter().enumerate() {
        time = time.min(now.until(child.deadline));
        if child.pipes.iter().all(Option::is_none) {
            // It has closed them and lives: only asking tells when it ends.
            time = time.min(Duration::from_millis(5));
        }
        for (number, pipe) in child.pipes.iter().enumerate() {
            if let Some(pipe) = pipe {
                asked.push(libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 });
                whose.push((index, number));
            }
        }
    }
    // Rounded up: a rest below a millisecond is not to be spent in a busy loop.
    let milliseconds = time.as_micros().div_ceil(1000).min(i32::MAX as u128) as libc::c_int;
    // SAFETY: that many valid pollfds.
    let answer = cerr_int(unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as libc::nfds_t, milliseconds) });
    for (entry, (index, number)) in asked.iter().zip(whose) {
        let Some((_, child)) = running.get_mut(index) else { continue };
        match answer {
            Ok(_) if entry.revents != 0 => child.hear(number, buffer),
            Ok(_) | Err(Errno(libc::EINTR)) => {}
            Err(errno) => child.end = Some(End::Lost(errno)),
        }
    }
}

impl Running {
    /// Takes what one of its pipes holds now.
    fn hear(&mut self, number: usize, buffer: &mut [u8]) {
        let (Some(pipe), Some(said)) = (self.pipes.get_mut(number), self.said.get_mut(number)) else { return };
        let Some(open) = pipe else { return };
        let count = match io::read(open, buffer) {
            Ok(0) => {
                *pipe = None;
                return;
            }
            Ok(count) => count,
            Err(errno) => {
                self.end = Some(End::Lost(errno));
                return;
            }
        };
        let heard = buffer.get(..count).unwrap_or_default();
        if number == OUTPUT {
            let room = self.most.saturating_sub(said.len());
            said.extend_from_slice(heard.get(..room).unwrap_or(heard));
            if count > room {
                self.end = Some(End::Loud);
            }
        } else {
            said.extend_from_slice(heard);
            if said.len() > 2 * ERRORS {
                said.drain(..said.len() - ERRORS);
            }
        }
    }

    fn has_ended(&mut self) -> bool {
        if self.end.is_none() && self.pipes.iter().all(Option::is_none) {
            self.end = match is_over(self.id).and_then(|over| if over { self.bury() } else { Ok(None) }) {
                Ok(None) => None,
                Ok(Some(status)) => Some(self.not_started().unwrap_or(End::Ended(status))),
                Err(errno) => Some(End::Lost(errno)),
            };
        }
        if self.end.is_none() && Instant::now() >= self.deadline {
            self.end = Some(End::Late);
        }
        self.end.is_some()
    }

    /// Ends what is left of its group, then takes its own end: until that is taken nobody else can have its number.
    fn bury(&self) -> Result<Option<WaitStatus>, Errno> {
        let _ = signal::kill(-self.id, Signal::KILL);
        reap(self.id)
    }

    /// What the child said before exec.
    fn not_started(&self) -> Option<End> {
        let (step, number) = self.said[0].split_first()?;
        let number = i32::from_ne_bytes(number.try_into().ok()?);
        Some(End::NotStarted(STEPS.get(usize::from(*step))?, Errno(number)))
    }

    fn finish(mut self) -> Ended {
        self.stop();
        let [_, output, errors] = std::mem::take(&mut self.said);
        Ended { end: self.end.unwrap_or(End::Late), output, errors }
    }

    /// Ends it, and takes its end where that comes soon; whoever reaps orphans takes a later one.
    fn stop(&mut self) {
        self.pipes = Default::default();
        let gone = matches!(self.end, Some(End::Ended(_) | End::NotStarted(..) | End::Lost(Errno(libc::ECHILD))));
        let mut pause = Duration::from_micros(50);
        for _ in 0..if gone { 0 } else { 12 } {
            match self.bury() {
                Ok(None) => clock::nap(pause),
                _ => return,
            }
            pause *= 2;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.stop();
        }
    }
}

const OUTPUT: usize = 1;

/// Whether that child has ended; its end stays to be taken.
fn is_over(id: i32) -> Result<bool, Errno> {
    // SAFETY: an all-zero siginfo is a valid value of a struct of integers.
    let mut said: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes one siginfo into a valid place; its pid was set to 0, which stays where nobody has ended.
    unsafe {
        cerr_int(libc::waitid(libc::P_PID, id.unsigned_abs(), &mut said, options))?;
        Ok(said.si_pid() == id)
    }
}

/// The end of that child, where it has come.
fn reap(id: i32) -> Result<Option<WaitStatus>, Errno> {
    let mut status = 0;
    // SAFETY: the kernel writes one int into a valid place; WNOHANG does not wait.
    match cerr_int(unsafe { libc::waitpid(id, &mut status, libc::WNOHANG) }) {
        Ok(0) | Err(Errno(libc::EINTR)) => Ok(None),
        Ok(_) => WaitStatus::decode(status).map(Some).ok_or(Errno(libc::EPROTO)),
        Err(errno) => Err(errno),
    }
}

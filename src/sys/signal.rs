//! Signals 1 to 64 as the kernel counts them. glibc hides 32 and 33 from its own calls, so masks go to the kernel
//! directly.

use super::Errno;
use super::clock::timespec;
use super::errno::cerr;
use super::ids::{ProcessId, UserId};
use nix::unistd::Pid;
use std::fmt;
use std::time::Duration;

/// Names of 1 to 31 on Linux (x86, arm), without `SIG`.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
const ALIASES: [(&str, i32); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// A signal's number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $number:expr),* $(,)?) => {
        impl Signal { $(pub const $name: Signal = Signal($number);)* }
    };
}
signals!(
    HUP = 1,
    INT = 2,
    QUIT = 3,
    ILL = 4,
    ABRT = 6,
    BUS = 7,
    FPE = 8,
    KILL = 9,
    SEGV = 11,
    PIPE = 13,
    TERM = 15,
    CHLD = 17,
    CONT = 18,
    STOP = 19,
    TSTP = 20,
    TTIN = 21,
    TTOU = 22,
    XCPU = 24,
    XFSZ = 25,
    SYS = 31,
);

impl Signal {
    /// The signal of that number; `None` outside 1 to 64.
    pub fn new(number: i32) -> Option<Self> {
        (1..=64).contains(&number).then_some(Signal(number as u8))
    }

    /// Its number, 1 to 64.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Reads `TERM`, `SIGTERM`, `15`, `RTMIN+3`, `SIGRTMAX-1`, in capitals or not.
    pub fn parse(text: &str) -> Option<Self> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().and_then(Signal::new);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(index) = NAMES.iter().position(|&known| known == name) {
            return Signal::new(index as i32 + 1);
        }
        if let Some(&(_, number)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
            return Signal::new(number);
        }
        let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(""), _) => RTMIN,
            (_, Some("")) => RTMAX,
            (Some(rest), _) => RTMIN + rest.strip_prefix('+')?.parse::<u8>().ok().map(i32::from)?,
            (_, Some(rest)) => RTMAX - rest.strip_prefix('-')?.parse::<u8>().ok().map(i32::from)?,
            _ => return None,
        };
        (RTMIN..=RTMAX).contains(&number).then(|| Signal::new(number)).flatten()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (NAMES.get(usize::from(self.0) - 1), i32::from(self.0)) {
            (Some(name), _) => write!(f, "SIG{name}"),
            (None, RTMIN) => f.write_str("SIGRTMIN"),
            (None, number) if number > RTMIN => write!(f, "SIGRTMIN+{}", number - RTMIN),
            (None, number) => write!(f, "signal {number}"),
        }
    }
}

/// A set of signals, as the kernel's own 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignalSet(u64);

/// The kernel never reports SIGKILL as blocked, so this can only be a buffer that nobody wrote.
const POISON: u64 = u64::MAX;
const SET_BYTES: usize = 8;

impl SignalSet {
    pub const EMPTY: SignalSet = SignalSet(0);
    pub const ALL: SignalSet = SignalSet(u64::MAX);

    /// Every signal but SIGCHLD.
    pub const ALL_BUT_CHILD: SignalSet = SignalSet(!(1 << (Signal::CHLD.0 - 1)));

    /// The set of these.
    pub fn of(signals: &[Signal]) -> Self {
        SignalSet(signals.iter().fold(0, |bits, signal| bits | 1 << (signal.0 - 1)))
    }
}

/// Replaces this thread's blocked signals and returns those before.
pub fn set_mask(set: SignalSet) -> Result<SignalSet, Errno> {
    mask(libc::SIG_SETMASK, Some(set))
}

/// This thread's blocked signals.
pub fn blocked() -> Result<SignalSet, Errno> {
    mask(libc::SIG_BLOCK, None)
}

fn mask(how: libc::c_int, set: Option<SignalSet>) -> Result<SignalSet, Errno> {
    let mut old = POISON;
    let new = set.as_ref().map_or(std::ptr::null(), |set| &raw const set.0);
    // SAFETY: both point to 8 bytes (or `new` is NULL), as the size says.
    cerr(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, new, &mut old, SET_BYTES) })?;
    if old == POISON { Err(Errno(libc::EIO)) } else { Ok(SignalSet(old)) }
}

/// Sets what SIGCHLD does to its default and says whether it was ignored: an ignored SIGCHLD lets the kernel reap
/// children unseen, and their exit codes are lost (`man 2 wait`, NOTES).
pub fn default_sigchld() -> Result<bool, Errno> {
    sigchld(libc::SIG_DFL)
}

/// Ignores SIGCHLD, as the caller of `init` had it.
pub fn ignore_sigchld() -> Result<(), Errno> {
    sigchld(libc::SIG_IGN).map(drop)
}

fn sigchld(disposition: libc::sighandler_t) -> Result<bool, Errno> {
    // SAFETY: a zeroed sigaction is a valid one; the kernel reads `new` and writes `old`.
    unsafe {
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = disposition;
        let mut old: libc::sigaction = std::mem::zeroed();
        old.sa_sigaction = libc::SIG_ERR;
        cerr(libc::sigaction(libc::SIGCHLD, &new, &mut old))?;
        if old.sa_sigaction == libc::SIG_ERR { Err(Errno(libc::EIO)) } else { Ok(old.sa_sigaction == libc::SIG_IGN) }
    }
}

/// A signal that was taken from the queue, and who sent it.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedSignal {
    pub signal: Signal,
    /// The sender, 0 where it is outside this pid namespace or the kernel.
    pub sender: ProcessId,
    pub user: UserId,
    /// The payload, where it was sent by sigqueue(3).
    pub payload: Option<usize>,
    /// Whether the kernel made it (a terminal, a timer, a fault) rather than a process.
    pub from_kernel: bool,
}

/// Takes the next pending signal of `set`; waits at most `time`, for ever without one. `None`: the time is over.
///
/// Errors: EINTR where something outside `set` woke the caller (a continue after SIGSTOP, a debugger).
pub fn receive(set: SignalSet, time: Option<Duration>) -> Result<Option<ReceivedSignal>, Errno> {
    let time = time.map(timespec);
    let limit = time.as_ref().map_or(std::ptr::null(), |time| time as *const libc::timespec);
    // SAFETY: `info` is a valid place for one siginfo_t, `set` is 8 bytes as the size says, `limit` is NULL or valid.
    // The accessors read the fields that every kernel-filled siginfo of kill, sigqueue and the kernel has.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        match cerr(libc::syscall(libc::SYS_rt_sigtimedwait, &set.0, &mut info, limit, SET_BYTES)) {
            Err(Errno(libc::EAGAIN)) => Ok(None),
            Err(errno) => Err(errno),
            Ok(number) => {
                let signal = Signal::new(number as i32).ok_or(Errno(libc::EIO))?;
                Ok(Some(ReceivedSignal {
                    signal,
                    sender: ProcessId(info.si_pid()),
                    user: UserId(info.si_uid()),
                    payload: (info.si_code == libc::SI_QUEUE).then(|| info.si_value().sival_ptr as usize),
                    from_kernel: info.si_code > 0,
                }))
            }
        }
    }
}

/// Sends a signal as kill(2) does: a process, `-group`, or -1 for every process that may be signalled.
pub fn kill(target: i32, signal: Signal) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    cerr(unsafe { libc::kill(target, libc::c_int::from(signal.0)) }).map(drop)
}

/// Whether that process is there and may be signalled by this one.
pub fn may_signal(process: ProcessId) -> bool {
    check_kill(process.0).is_ok()
}

/// [`may_signal`] with the kernel's word: EPERM where it is there and may not be signalled.
pub fn check_kill(process: i32) -> Result<(), Errno> {
    Ok(nix::sys::signal::kill(Pid::from_raw(process), None)?)
}

/// Sends a signal with its payload to one process.
pub fn queue(target: ProcessId, signal: Signal, payload: usize) -> Result<(), Errno> {
    let value = libc::sigval { sival_ptr: payload as *mut libc::c_void };
    // SAFETY: takes numbers; the payload is handed on, never followed.
    cerr(unsafe { libc::sigqueue(target.0, libc::c_int::from(signal.0), value) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_read_by_the_name_that_it_shows() {
        for number in (1..=31).chain(34..=64) {
            let signal = Signal::new(number).unwrap();
            assert_eq!(Signal::parse(&signal.to_string()), Some(signal), "{signal}");
            assert_eq!(Signal::parse(&number.to_string()), Some(signal));
        }
    }

    #[test]
    fn names_of_the_field_are_known() {
        for (text, number) in [("term", 15), ("Int", 2), ("SIGRTMAX-1", 63), ("RTMIN+3", 37), ("IOT", 6), ("rtmax", 64)]
        {
            assert_eq!(Signal::parse(text).map(|signal| signal.number()), Some(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in
            ["", "0", "65", "-1", "+9", "SIG", "SIGSIGTERM", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+", "nonsense"]
        {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_set_has_the_kernels_bits() {
        assert_eq!(SignalSet::of(&[Signal::HUP, Signal::TERM]), SignalSet(1 | 1 << 14));
    }
}

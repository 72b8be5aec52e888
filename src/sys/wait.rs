//! How a child ended, decoded by hand: nix has no value for a death by a real-time signal, and a program that unwraps
//! its answer hangs or exits 1 there (pid1-rs, tino).

use super::Errno;
use super::errno::cerr;
use super::ids::ProcessId;
use super::signal::Signal;

/// A status word of wait(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitStatus {
    /// Ended with this code.
    Exited(u8),
    /// Died of this signal; `true` where a core was dumped.
    Killed(Signal, bool),
    /// Stopped by this signal (only where WUNTRACED was asked for).
    Stopped(Signal),
}

impl WaitStatus {
    /// Decodes `status` (Linux: low 7 bits the signal, bit 7 core; 0x7f stopped; 0 exited with bits 8 to 15). `None`:
    /// no such state.
    pub fn decode(status: i32) -> Option<Self> {
        let high = ((status >> 8) & 0xff) as u8;
        match status & 0x7f {
            0 => Some(WaitStatus::Exited(high)),
            0x7f => Signal::new(i32::from(high)).map(WaitStatus::Stopped),
            low => Signal::new(low).map(|signal| WaitStatus::Killed(signal, status & 0x80 != 0)),
        }
    }

    /// The exit code that stands for it: a code as it is, a signal as 128 + its number.
    pub fn exit_code(self) -> u8 {
        match self {
            WaitStatus::Exited(code) => code,
            WaitStatus::Killed(signal, _) | WaitStatus::Stopped(signal) => 128 + signal.number(),
        }
    }
}

/// What the kernel says of the children.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChildEvent {
    /// This child changed its state, as the raw status word says.
    StateChanged(ProcessId, i32),
    /// There are children, and none of them has anything to tell.
    NoChange,
    /// There is no child.
    NoChildren,
}

/// Takes the next change of any child without waiting. `report_stopped`: also tell of stopped children.
pub fn poll_children(report_stopped: bool) -> Result<ChildEvent, Errno> {
    match waitpid(-1, libc::WNOHANG | if report_stopped { libc::WUNTRACED } else { 0 }) {
        Ok(Some((id, status))) => Ok(ChildEvent::StateChanged(id, status)),
        Ok(None) => Ok(ChildEvent::NoChange),
        Err(Errno(libc::ECHILD)) => Ok(ChildEvent::NoChildren),
        Err(errno) => Err(errno),
    }
}

/// Whether there is any child, dead or alive, without reaping one.
pub fn has_children() -> bool {
    // SAFETY: a NULL siginfo is allowed on Linux; nothing is reaped.
    let answer =
        unsafe { libc::waitid(libc::P_ALL, 0, std::ptr::null_mut(), libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) };
    cerr(answer) != Err(Errno(libc::ECHILD))
}

/// Takes the end of one child, waiting for it.
pub fn wait_for_exit(child: ProcessId) -> Result<(), Errno> {
    for _ in 0..1000 {
        match waitpid(child.0, 0) {
            Err(Errno(libc::EINTR)) => continue,
            answer => return answer.map(drop),
        }
    }
    Err(Errno(libc::EINTR))
}

/// `waitpid`: who changed and the status word; `None` where nobody did.
pub(super) fn waitpid(which: libc::pid_t, options: libc::c_int) -> Result<Option<(ProcessId, i32)>, Errno> {
    let mut status = 0;
    // SAFETY: the kernel writes one int into a valid place.
    let id = cerr(unsafe { libc::waitpid(which, &mut status, options) })?;
    Ok((id != 0).then_some((ProcessId(id), status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_and_every_death_is_decoded() {
        for code in 0..=255 {
            assert_eq!(WaitStatus::decode(code << 8), Some(WaitStatus::Exited(code as u8)));
        }
        for number in 1..=64 {
            let signal = Signal::new(number).unwrap();
            assert_eq!(WaitStatus::decode(number), Some(WaitStatus::Killed(signal, false)));
            assert_eq!(WaitStatus::decode(number | 0x80), Some(WaitStatus::Killed(signal, true)));
            assert_eq!(WaitStatus::decode(number << 8 | 0x7f), Some(WaitStatus::Stopped(signal)));
            assert_eq!(WaitStatus::Killed(signal, false).exit_code(), 128 + number as u8);
        }
    }

    #[test]
    fn a_word_that_is_no_state_is_none() {
        assert_eq!(WaitStatus::decode(0x7f), None, "stopped by signal 0");
        assert_eq!(WaitStatus::decode(100), None, "killed by signal 100");
    }
}

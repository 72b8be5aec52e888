//! Whose the keyboard is: the foreground process group of a terminal (`man 3 tcsetpgrp`).

use super::Errno;
use super::errno::cerr_int;
use super::ids::ProcessId;
use std::os::fd::RawFd;

/// Whether the descriptor is a terminal at all.
pub fn is_terminal(descriptor: RawFd) -> bool {
    let mut settings = std::mem::MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: the kernel writes one termios into a valid place, or nothing.
    unsafe { libc::tcgetattr(descriptor, settings.as_mut_ptr()) == 0 }
}

/// The process group in the foreground of this process's controlling terminal; ENOTTY where `descriptor` is not that.
pub fn foreground(descriptor: RawFd) -> Result<ProcessId, Errno> {
    let mut group: libc::pid_t = -1;
    // SAFETY: the kernel writes one pid_t into a valid place.
    cerr_int(unsafe { libc::ioctl(descriptor, libc::TIOCGPGRP, &mut group) })?;
    Ok(ProcessId(group))
}

/// Puts a process group into the foreground. SIGTTOU must be blocked or ignored: the kernel would stop a background caller.
pub fn set_foreground(descriptor: RawFd, group: ProcessId) -> Result<(), Errno> {
    // SAFETY: the kernel reads one pid_t.
    cerr_int(unsafe { libc::ioctl(descriptor, libc::TIOCSPGRP, &group.0) }).map(drop)
}

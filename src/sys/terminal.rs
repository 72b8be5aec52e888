//! Whose the keyboard is: the foreground process group of a terminal (`man 3 tcsetpgrp`).

use super::descriptor::borrowed;
use super::{Errno, ProcessId};
use nix::unistd;
use std::os::fd::RawFd;

/// Whether the descriptor is a terminal at all.
pub fn is_terminal(descriptor: RawFd) -> bool {
    unistd::isatty(borrowed(descriptor)) == Ok(true)
}

/// The process group in the foreground of this process's controlling terminal; ENOTTY where `descriptor` is not that.
pub fn foreground(descriptor: RawFd) -> Result<ProcessId, Errno> {
    Ok(unistd::tcgetpgrp(borrowed(descriptor))?.into())
}

/// Puts a process group into the foreground. SIGTTOU must be blocked or ignored: the kernel would stop a background
/// caller.
pub fn set_foreground(descriptor: RawFd, group: ProcessId) -> Result<(), Errno> {
    Ok(unistd::tcsetpgrp(borrowed(descriptor), group.into())?)
}

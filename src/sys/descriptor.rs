//! Descriptors as the kernel hands them out.

use super::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

/// The first number that is no standard descriptor.
pub const FIRST_NON_STDIO: RawFd = 3;

/// What the kernel has just given. 0 to 2 are never free (`io::reopen_closed_stdio`): such an answer is bogus, and not
/// ours to close.
pub(super) fn reject_stdio(descriptor: OwnedFd) -> Result<OwnedFd, Errno> {
    if descriptor.as_raw_fd() >= FIRST_NON_STDIO {
        return Ok(descriptor);
    }
    let _ = descriptor.into_raw_fd();
    Err(Errno(libc::EBADF))
}

/// `number` for one system call: a standard descriptor, or one that somebody else owns and has open.
pub(super) fn borrowed(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: nobody passes -1, and where the number is closed the call answers EBADF. std's own stdin() and stdout()
    // allocate.
    unsafe { BorrowedFd::borrow_raw(number) }
}

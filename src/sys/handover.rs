//! What `init` and a program of its own hand to each other: descriptors, and memory behind them.

use super::errno::{Errno, cerr};
use super::io;
use super::signal::{self, SignalSet};
use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::ffi::{CStr, CString};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// An empty file in memory, without a name. Errors: those of memfd_create(2).
pub fn memory_file() -> Result<OwnedFd, Errno> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Linux 6.3 and newer can refuse memory that could be executed (vm.memfd_noexec), older ones do not know the flag.
    match memfd_create(c"takumi", flags | MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL)) {
        Err(nix::errno::Errno::EINVAL) => memfd_create(c"takumi", flags),
        answer => answer,
    }
    .map_err(Errno::from)
}

/// From now on nobody who has it can change it.
pub fn seal(file: &OwnedFd) -> Result<(), Errno> {
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals)).map(drop).map_err(Errno::from)
}

/// All of a file from its beginning, wherever those who share it have read or written last. Errors: longer than
/// `limit`: EFBIG.
pub fn read_from_start(file: &OwnedFd, limit: usize) -> Result<Vec<u8>, Errno> {
    let mut content = Vec::new();
    loop {
        let filled = content.len();
        content.resize(filled + 65_536, 0);
        let count = nix::sys::uio::pread(file, &mut content[filled..], filled as i64).map_err(Errno::from)?;
        content.truncate(filled + count);
        if count == 0 {
            return Ok(content);
        }
        if content.len() > limit {
            return Err(Errno(libc::EFBIG));
        }
    }
}

/// A descriptor that this program was started with, as its command line says. It is not handed on.
///
/// Errors: EBADF where there is none of that number, or it is a standard one.
pub fn claim_inherited(number: RawFd) -> Result<OwnedFd, Errno> {
    if number < io::FIRST_NON_STDIO || io::open_descriptors_within(number, number + 1)?.is_empty() {
        return Err(Errno(libc::EBADF));
    }
    // SAFETY: it is open and no standard one, and the command line names each once, for one owner.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(Errno::from)?;
    Ok(descriptor)
}

/// What others left open for COMMAND is no business of a program that is executed next. Before Linux 5.11 it keeps
/// that.
pub(super) fn close_all_on_exec() {
    // SAFETY: takes numbers only; nothing is closed before exec.
    let _ =
        cerr(unsafe { libc::syscall(libc::SYS_close_range, io::FIRST_NON_STDIO, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) });
}

/// Becomes another program, for a child of [`super::forked_task`]. It gets these descriptors under their own numbers,
/// stdout, stderr and nothing else; no signal is blocked in it. Returns only what failed.
pub fn exec(path: &CStr, arguments: &[CString], environment: &[CString], passed: &[&OwnedFd]) -> Errno {
    let prepare = || {
        let null = io::open(c"/dev/null")?;
        nix::unistd::dup2_stdin(&null).map_err(Errno::from)?;
        close_all_on_exec();
        for descriptor in passed {
            fcntl(*descriptor, FcntlArg::F_SETFD(FdFlag::empty())).map_err(Errno::from)?;
        }
        signal::set_mask(SignalSet::EMPTY).map(drop)
    };
    match prepare() {
        Err(errno) => errno,
        Ok(()) => nix::unistd::execve(path, arguments, environment).map_or_else(Errno::from, |never| match never {}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_memory_is_read_by_all_and_written_by_nobody() {
        let file = memory_file().unwrap();
        io::write_whole(&file, b"known").unwrap();
        seal(&file).unwrap();
        assert_eq!(read_from_start(&file, 5), Ok(b"known".to_vec()));
        assert_eq!(read_from_start(&file, 5), Ok(b"known".to_vec()), "from the start again");
        assert_eq!(read_from_start(&file, 4), Err(Errno(libc::EFBIG)));
        assert_eq!(io::write_whole(&file, b"x"), Err(Errno(libc::EPERM)));
    }

    #[test]
    fn a_number_that_is_closed_or_standard_is_nobodys() {
        assert_eq!(claim_inherited(1).map(drop), Err(Errno(libc::EBADF)));
        assert_eq!(claim_inherited(900).map(drop), Err(Errno(libc::EBADF)));
    }
}

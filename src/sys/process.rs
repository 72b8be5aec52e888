//! This process: its numbers, its directory, its end.

use super::Errno;
use super::errno::{cerr, cerr_int};
use super::ids::ProcessId;
use std::ffi::CStr;

/// This process.
pub fn own_id() -> ProcessId {
    // SAFETY: takes nothing, cannot fail. Not glibc's: it would be no other, but a filter's answer should be seen everywhere.
    ProcessId(unsafe { libc::getpid() })
}

/// The parent, 0 where it is outside this pid namespace.
pub fn parent_id() -> ProcessId {
    // SAFETY: takes nothing, cannot fail.
    ProcessId(unsafe { libc::getppid() })
}

/// This process's group.
pub fn own_group() -> ProcessId {
    // SAFETY: takes nothing, cannot fail.
    ProcessId(unsafe { libc::getpgrp() })
}

/// Ends this process at once, without libc's own clean-up.
pub fn exit(code: u8) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Makes `directory` the working directory.
pub fn change_directory(directory: &CStr) -> Result<(), Errno> {
    // SAFETY: `directory` is NUL-terminated.
    cerr_int(unsafe { libc::chdir(directory.as_ptr()) }).map(drop)
}

/// Whether the working directory lies below this process's root. A runtime that leaks a directory descriptor can start a
/// container outside of it (CVE-2024-21626): the kernel then shows a path that does not begin with `/`.
pub fn directory_is_inside() -> Result<bool, Errno> {
    let mut path = [0_u8; 4096];
    // SAFETY: the kernel writes at most the buffer's length into it.
    match cerr(unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) }) {
        Ok(_) if path[0] == 0 => Err(Errno(libc::EIO)),
        Ok(_) => Ok(path[0] == b'/'),
        // Deleted, or deeper than a path can say: reached from our root all the same.
        Err(Errno(libc::ENOENT | libc::ENAMETOOLONG)) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// How large a core file of this process may be, in bytes; `None`: without a limit.
pub fn core_limit() -> Result<Option<u64>, Errno> {
    let mut limit = libc::rlimit { rlim_cur: 1, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit into a valid place.
    cerr_int(unsafe { libc::getrlimit(libc::RLIMIT_CORE, &mut limit) })?;
    match limit {
        // As it was before the call: nobody has answered.
        libc::rlimit { rlim_cur: 1, rlim_max: 0 } => Err(Errno(libc::EPROTO)),
        // The hard limit counts: COMMAND can raise the other to it.
        libc::rlimit { rlim_max: libc::RLIM_INFINITY, .. } => Ok(None),
        libc::rlimit { rlim_max, .. } => Ok(Some(rlim_max)),
    }
}

/// The name that /proc shows of this process, cut to 15 bytes; only a thread of its own can change it (`man 5 proc_pid_comm`).
pub fn set_name(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel reads at most 16 bytes of a NUL-terminated string.
    cerr(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) }).map(drop)
}

/// Sets the mask of permission bits that new files do not get; returns the one before.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: takes a number, cannot fail.
    unsafe { libc::umask(mask) }
}

/// How many processors this process may use, at least one.
pub fn processors() -> usize {
    let mut mask = [0_u64; 128];
    // SAFETY: the kernel writes at most the array's size into it.
    let answer =
        cerr(unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, std::mem::size_of_val(&mask), mask.as_mut_ptr()) });
    let count = mask.iter().map(|bits| bits.count_ones() as usize).sum::<usize>();
    if answer.is_ok() { count.max(1) } else { 1 }
}

//! This process: its numbers, its directory, its end.

use super::Errno;
use super::errno::cerr;
use super::ids::ProcessId;
use nix::sys::prctl;
use nix::unistd::{self, Pid};
use std::ffi::CStr;

pub fn self_pid() -> ProcessId {
    Pid::this().into()
}

/// The parent, 0 where it is outside this pid namespace.
pub fn parent_pid() -> ProcessId {
    Pid::parent().into()
}

pub fn self_process_group() -> ProcessId {
    unistd::getpgrp().into()
}

/// Makes a process group of this process alone.
pub fn become_group_leader() -> Result<(), Errno> {
    Ok(unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0))?)
}

/// Ends this process at once, without libc's own clean-up.
pub fn exit(code: u8) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Makes `directory` the working directory.
pub fn change_directory(directory: &CStr) -> Result<(), Errno> {
    Ok(unistd::chdir(directory)?)
}

/// Whether the working directory lies below this process's root. A runtime that leaks a directory descriptor can start
/// a container outside of it (CVE-2024-21626): the kernel then shows a path that does not begin with `/`.
pub fn is_working_directory_inside() -> Result<bool, Errno> {
    let mut path = [0_u8; 4096];
    // The call itself: glibc's function hides that path behind ENOENT.
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
    cerr(unsafe { libc::getrlimit(libc::RLIMIT_CORE, &mut limit) })?;
    match limit {
        // As it was before the call: nobody has answered.
        libc::rlimit { rlim_cur: 1, rlim_max: 0 } => Err(Errno(libc::EPROTO)),
        // The hard limit counts: COMMAND can raise the other to it.
        libc::rlimit { rlim_max: libc::RLIM_INFINITY, .. } => Ok(None),
        libc::rlimit { rlim_max, .. } => Ok(Some(rlim_max)),
    }
}

/// The name that /proc shows of this process, cut to 15 bytes; only a thread of its own can change it (`man 5
/// proc_pid_comm`).
pub fn set_name(name: &CStr) -> Result<(), Errno> {
    Ok(prctl::set_name(name)?)
}

/// Sets the mask of permission bits that new files do not get; returns the one before.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: takes a number, cannot fail.
    unsafe { libc::umask(mask) }
}

/// How many processors this process may use, at least one.
pub fn processor_count() -> usize {
    let mut mask = [0_u64; 128];
    // SAFETY: the kernel writes at most the array's size into it.
    let answer =
        cerr(unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, std::mem::size_of_val(&mask), mask.as_mut_ptr()) });
    let count = mask.iter().map(|bits| bits.count_ones() as usize).sum::<usize>();
    if answer.is_ok() { count.max(1) } else { 1 }
}

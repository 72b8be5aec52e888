//! What a program that is started by `std::process::Command` may use.

use super::credentials;
use super::handover;
use super::process;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::{Error, Result};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What a program may use. No file that it writes may have a byte, and it leaves no core.
#[derive(Clone, Copy, Debug)]
pub struct ResourceLimits {
    /// Bytes of address space.
    pub memory: u64,
    pub cpu_seconds: u64,
    pub open_files: u64,
}

/// Runs the program in that directory under these limits, and ends it with this process.
pub fn apply(command: &mut Command, directory: OwnedFd, limits: ResourceLimits) {
    let parent = process::self_pid();
    let prepare = move || -> Result<()> {
        credentials::die_with_parent(parent).map_err(|errno| Error::from_raw_os_error(errno.0))?;
        nix::unistd::fchdir(&directory)?;
        handover::close_all_on_exec();
        let table = [
            (Resource::RLIMIT_AS, limits.memory, 0),
            // SIGXCPU at the first, which tells why; SIGKILL at the second.
            (Resource::RLIMIT_CPU, limits.cpu_seconds, 2),
            (Resource::RLIMIT_NOFILE, limits.open_files, 0),
            (Resource::RLIMIT_FSIZE, 0, 0),
            (Resource::RLIMIT_CORE, 0, 0),
        ];
        table.into_iter().try_for_each(|(resource, most, more)| lower(resource, most, more))
    };
    // SAFETY: between fork and exec it makes system calls only, on values that it owns: it allocates nothing and takes
    // no lock.
    unsafe { command.pre_exec(prepare) };
}

/// Lowers a limit; one that is lower already stays. `more`: how much higher its hard one is.
fn lower(resource: Resource, limit: u64, extra: u64) -> Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let hard = limit.saturating_add(extra).min(hard);
    Ok(setrlimit(resource, limit.min(hard), hard)?)
}

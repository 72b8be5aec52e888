//! The second lock: Landlock and a filter of system calls around COMMAND, after the drop and for ever. It needs no privilege, and
//! holds what the first lock left open: a root that can be written, a way past the proxy, a call that nobody needs.
//!
//! Everything is made here, by `init`; COMMAND's process puts it on between clone and exec (`sys::spawn`), and tries whether it
//! holds. `init` itself stays outside: what is inside cannot signal, trace or write what is not.

mod landlock;
pub mod seccomp;

use crate::machine::{Machine, devices, mounts::Mounts, sandbox};
use crate::privilege::Dropped;
use crate::settings::Settings;
pub use crate::sys::spawn::Sandbox;
use crate::sys::{Errno, ProcessId, UserId, io};
use std::ffi::{CStr, CString};

/// Why the second lock cannot be made ready.
#[derive(PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs)] // each variant's line says what it is
pub enum Error {
    #[error(
        "cannot make {0} writable under the second lock: {1} (each name on the way must be a directory and no link: create it in the image, name its real path, or take it out of {2})"
    )]
    Place(String, Errno, &'static str),
    #[error(
        "cannot {0}: {1} (a seccomp filter or a sandbox refuses it; start without that rule, or TAKUMI_CONFINE=off)"
    )]
    Call(&'static str, Errno),
    #[error(
        "cannot try whether the second lock holds: /dev/urandom cannot be written, and Linux before 6.12 has no other way to tell (give the container a /dev as engines do, or TAKUMI_CONFINE=off)"
    )]
    Untried,
}

/// A device that everybody may write in every container, and that no rule names: what is refused there is refused by Landlock.
const OUTSIDE: &CStr = c"/dev/urandom";

/// Makes the lock ready, of what the kernel has. Nothing where TAKUMI_CONFINE is off or the kernel has neither half; `strict` was
/// refused then.
pub fn prepare(
    dropped: &Dropped,
    settings: &Settings,
    machine: &Machine,
    own: ProcessId,
) -> Result<Option<Sandbox>, Error> {
    let Some(kernel) = &machine.sandbox else { return Ok(None) };
    let mut lock = Sandbox::default();
    if kernel.landlock_abi() > 0 {
        let read = if machine.mounts.is_err() { Mounts::read().ok() } else { None };
        let mounts = machine.mounts.as_ref().ok().or(read.as_ref());
        lock.is_scoped = kernel.landlock_abi() >= sandbox::FULL_ABI;
        lock.ruleset = Some(landlock::ruleset(&landlock::Needs {
            settings,
            kernel,
            mounts,
            devices: devices_of_gpu(machine),
            may_write_proc: dropped.user != UserId(0),
        })?);
        lock.canary = outside(settings);
        if lock.canary.is_none() && !lock.is_scoped {
            return Err(Error::Untried);
        }
    }
    if kernel.filters.is_ok() {
        lock.filter = seccomp::filter(own);
    }
    Ok((lock.ruleset.is_some() || !lock.filter.is_empty()).then_some(lock))
}

/// The lock of a child that only reads: it may write nothing but /dev/null and call nobody. Whatever TAKUMI_CONFINE says, as far as
/// the kernel has it; `own`: the process that makes the child.
pub fn for_reading(own: ProcessId) -> Result<Sandbox, Error> {
    let mut lock = Sandbox::default();
    let level = crate::sys::landlock::abi_version().unwrap_or(0);
    if level > 0 {
        lock.is_scoped = level >= sandbox::FULL_ABI;
        lock.ruleset = Some(landlock::nothing_to_write(level)?);
        lock.canary = io::may_open_for_writing(OUTSIDE).then(|| OUTSIDE.into());
        if lock.canary.is_none() && !lock.is_scoped {
            return Err(Error::Untried);
        }
    }
    if crate::sys::seccomp::check_available().is_ok() {
        lock.filter = seccomp::filter(own);
    }
    Ok(lock)
}

fn devices_of_gpu(machine: &Machine) -> Vec<String> {
    match &machine.devices {
        Some(devices) => devices.nodes.iter().map(|node| node.path.clone()).collect(),
        // TAKUMI_GPU=off looks at none, and takes none away.
        None => devices::gpu_paths(),
    }
}

fn outside(settings: &Settings) -> Option<CString> {
    let writable = |directory: &CString| matches!(directory.to_bytes(), b"/" | b"/dev" | b"/dev/");
    let named = settings.volumes.iter().chain(&settings.writable).any(writable);
    (!named && io::may_open_for_writing(OUTSIDE)).then(|| OUTSIDE.into())
}

//! COMMAND's sandbox: Landlock and a filter of system calls, after the drop and for ever. It needs no privilege, and
//! closes what the drop left open: a root that can be written, a way past the proxy, a call that nobody needs.
//!
//! Everything is made here, by `init`; COMMAND's process enforces it between clone and exec (`sys::spawn`), and tests
//! whether it holds. `init` itself stays outside: what is inside cannot signal, trace or write what is not.

mod landlock;
pub mod seccomp;

use crate::machine::{Machine, devices, mounts::Mounts, sandbox};
use crate::privilege::Dropped;
use crate::settings::Settings;
pub use crate::sys::spawn::Sandbox;
use crate::sys::{Errno, ProcessId, UserId, io};
use std::ffi::{CStr, CString};

#[derive(PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot make {0} writable in the sandbox: {1} (every part of the path must be a directory, not a link: create it in the image, use its real path, or remove it from {2})"
    )]
    Unpinnable(String, Errno, &'static str),
    #[error(
        "cannot {0}: {1} (a seccomp filter or a sandbox refuses it; start without that rule, or set TAKUMI_CONFINE=off)"
    )]
    System(&'static str, Errno),
    #[error(
        "cannot self-test the sandbox: /dev/urandom is not writable, and Linux before 6.12 offers no other way (give the container the usual /dev, or set TAKUMI_CONFINE=off)"
    )]
    NoSelfTest,
}

/// A device that everybody may write in every container, and that no rule names: what is refused there is refused by
/// Landlock.
const CANARY_DEVICE: &CStr = c"/dev/urandom";

/// What the kernel has of it. Nothing where TAKUMI_CONFINE is off or the kernel has neither half; `strict` was
/// refused then.
pub fn command_sandbox(
    dropped: &Dropped,
    settings: &Settings,
    machine: &Machine,
    self_pid: ProcessId,
) -> Result<Option<Sandbox>, Error> {
    let Some(kernel) = &machine.sandbox else { return Ok(None) };
    let mut sandbox = Sandbox::default();
    if kernel.landlock_abi() > 0 {
        let read = if machine.mounts.is_err() { Mounts::read().ok() } else { None };
        let mounts = machine.mounts.as_ref().ok().or(read.as_ref());
        sandbox.is_scoped = kernel.landlock_abi() >= sandbox::FULL_ABI;
        sandbox.ruleset = Some(landlock::command_ruleset(&landlock::RulesetInputs {
            settings,
            support: kernel,
            mounts,
            gpu_devices: gpu_devices(machine),
            allow_proc: dropped.user != UserId(0),
        })?);
        sandbox.canary = find_canary(settings);
        if sandbox.canary.is_none() && !sandbox.is_scoped {
            return Err(Error::NoSelfTest);
        }
    }
    if kernel.filters.is_ok() {
        sandbox.filter = seccomp::build_filter(self_pid);
    }
    Ok((sandbox.ruleset.is_some() || !sandbox.filter.is_empty()).then_some(sandbox))
}

/// The sandbox of a child that only reads: it may write nothing but /dev/null and call nobody. Whatever TAKUMI_CONFINE
/// says, as far as the kernel has it; `self_pid`: the process that makes the child.
pub fn read_only_sandbox(self_pid: ProcessId) -> Result<Sandbox, Error> {
    let mut sandbox = Sandbox::default();
    let abi = crate::sys::landlock::abi_version().unwrap_or(0);
    if abi > 0 {
        sandbox.is_scoped = abi >= sandbox::FULL_ABI;
        sandbox.ruleset = Some(landlock::read_only_ruleset(abi)?);
        sandbox.canary = io::may_open_for_writing(CANARY_DEVICE).then(|| CANARY_DEVICE.into());
        if sandbox.canary.is_none() && !sandbox.is_scoped {
            return Err(Error::NoSelfTest);
        }
    }
    if crate::sys::seccomp::check_available().is_ok() {
        sandbox.filter = seccomp::build_filter(self_pid);
    }
    Ok(sandbox)
}

fn gpu_devices(machine: &Machine) -> Vec<String> {
    match &machine.devices {
        Some(devices) => devices.nodes.iter().map(|node| node.path.clone()).collect(),
        // TAKUMI_GPU=off looks at none, and takes none away.
        None => devices::gpu_paths(),
    }
}

fn find_canary(settings: &Settings) -> Option<CString> {
    let writable = |directory: &CString| matches!(directory.to_bytes(), b"/" | b"/dev" | b"/dev/");
    let is_allowed = settings.volumes.iter().chain(&settings.writable).any(writable);
    (!is_allowed && io::may_open_for_writing(CANARY_DEVICE)).then(|| CANARY_DEVICE.into())
}

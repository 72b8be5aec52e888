//! What the kernel has for COMMAND's sandbox: Landlock's ABI version and seccomp's filters, asked of the calls
//! themselves. /sys/kernel/security/lsm is not there in a container, and tells nothing of a filter that hides a call.

use super::proxy;
use crate::settings::{ConfineMode, Settings};
use crate::sys::{Errno, landlock, seccomp};
use std::ffi::CStr;

/// The ABI version from which signals and abstract sockets are scoped: the last that adds what the sandbox uses.
pub const FULL_ABI: u32 = 6;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SandboxSupport {
    pub landlock: Result<u32, Errno>,
    /// Whether the kernel takes filters of system calls.
    pub filters: Result<(), Errno>,
    /// TCP ports of the proxies that the environment names, each as often as it is named; `None`: it names none.
    pub proxies: Option<Vec<u16>>,
}

impl SandboxSupport {
    /// `None` where TAKUMI_CONFINE is off.
    pub fn observe(settings: &Settings, environment: &[&CStr]) -> Option<Self> {
        (settings.confine != ConfineMode::Off).then(|| SandboxSupport {
            landlock: landlock::abi_version(),
            filters: seccomp::check_available(),
            proxies: proxy::proxy_ports(environment),
        })
    }

    /// Landlock's ABI version, 0 where there is none.
    pub fn landlock_abi(&self) -> u32 {
        self.landlock.unwrap_or(0)
    }

    /// Whether every part of the sandbox can be had.
    pub fn is_full(&self) -> bool {
        self.landlock_abi() >= FULL_ABI && self.filters.is_ok()
    }

    /// Whether COMMAND can be restricted to some ports: by ABI 4.
    pub fn can_restrict_ports(&self) -> bool {
        self.proxies.is_some() && self.landlock_abi() >= 4
    }
}

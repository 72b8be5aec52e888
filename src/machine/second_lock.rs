//! What the kernel has for the second lock: Landlock's level and seccomp's filters, asked of the calls themselves.
//! /sys/kernel/security/lsm is not there in a container, and tells nothing of a filter that hides a call.

use super::proxy;
use crate::settings::{Confine, Settings};
use crate::sys::{Errno, landlock, seccomp};
use std::ffi::CStr;

/// The level from which signals and abstract sockets are held in: the last that adds what this lock uses.
pub const WHOLE: u32 = 6;

/// What is seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecondLock {
    /// Landlock's level (ABI).
    pub landlock: Result<u32, Errno>,
    /// Whether the kernel takes filters of system calls.
    pub filters: Result<(), Errno>,
    /// TCP ports of the proxies that the environment names, each as often as it is named; `None`: it names none.
    pub proxies: Option<Vec<u16>>,
}

impl SecondLock {
    /// Asks. `None` where TAKUMI_CONFINE is off.
    pub fn look(settings: &Settings, environment: &[&CStr]) -> Option<Self> {
        (settings.confine != Confine::Off).then(|| SecondLock {
            landlock: landlock::abi_version(),
            filters: seccomp::check_available(),
            proxies: proxy::ports(environment),
        })
    }

    /// Landlock's level, 0 where there is none.
    pub fn level(&self) -> u32 {
        self.landlock.unwrap_or(0)
    }

    /// Whether every part of the lock can be had.
    pub fn is_whole(&self) -> bool {
        self.level() >= WHOLE && self.filters.is_ok()
    }

    /// Whether COMMAND can be held to some ports: by level 4.
    pub fn holds_ports(&self) -> bool {
        self.proxies.is_some() && self.level() >= 4
    }
}

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
    /// TCP ports that COMMAND may connect to; `None`: no proxy is set, and all of them.
    pub ports: Option<Vec<u16>>,
}

impl SecondLock {
    /// Asks. `None` where TAKUMI_CONFINE is off.
    pub fn look(settings: &Settings, environment: &[&CStr]) -> Option<Self> {
        (settings.confine != Confine::Off).then(|| SecondLock {
            landlock: landlock::level(),
            filters: seccomp::available(),
            ports: proxy::ports(environment).map(|proxies| ports(settings, proxies)),
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

    /// The ports that can be held to: those of level 4.
    pub fn held_ports(&self) -> Option<&[u16]> {
        self.ports.as_deref().filter(|_| self.level() >= 4)
    }
}

/// The proxy's, the server's own and those of TAKUMI_CONNECT, each once.
fn ports(settings: &Settings, mut ports: Vec<u16>) -> Vec<u16> {
    ports.extend(settings.health_url.as_deref().and_then(port_of));
    ports.extend(&settings.connect);
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The port of a TAKUMI_HEALTH_URL, which `settings` has checked: that which COMMAND serves.
fn port_of(url: &[u8]) -> Option<u16> {
    let authority = url.strip_prefix(b"http://")?.split(|byte| b"/?#".contains(byte)).next()?;
    match authority.iter().rposition(|&byte| byte == b':').filter(|_| !authority.ends_with(b"]")) {
        Some(colon) => std::str::from_utf8(&authority[colon + 1..]).ok()?.parse().ok(),
        None => Some(80),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[&CStr]) -> Option<Vec<u16>> {
        let settings: Vec<&CStr> =
            variables.iter().copied().filter(|variable| variable.to_bytes().starts_with(b"TAKUMI")).collect();
        SecondLock::look(&Settings::read(&settings).unwrap(), variables)?.ports
    }

    #[test]
    fn with_a_proxy_the_ports_are_its_own_the_servers_and_those_that_are_named() {
        const AUTO: &CStr = c"TAKUMI_CONFINE=auto";
        let url = c"TAKUMI_HEALTH_URL=http://[::1]:8188/prompt";
        assert_eq!(of(&[AUTO, url, c"TAKUMI_CONNECT=11434"]), None, "no proxy: every port");
        assert_eq!(of(&[c"https_proxy=http://p:8888"]), None, "off");
        let proxied = [AUTO, url, c"https_proxy=http://p:8888", c"ALL_PROXY=http://p:9", c"TAKUMI_CONNECT=11434,9"];
        assert_eq!(of(&proxied), Some(vec![9, 8188, 8888, 11434]));
        assert_eq!(of(&[AUTO, c"http_proxy=socks5://p:1080"]), Some(vec![]), "what cannot be read opens nothing");
        assert_eq!(of(&[AUTO, c"http_proxy=http://p", c"TAKUMI_HEALTH_URL=http://h/x:7"]), Some(vec![80]));
    }
}

//! Observation only: what the kernel says of this process and its surroundings, sorted into kinds; what follows from it is
//! judged in `posture`. Some of it can only be asked by trying, which leaves nothing behind: a child becomes COMMAND's user and
//! opens device nodes, the proxy is sent a CONNECT, and the root gets a file without a name.

pub mod capabilities;
pub mod devices;
pub mod hosts;
pub mod limits;
pub mod mounts;
pub mod namespaces;
pub mod network;
pub mod places;
pub mod processes;
pub mod proxy;
pub mod second_lock;
pub mod security;
pub mod sockets;
pub mod status;
pub mod trust;
pub mod user_namespace;

use crate::settings::checks::{Check, Shield};
use crate::settings::{CheckMode, Settings};
use crate::sys::Errno;
use crate::sys::credentials::Credentials;
use devices::Devices;
use limits::Limits;
use mounts::Mounts;
use namespaces::Namespaces;
use network::Network;
use places::Places;
use second_lock::SecondLock;
use sockets::Sockets;
use status::Status;
use std::ffi::CStr;
use user_namespace::UserNamespace;

/// One look at the machine. What nobody asked for is not looked at, and is `None`.
#[derive(Debug)]
pub struct Machine {
    /// /proc/self/status.
    pub status: Result<Status, Errno>,
    /// Whom the ids of this user namespace stand for.
    pub user_namespace: Result<UserNamespace, Errno>,
    /// Every mount.
    pub mounts: Result<Mounts, Errno>,
    /// The name under which a security module confines this process.
    pub label: Result<Vec<u8>, Errno>,
    /// Which namespaces are the host's.
    pub namespaces: Namespaces,
    /// Limits of memory, processes and core files.
    pub limits: Limits,
    /// Directories that the settings name, the root, /proc and /dev.
    pub places: Places,
    /// Sockets of container engines.
    pub sockets: Option<Sockets>,
    /// Routes, the proxy, and what lies behind it.
    pub network: Option<Network>,
    /// Device nodes of a GPU, its driver and its libraries.
    pub devices: Option<Devices>,
    /// What the kernel has for the second lock; `None` where it is not to be put on.
    pub second_lock: Option<SecondLock>,
}

/// What is to be looked at.
pub struct Wish<'a> {
    /// The settings: what they skip is not looked at.
    pub settings: &'a Settings,
    /// The environment, as the container got it.
    pub environment: &'a [&'a CStr],
    /// Whom COMMAND becomes, where that is not who runs already: device nodes are opened as that user.
    pub user: Option<&'a Credentials>,
    /// What the caller has read already.
    pub namespace: Option<&'a Result<UserNamespace, Errno>>,
    /// These checks alone; `None`: all.
    pub only: Option<&'a [Check]>,
}

impl Wish<'_> {
    /// Whether one of these checks is to be made.
    pub fn wants(&self, checks: &[Check]) -> bool {
        let asked = |check: &Check| self.only.is_none_or(|only| only.contains(check));
        checks.iter().any(|check| asked(check) && !self.settings.skip.contains(check))
    }
}

/// Checks that the mounts, and the directories on them, answer.
const FILE: [Check; 5] =
    [Check::ReadonlyRoot, Check::Tmpfs, Check::BakedPaths, Check::DangerousMounts, Check::MaskedPaths];
/// Nobody asked.
const UNASKED: Errno = Errno(libc::ENODATA);

/// Looks at all that is asked for, and at nothing else. Takes at most a few hundred microseconds without a network and a GPU;
/// each of those has a deadline of its own.
pub fn observe(wish: &Wish) -> Machine {
    let settings = wish.settings;
    let wants = |checks: &[Check]| wish.wants(checks);
    let sockets = wants(&[Check::RuntimeSocket]);
    let places = wants(&FILE) || wants(&[Check::PrivilegedContainer]);
    let mounts = if places || sockets { Mounts::read() } else { Err(UNASKED) };
    let network = settings.egress != CheckMode::Off && wants(Shield::Network.checks());
    let devices = settings.gpu != CheckMode::Off && wants(Shield::Gpu.checks());
    // What a rootless engine cannot do is no mistake of who started the container.
    let namespace = devices || wants(&[Check::UserNamespace, Check::Apparmor, Check::Limits]);
    Machine {
        status: if wants(&[Check::Seccomp, Check::PrivilegedContainer]) { status::read() } else { Err(UNASKED) },
        user_namespace: match wish.namespace {
            Some(known) => known.clone(),
            None if namespace => UserNamespace::read(),
            None => Err(UNASKED),
        },
        label: if wants(&[Check::Apparmor]) { security::label() } else { Err(UNASKED) },
        namespaces: if wants(&[Check::HostNamespaces]) { Namespaces::look() } else { Namespaces::unseen(UNASKED) },
        limits: if wants(&[Check::Limits]) { limits::look() } else { Limits::UNSEEN },
        places: if places { Places::look(settings, mounts.as_ref().ok()) } else { Places::unseen(UNASKED) },
        sockets: mounts.as_ref().ok().filter(|_| sockets).map(sockets::look),
        network: network.then(|| Network::look(wish)),
        devices: devices.then(|| Devices::look(wish)),
        second_lock: SecondLock::look(settings, wish.environment),
        mounts,
    }
}

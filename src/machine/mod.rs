//! Observation only: what the kernel says of this process and its surroundings, sorted into kinds; what follows from it
//! is judged in `posture`. Some of it can only be asked by trying, which leaves nothing behind: a child becomes
//! COMMAND's user and opens device nodes, the proxy is sent a CONNECT, and the root gets a file without a name.

pub mod capabilities;
pub mod devices;
pub mod directories;
pub mod hosts;
pub mod limits;
pub mod mounts;
pub mod namespaces;
pub mod network;
pub mod processes;
pub mod proxy;
pub mod sandbox;
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
use directories::Directories;
use limits::ContainerLimits;
use mounts::Mounts;
use namespaces::Namespaces;
use network::Network;
use sandbox::SandboxSupport;
use sockets::Sockets;
use status::ProcStatus;
use std::ffi::CStr;
use user_namespace::UserNamespace;

/// One observation of the machine. What nobody asked for is not observed, and is `None`.
#[derive(Debug)]
pub struct Machine {
    pub status: Result<ProcStatus, Errno>,
    /// Whom the ids of this user namespace stand for.
    pub user_namespace: Result<UserNamespace, Errno>,
    pub mounts: Result<Mounts, Errno>,
    /// The name under which a security module confines this process.
    pub label: Result<Vec<u8>, Errno>,
    /// Which namespaces are the host's.
    pub namespaces: Namespaces,
    /// Limits of memory, processes and core files.
    pub limits: ContainerLimits,
    /// Directories that the settings name, the root, /proc and /dev.
    pub directories: Directories,
    /// Sockets of container engines.
    pub sockets: Option<Sockets>,
    /// Routes, the proxy, and what lies behind it.
    pub network: Option<Network>,
    /// Device nodes of a GPU, its driver and its libraries.
    pub devices: Option<Devices>,
    /// `None` where TAKUMI_CONFINE is off.
    pub sandbox: Option<SandboxSupport>,
}

pub struct ObserveOptions<'a> {
    /// What they skip is not observed.
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

impl ObserveOptions<'_> {
    /// Whether one of these checks is to be made.
    pub fn includes(&self, checks: &[Check]) -> bool {
        let asked = |check: &Check| self.only.is_none_or(|only| only.contains(check));
        checks.iter().any(|check| asked(check) && !self.settings.skip.contains(check))
    }
}

/// Checks that the mounts, and the directories on them, answer.
const FILE_CHECKS: [Check; 5] =
    [Check::ReadonlyRoot, Check::Tmpfs, Check::BakedPaths, Check::DangerousMounts, Check::MaskedPaths];
const NOT_ASKED_FOR: Errno = Errno(libc::ENODATA);

/// Observes all that is asked for, and nothing else. Takes at most a few hundred microseconds without a network and a
/// GPU; each of those has a deadline of its own.
pub fn observe(options: &ObserveOptions) -> Machine {
    let settings = options.settings;
    let includes = |checks: &[Check]| options.includes(checks);
    let sockets = includes(&[Check::RuntimeSocket]);
    let needs_mounts = includes(&FILE_CHECKS) || includes(&[Check::PrivilegedContainer]);
    let mounts = if needs_mounts || sockets { Mounts::read() } else { Err(NOT_ASKED_FOR) };
    let network = settings.egress != CheckMode::Off && includes(Shield::Network.checks());
    let devices = settings.gpu != CheckMode::Off && includes(Shield::Gpu.checks());
    // What a rootless engine cannot do is no mistake of who started the container.
    let namespace = devices || includes(&[Check::UserNamespace, Check::Apparmor, Check::Limits]);
    Machine {
        status: if includes(&[Check::Seccomp, Check::PrivilegedContainer]) {
            status::read()
        } else {
            Err(NOT_ASKED_FOR)
        },
        user_namespace: match options.namespace {
            Some(known) => known.clone(),
            None if namespace => UserNamespace::read(),
            None => Err(NOT_ASKED_FOR),
        },
        label: if includes(&[Check::Apparmor]) { security::read_label() } else { Err(NOT_ASKED_FOR) },
        namespaces: if includes(&[Check::HostNamespaces]) {
            Namespaces::observe()
        } else {
            Namespaces::unknown(NOT_ASKED_FOR)
        },
        limits: if includes(&[Check::Limits]) { limits::observe() } else { ContainerLimits::UNKNOWN },
        directories: if needs_mounts {
            Directories::observe(settings, mounts.as_ref().ok())
        } else {
            Directories::unknown(NOT_ASKED_FOR)
        },
        sockets: mounts.as_ref().ok().filter(|_| sockets).map(sockets::find_control_sockets),
        network: network.then(|| Network::observe(options)),
        devices: devices.then(|| Devices::observe(options)),
        sandbox: SandboxSupport::observe(settings, options.environment),
        mounts,
    }
}

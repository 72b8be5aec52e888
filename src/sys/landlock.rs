//! Landlock's three calls (`man 7 landlock`). A ruleset is made and filled by the parent; the child, which may not
//! allocate, only enters it.

use super::descriptor;
use super::errno::{Errno, cerr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Rights to files. What is handled and not allowed by a rule is refused.
pub mod rights {
    pub const WRITE_FILE: u64 = 1 << 1;
    pub const REMOVE_DIR: u64 = 1 << 4;
    pub const REMOVE_FILE: u64 = 1 << 5;
    pub const MAKE_CHAR: u64 = 1 << 6;
    pub const MAKE_DIR: u64 = 1 << 7;
    pub const MAKE_REG: u64 = 1 << 8;
    pub const MAKE_SOCK: u64 = 1 << 9;
    pub const MAKE_FIFO: u64 = 1 << 10;
    pub const MAKE_BLOCK: u64 = 1 << 11;
    pub const MAKE_SYM: u64 = 1 << 12;
    /// Renames and links from one directory to another: ABI 2.
    pub const REFER: u64 = 1 << 13;
    /// ABI 3.
    pub const TRUNCATE: u64 = 1 << 14;
    /// ABI 5.
    pub const IOCTL_DEV: u64 = 1 << 15;
    /// What a rule for a file that is no directory may hold of these.
    pub const FILE_RIGHTS: u64 = WRITE_FILE | TRUNCATE | IOCTL_DEV;
}

const CONNECT_TCP: u64 = 1 << 1;
/// Abstract sockets, signals.
const SCOPES: u64 = 1 | 1 << 1;
const VERSION: libc::c_long = 1;
const PATH_BENEATH: libc::c_long = 1;
const NET_PORT: libc::c_long = 2;

/// `struct landlock_ruleset_attr`. Versions before 4 know its first word, before 6 its first two.
#[repr(C)]
struct RulesetAttributes {
    files: u64,
    network: u64,
    scopes: u64,
}

#[repr(C, packed)]
struct PathBeneathRule {
    rights: u64,
    directory: i32,
}

#[repr(C)]
struct NetPortRule {
    rights: u64,
    port: u64,
}

/// Rules that a process can enter, and never leave.
#[derive(Debug)]
pub struct Ruleset(OwnedFd);

/// The kernel's ABI version. Errors: ENOSYS where it is not built in or a filter hides it, EOPNOTSUPP where it is
/// turned off.
pub fn abi_version() -> Result<u32, Errno> {
    // SAFETY: asked for the version, the call reads nothing.
    let version = cerr(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0_usize, 0_usize, VERSION) })?;
    // There is no version 0; who says so is not the kernel.
    u32::try_from(version).ok().filter(|&version| version > 0).ok_or(Errno(libc::ENOSYS))
}

impl Ruleset {
    /// One that handles these rights to files, TCP connections if asked, and signals and abstract sockets if asked.
    pub fn new(files: u64, connect: bool, scopes: bool) -> Result<Self, Errno> {
        let network = if connect { CONNECT_TCP } else { 0 };
        let attributes = RulesetAttributes { files, network, scopes: if scopes { SCOPES } else { 0 } };
        let length = if scopes { 3 } else { 1 + usize::from(connect) };
        let call = libc::SYS_landlock_create_ruleset;
        // SAFETY: the kernel reads as many bytes of a valid structure as it is told.
        let answer = cerr(unsafe { libc::syscall(call, &raw const attributes, length * size_of::<u64>(), 0) })?;
        // SAFETY: the kernel has just given this descriptor, closed on exec, to us alone.
        descriptor::reject_stdio(unsafe { OwnedFd::from_raw_fd(answer as i32) }).map(Ruleset)
    }

    /// Allows these rights at `place` and, where it is a directory, below it.
    pub fn allow(&self, place: BorrowedFd<'_>, rights: u64) -> Result<(), Errno> {
        self.add(PATH_BENEATH, &PathBeneathRule { rights, directory: place.as_raw_fd() })
    }

    /// Allows TCP connections to this port, of any address.
    pub fn allow_port(&self, port: u16) -> Result<(), Errno> {
        self.add(NET_PORT, &NetPortRule { rights: CONNECT_TCP, port: port.into() })
    }

    fn add<Rule>(&self, kind: libc::c_long, rule: &Rule) -> Result<(), Errno> {
        let call = libc::SYS_landlock_add_rule;
        // SAFETY: a descriptor of ours and a structure of that kind, which the kernel reads.
        cerr(unsafe { libc::syscall(call, self.0.as_raw_fd(), kind, std::ptr::from_ref(rule), 0) }).map(drop)
    }

    /// Enters it for ever. One system call, for the child between clone and exec; needs no_new_privs.
    pub fn restrict_self(&self) -> Result<(), Errno> {
        // SAFETY: takes numbers only.
        cerr(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.0.as_raw_fd(), 0) }).map(drop)
    }
}

//! The way down: PID 1 itself becomes the user, and then asks the kernel whether it did.
//!
//! The order is that of facts: what needs a capability first, the uid last of what needs one, capset as a second,
//! independent way to the same end. What a call answered counts for nothing; what is read back afterwards decides
//! ([`verify`]).

pub mod drop;
pub mod verify;

use crate::machine::capabilities;
use crate::problem::Problem;
use crate::sys::credentials::{Capabilities, CapabilityBits, Credentials, ResIds};
use crate::sys::{Errno, GroupId, UserId};

/// Becomes `target`, whom a start as root is for.
pub fn become_user(target: &Credentials, preflight: drop::Preflight) -> Result<Dropped, Error> {
    verify::verify(&drop::become_user(target, preflight)?)
}

/// Gives up whatever an ordinary user was started with, and stays that user.
pub fn stay_user(users: ResIds<UserId>, groups: ResIds<GroupId>, held: Capabilities) -> Result<Dropped, Error> {
    verify::verify(&drop::stay_user(users, groups, held)?)
}

/// The proof that this process holds no privilege and cannot get one back. Only [`verify`] makes it.
#[derive(Debug)]
pub struct Dropped {
    /// Who it is now, and what it starts.
    pub user: UserId,
    /// What the engine left in the bounding set of a start as an ordinary user: no_new_privs makes it worthless.
    pub bounding: CapabilityBits,
    /// Whether the secure bits are locked: they cannot be without SETPCAP.
    pub secure_bits_locked: bool,
    /// Whether /proc confirmed it; without, prctl, capget and getres*id did.
    pub seen_in_proc: bool,
}

/// Why this process may not go on.
#[derive(PartialEq, Eq, Debug)]
pub enum Error {
    Missing { what: &'static str, missing: CapabilityBits },
    Syscall(&'static str, Errno),
    Unreadable(&'static str, Errno),
    NotDropped(&'static str, String),
    GroupsDenied,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Missing { what, missing } => Problem::new(
                format!("cannot {what}: the container lacks {}", capabilities::CapabilityNames(missing)),
                format!("add {}", capabilities::CapAddFlags(missing)),
            ),
            Error::Syscall(what, errno) => Problem::new(
                format!("cannot {what}: {errno}"),
                "a seccomp filter or a security module refuses it; start without that rule",
            ),
            Error::Unreadable(what, errno) => Problem::new(
                format!("cannot read back {what}: {errno}"),
                "a seccomp filter or a sandbox refuses it; start without that rule",
            ),
            Error::NotDropped(what, is) => Problem::new(
                format!("privilege drop verification failed: {what} {is}"),
                "something answers in the kernel's place: a seccomp filter, a sandbox, an emulator",
            ),
            Error::GroupsDenied => Problem::new(
                "cannot clear supplementary groups: this user namespace denies setgroups, so the host user's groups would stay",
                "start the engine with subordinate ids, newuidmap and newgidmap",
            ),
        }
    }
}

//! The way down: PID 1 itself becomes the user, and then asks the kernel whether it did.
//!
//! The order is that of facts: what needs a capability first, the uid last of what needs one, capset as a second, independent way
//! to the same end. What a call answered counts for nothing; what is read back afterwards decides ([`verify`]).

pub mod drop;
pub mod verify;

use crate::machine::capabilities;
use crate::sys::credentials::{Capabilities, CapabilityBits, Credentials, Three};
use crate::sys::{Errno, GroupId, UserId};

/// Becomes `target`, whom a start as root is for.
pub fn become_user(target: &Credentials, means: drop::Means) -> Result<Dropped, Error> {
    verify::verify(&drop::become_user(target, means)?)
}

/// Gives up whatever an ordinary user was started with, and stays that user.
pub fn stay_user(users: Three<UserId>, groups: Three<GroupId>, held: Capabilities) -> Result<Dropped, Error> {
    verify::verify(&drop::stay_user(users, groups, held)?)
}

/// The proof that this process holds no privilege and cannot get one back. Only [`verify`] makes it.
#[derive(Debug)]
pub struct Dropped {
    /// What the engine left in the bounding set of a start as an ordinary user: no_new_privs makes it worthless.
    pub bounding: CapabilityBits,
    /// Whether the secure bits are locked: they cannot be without SETPCAP.
    pub secure_bits_locked: bool,
    /// Whether /proc confirmed it; without, prctl, capget and getres*id did.
    pub seen_in_proc: bool,
}

/// Why this process may not go on.
#[derive(PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs)] // each variant's line says what it is
pub enum Error {
    #[error("cannot {what}: the container lacks {} (add {})", capabilities::Names(*.missing), capabilities::Flags(*.missing))]
    Missing { what: &'static str, missing: CapabilityBits },
    #[error("cannot {0}: {1} (a seccomp filter or a security module refuses it; start without that rule)")]
    Step(&'static str, Errno),
    #[error("cannot read back {0}: {1} (a seccomp filter or a sandbox refuses it; start without that rule)")]
    Unseen(&'static str, Errno),
    #[error(
        "the drop did not hold: {0} {1} (something answers in the kernel's place: a seccomp filter, a sandbox, an emulator)"
    )]
    Kept(&'static str, String),
    #[error(
        "supplementary groups cannot be cleared: this user namespace denies setgroups, and the host user's groups would stay (start the engine with subordinate ids, newuidmap and newgidmap)"
    )]
    GroupsDenied,
}

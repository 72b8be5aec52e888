//! What a setting can say.

use crate::sys::Signal;
use std::time::Duration;

/// A user or a group as somebody wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccountRef {
    /// To be looked up in /etc/passwd or /etc/group.
    Name(Vec<u8>),
    Id(u32),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserSpec {
    /// Whom COMMAND runs as.
    pub user: AccountRef,
    /// Its group, where it is named.
    pub group: Option<AccountRef>,
}

/// One entry of TAKUMI_SIGNALS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignalRewrite {
    pub from: Signal,
    /// What is forwarded; nothing drops it.
    pub to: Option<Signal>,
}

/// One rung of TAKUMI_STOP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StopStep {
    /// What is sent; nothing for `drain`.
    pub signal: Option<Signal>,
    /// How long the next rung waits; for `drain` at most.
    pub time: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SignalScope {
    #[default]
    Child,
    Group,
    /// Every process below `init`.
    All,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeepDescriptors {
    Listed(Vec<u32>),
    /// All that were inherited.
    All,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OwnershipMode {
    /// Chown, but share for a rootless bind mount of the host user's own files.
    #[default]
    Auto,
    /// Give what belongs to others to the user.
    Chown,
    /// Leave the owner, grant by POSIX ACL.
    Share,
    Verify,
    Off,
}

/// What a check of a shield is to be: `auto`, `require` or `off`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CheckMode {
    /// Checked where it applies.
    #[default]
    Auto,
    Require,
    Off,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ConfineMode {
    #[default]
    Off,
    /// What the kernel gives.
    Auto,
    /// Everything or no start.
    Strict,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ScanMode {
    Off,
    #[default]
    Warn,
    Block,
    /// Move the node aside and start.
    Quarantine,
}

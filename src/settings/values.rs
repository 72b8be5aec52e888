//! What a setting can say.

use crate::sys::Signal;
use std::time::Duration;

/// A user or a group as somebody wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccountRef {
    /// To be looked up in /etc/passwd or /etc/group.
    Name(Vec<u8>),
    /// As it is.
    Id(u32),
}

/// TAKUMI_USER.
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
    /// What came.
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

/// TAKUMI_SIGNAL_SCOPE.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SignalScope {
    /// COMMAND alone.
    #[default]
    Child,
    /// COMMAND's process group.
    Group,
    /// Every process below `init`.
    All,
}

/// TAKUMI_KEEP_FDS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeepDescriptors {
    /// These.
    Listed(Vec<u32>),
    /// All that were inherited.
    All,
}

/// TAKUMI_OWNERSHIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OwnershipMode {
    /// Chown, but share for a rootless bind mount of the host user's own files.
    #[default]
    Auto,
    /// Give what belongs to others to the user.
    Chown,
    /// Leave the owner, grant by POSIX ACL.
    Share,
    /// Change nothing, tell.
    Verify,
    /// Do not look.
    Off,
}

/// What a check of a shield is to be: `auto`, `require` or `off`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CheckMode {
    /// Checked where it applies.
    #[default]
    Auto,
    /// Required.
    Require,
    /// Not checked.
    Off,
}

/// TAKUMI_CONFINE.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ConfineMode {
    /// No second lock.
    #[default]
    Off,
    /// What the kernel gives.
    Auto,
    /// Everything or no start.
    Strict,
}

/// TAKUMI_SCAN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ScanMode {
    /// No scan.
    Off,
    /// Tell and start.
    #[default]
    Warn,
    /// Refuse the start.
    Block,
    /// Move the node aside and start.
    Quarantine,
}

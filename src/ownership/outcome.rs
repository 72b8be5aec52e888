//! What became of a volume: every end of a walk has a name.

use std::fmt;
use std::path::PathBuf;

use super::Volume;
use super::path::ShownPath;
use crate::problem::Problem;
use crate::sys::Errno;

/// How a volume stands after the walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every owner was right; nothing was touched.
    Right,
    /// So many owners were changed, and every one is right now.
    Fixed(u64),
    /// So many access control lists were changed, and app and host user may use every entry now.
    Shared(u64),
    /// The filesystem or the container cannot do it at all; the walk ended where that was seen.
    Unsupported(Unsupported),
    /// So many entries could not be put right.
    Partial {
        left: u64,
        /// How many were changed.
        changed: u64,
        /// By reason, with the first few paths of each.
        why: Vec<SkippedEntries>,
    },
}

/// Entries that were left for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedEntries {
    pub reason: Reason,
    pub count: u64,
    /// The first few of them.
    pub first: Vec<PathBuf>,
}

/// Why one entry was left as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A file with several names: one of them may lie outside the volume.
    HardLink,
    /// A character or block device is never handed over.
    Device,
    /// `chattr +i` or `+a`.
    Immutable,
    /// A setuid file of somebody else's, or an ACL on one, without CAP_FOWNER.
    NeedsFowner,
    /// Somebody else's directory closed to root, without CAP_DAC_READ_SEARCH.
    NeedsReadSearch,
    /// The user's own directory closed to root, without CAP_DAC_READ_SEARCH: what lies in it was not looked at.
    NotDescended,
    /// The owner has no id in this user namespace.
    Unmapped,
    /// Nothing may be changed (`verify`).
    WrongOwner,
    /// The kernel refused the change for this entry alone.
    Refused(Errno),
    /// The entry, or the rest of the directory, could not be read.
    Unreadable(Errno),
    /// Nested deeper than the walk goes.
    TooDeep,
    /// Moved or exchanged again and again while the walk was there.
    Moved,
}

impl Reason {
    fn description(self) -> (&'static str, Option<Errno>, &'static str) {
        match self {
            Reason::HardLink => (
                "more than one hard link",
                None,
                "another name may be outside the volume: replace each by a copy (cp -p FILE FILE.new && mv FILE.new FILE), or chown it from the host",
            ),
            Reason::Device => ("device", None, "init never changes the owner of a device: remove them from the volume"),
            Reason::Immutable => ("immutable or append-only", None, "run chattr -i -a on them from the host"),
            Reason::NeedsFowner => ("CAP_FOWNER needed", None, "add --cap-add FOWNER"),
            Reason::NeedsReadSearch => {
                ("not readable by root", None, "the container lacks CAP_DAC_READ_SEARCH; add --cap-add DAC_READ_SEARCH")
            }
            Reason::NotDescended => (
                "owned by the user, not readable by root",
                None,
                "to check their content too, add --cap-add DAC_READ_SEARCH",
            ),
            Reason::Unmapped => {
                ("owned by a host user that this container does not map", None, "change their owner from the host")
            }
            Reason::WrongOwner => {
                ("wrong owner", None, "TAKUMI_OWNERSHIP=verify changes nothing; set it to auto or chown")
            }
            Reason::Refused(errno) => ("refused by the kernel", Some(errno), "change them from the host"),
            Reason::Unreadable(errno) => {
                ("not readable", Some(errno), "check the filesystem and the kernel's log (dmesg)")
            }
            Reason::TooDeep => ("nested too deep", None, "flatten the tree"),
            Reason::Moved => ("moved during the repair", None, "start again while nothing else uses the volume"),
        }
    }
}

impl From<&SkippedEntries> for Problem {
    /// `3 entries not changed (more than one hard link): /data/a, /data/b …`
    fn from(left: &SkippedEntries) -> Self {
        let (what, errno, hint) = left.reason.description();
        let errno = errno.map(|errno| format!(": {errno}")).unwrap_or_default();
        let paths = PathList(&left.first, left.count);
        Problem::new(format!("{} {} not changed ({what}){paths}{errno}", left.count, entries(left.count)), hint)
    }
}

fn entries(count: u64) -> &'static str {
    if count == 1 { "entry" } else { "entries" }
}

fn write_paths(f: &mut fmt::Formatter<'_>, first: &[PathBuf], count: u64) -> fmt::Result {
    for (index, path) in first.iter().enumerate() {
        write!(f, "{}{}", if index == 0 { ": " } else { ", " }, ShownPath::of(path))?;
    }
    if count > first.len() as u64 { f.write_str(" …") } else { Ok(()) }
}

/// Why a volume's owners cannot be changed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    MissingChown,
    /// The volume is mounted read-only.
    ReadOnly,
    /// A chown says yes and changes nothing (9p, drvfs).
    Lies,
    /// Every chown is refused (NFS root_squash, CIFS).
    Refuses(Errno),
    /// No POSIX access control lists.
    NoAcl(Errno),
    /// An access control list was accepted and is not there.
    AclLies,
    /// The kernel does not tell one mount from another.
    NoMountIds,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsupported::MissingChown => f.write_str("the container lacks CAP_CHOWN; add --cap-add CHOWN"),
            Unsupported::ReadOnly => f.write_str("it is mounted read-only; mount it without ro"),
            Unsupported::Lies => f.write_str(
                "its filesystem ignores chown, as 9p and drvfs do; use a named volume or set the owner by mount options",
            ),
            Unsupported::Refuses(errno) => write!(
                f,
                "its filesystem refuses chown ({errno}), as NFS with root_squash and CIFS do; set the owner on the server or by mount options"
            ),
            Unsupported::NoAcl(errno) => write!(
                f,
                "its filesystem has no POSIX ACLs ({errno}); use a named volume, or set TAKUMI_OWNERSHIP=chown (the host user then no longer owns the files)"
            ),
            Unsupported::AclLies => f.write_str("its filesystem ignores ACLs; use a named volume"),
            Unsupported::NoMountIds => {
                f.write_str("the kernel has no mount ids (before 5.8) and /proc is not mounted; mount /proc")
            }
        }
    }
}

impl Outcome {
    /// Whether nothing but wrong owners was seen, which a start may change.
    pub fn is_repairable(&self) -> bool {
        match self {
            Outcome::Right | Outcome::Fixed(_) | Outcome::Shared(_) => true,
            Outcome::Partial { why, .. } => why.iter().all(|left| left.reason == Reason::WrongOwner),
            Outcome::Unsupported(_) => false,
        }
    }

    /// What is left only for want of a capability, and which.
    pub fn missing_capability(&self) -> Option<Problem> {
        match self {
            Outcome::Unsupported(why @ Unsupported::MissingChown) => {
                Some(Problem::new("owners are wrong", why.to_string()))
            }
            Outcome::Partial { why, .. } => {
                let mut why = why.iter();
                let missing = why.find(|left| matches!(left.reason, Reason::NeedsFowner | Reason::NeedsReadSearch));
                missing.map(Problem::from)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Right => f.write_str("ownership correct"),
            Outcome::Fixed(count) => write!(f, "{count} {} changed", entries(*count)),
            Outcome::Shared(count) => write!(f, "{count} {} shared by ACL", entries(*count)),
            Outcome::Unsupported(why) => write!(f, "ownership cannot be changed: {why}"),
            Outcome::Partial { left, why, .. } => {
                let first: Vec<PathBuf> =
                    why.iter().flat_map(|left| left.first.iter().cloned()).take(MAX_PATHS).collect();
                write!(f, "{left} {} not changed", entries(*left))?;
                write_paths(f, &first, *left)
            }
        }
    }
}

/// What is told of an entry that is not wrong in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrivilegeNote {
    Setuid,
    SetuidCleared,
    Capability,
    CapabilityCleared,
}

impl PrivilegeNote {
    fn description(self) -> &'static str {
        match self {
            PrivilegeNote::Setuid => "are setuid or setgid",
            PrivilegeNote::SetuidCleared => "lost their setuid or setgid bit when the owner changed",
            PrivilegeNote::Capability => "have file capabilities",
            PrivilegeNote::CapabilityCleared => "lost their file capabilities when the owner changed",
        }
    }
}

const MAX_PATHS: usize = 5;

/// The counts of one walk. Its size does not depend on the tree: a few paths are kept for each reason.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) seen: u64,
    pub(super) changed: u64,
    left: Vec<SkippedEntries>,
    notes: Vec<(PrivilegeNote, u64, Vec<PathBuf>)>,
}

impl Tally {
    pub(super) fn add_skipped(&mut self, reason: Reason, path: impl FnOnce() -> PathBuf) {
        let index = self.left.iter().position(|left| left.reason == reason).unwrap_or_else(|| {
            self.left.push(SkippedEntries { reason, count: 0, first: Vec::new() });
            self.left.len() - 1
        });
        if let Some(left) = self.left.get_mut(index) {
            count_path(&mut left.count, &mut left.first, path);
        }
    }

    pub(super) fn add_note(&mut self, note: PrivilegeNote, path: impl FnOnce() -> PathBuf) {
        let index = self.notes.iter().position(|(known, ..)| *known == note).unwrap_or_else(|| {
            self.notes.push((note, 0, Vec::new()));
            self.notes.len() - 1
        });
        if let Some((_, known, first)) = self.notes.get_mut(index) {
            count_path(known, first, path);
        }
    }

    pub(super) fn outcome(&self, shares: bool) -> Outcome {
        let left = self.left.iter().map(|left| left.count).sum();
        match (left, self.changed) {
            (0, 0) => Outcome::Right,
            (0, changed) if shares => Outcome::Shared(changed),
            (0, changed) => Outcome::Fixed(changed),
            (left, changed) => Outcome::Partial { left, changed, why: self.left.clone() },
        }
    }

    pub(super) fn log_summary(&self, told: &Volume) {
        let volume = ShownPath::of(told.path());
        for (note, count, first) in &self.notes {
            log::info!("volume {volume}: {count} files {}{}", note.description(), PathList(first, *count));
        }
        match told.outcome() {
            None => {}
            Some(Outcome::Right) => log::debug!("volume {volume}: ownership correct, {} entries checked", self.seen),
            Some(Outcome::Fixed(count)) => {
                log::info!("volume {volume}: owner of {count} of {} entries changed", self.seen)
            }
            Some(Outcome::Shared(count)) => {
                log::info!("volume {volume}: {count} of {} entries shared by ACL", self.seen)
            }
            Some(Outcome::Unsupported(why)) => log::warn!("volume {volume}: owners cannot be changed: {why}"),
            Some(Outcome::Partial { why, .. }) => {
                why.iter().for_each(|left| log::warn!("volume {volume}: {}", Problem::from(left)))
            }
        }
        if let Some(remedy) = told.remedy() {
            log::warn!("volume {volume}: {remedy}");
        }
    }
}

fn count_path(counter: &mut u64, first: &mut Vec<PathBuf>, path: impl FnOnce() -> PathBuf) {
    *counter += 1;
    if first.len() < MAX_PATHS {
        first.push(path());
    }
}

struct PathList<'a>(&'a [PathBuf], u64);

impl fmt::Display for PathList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_paths(f, self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_has_its_name() {
        let mut tally = Tally::default();
        assert_eq!(tally.outcome(false).to_string(), "ownership correct");
        tally.changed = 3;
        assert_eq!(tally.outcome(false).to_string(), "3 entries changed");
        assert_eq!(tally.outcome(true).to_string(), "3 entries shared by ACL");
        for name in ["a", "b\n", "c", "d", "e", "f", "g"] {
            tally.add_skipped(Reason::HardLink, || PathBuf::from("/data").join(name));
        }
        tally.add_skipped(Reason::Device, || "/data/null".into());
        let text = tally.outcome(false).to_string();
        assert_eq!(text, "8 entries not changed: /data/a, /data/b\\n, /data/c, /data/d, /data/e …");
        let text = Outcome::Unsupported(Unsupported::MissingChown).to_string();
        assert_eq!(text, "ownership cannot be changed: the container lacks CAP_CHOWN; add --cap-add CHOWN");
    }

    #[test]
    fn what_was_left_is_one_line_with_the_errno_and_what_to_do() {
        let left =
            SkippedEntries { reason: Reason::Unreadable(Errno(libc::EIO)), count: 2, first: vec!["/data/a".into()] };
        assert_eq!(
            Problem::from(&left).to_string(),
            "2 entries not changed (not readable): /data/a …: Input/output error (check the filesystem and the kernel's log (dmesg))"
        );
    }
}

//! The way through a volume: by descriptor, no link followed, no mount crossed, every entry judged on what is held.
//!
//! A name may be something else at the next call: the app may run already, in another container on the same volume. So
//! a name only says what to look at; before anything is changed the entry is pinned (`O_PATH`, `O_NOFOLLOW`), judged
//! again by the pinned descriptor and changed through it. Only in a directory that nobody but root can write a name
//! stays what it is.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::outcome::{PrivilegeNote, Reason, Tally, Unsupported};
use super::progress::Progress;
use super::stack::{DirectoryStack, Frame, Step};
use crate::sys::entries::DirectoryEntry;
use crate::sys::fs::{self, DescriptorPath, Freshness, Stat};
use crate::sys::{Errno, io};

/// What a walk does with the entries that it finds.
pub(super) trait Repair {
    /// Nothing to do, as far as `stat` alone tells: this is asked for every entry.
    fn is_right(&self, stat: &Stat) -> bool;
    /// Puts one entry right; `stat` was just read from `file`, which is no device and has no other name.
    fn repair(&mut self, file: BorrowedFd<'_>, stat: &Stat) -> Result<RepairResult, Unsupported>;
    /// Puts an entry right by its name, where nobody but root can exchange it; `false`: it has to be pinned.
    fn repair_by_name(&mut self, _directory: BorrowedFd<'_>, _name: &CStr) -> bool {
        false
    }
    /// Why a directory could not be opened.
    fn unopened_reason(&self, stat: &Stat, errno: Errno) -> Reason;
    /// A repair takes setuid bits and file capabilities away.
    fn clears_privileges(&self) -> bool;
}

/// What a repair did.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum RepairResult {
    Right,
    Changed,
    Left(Reason),
}

/// Why a walk ended early.
pub(super) enum WalkError {
    Interrupted,
    Unsupported(Unsupported),
}

/// Why the way through ended before its end.
enum WalkEnd {
    /// The rest of the tree cannot be reached.
    Off(Reason),
    Stopped(WalkError),
}

impl<Cause: Into<WalkError>> From<Cause> for WalkEnd {
    fn from(cause: Cause) -> Self {
        WalkEnd::Stopped(cause.into())
    }
}

impl From<Unsupported> for WalkError {
    fn from(why: Unsupported) -> Self {
        WalkError::Unsupported(why)
    }
}

/// A frame is 32 bytes: this depth fits the memory that a start may use, whatever the tree.
const MAX_DEPTH: usize = 50_000;
/// How often an entry may change between a directory and something else under our hands.
const MAX_TRIES: usize = 8;

/// Goes through the directory `root`, which is only pinned so far. What cannot be dealt with is left and counted.
pub(super) fn walk(
    root: BorrowedFd<'_>,
    repair: &mut dyn Repair,
    tally: &mut Tally,
    progress: &mut Progress<'_>,
) -> Result<(), WalkError> {
    let mut walk = Walk { repair, tally, mount: 0, asks_for_capabilities: true, expects_wrong: false };
    match walk.run(root, progress) {
        Ok(()) => Ok(()),
        Err(WalkEnd::Stopped(stop)) => Err(stop),
        Err(WalkEnd::Off(reason)) => {
            walk.skip(reason, root, c"");
            Ok(())
        }
    }
}

struct Walk<'a> {
    repair: &'a mut dyn Repair,
    tally: &'a mut Tally,
    mount: u64,
    asks_for_capabilities: bool,
    /// The last entry was wrong, and so may this one be: looking at it before it is pinned would be one call for
    /// nothing.
    expects_wrong: bool,
}

type Descent = Option<(OwnedFd, Stat)>;

impl Walk<'_> {
    fn run(&mut self, root: BorrowedFd<'_>, progress: &mut Progress<'_>) -> Result<(), WalkEnd> {
        let mut window = DirectoryStack::new();
        let unreadable = |errno| WalkEnd::Off(Reason::Unreadable(errno));
        let stat = fs::stat(root, Freshness::Cached).map_err(unreadable)?;
        self.mount = mount_of(root, &stat).ok_or(Unsupported::NoMountIds)?;
        self.tally.seen += 1;
        let opened = fs::open_directory_at(root, c".")
            .map_err(|errno| WalkEnd::Off(self.repair.unopened_reason(&stat, errno)))?;
        window.push(opened, &stat, !self.repair.is_right(&stat));
        loop {
            let depth = window.depth();
            let Some(Step { directory, frame, entry }) = window.next() else { return Ok(()) };
            match entry {
                Ok(Some(entry)) if entry.is_dot_or_dot_dot() => continue,
                Ok(Some(entry)) => {
                    if progress.tick(self.tally).is_break() {
                        return Err(WalkError::Interrupted.into());
                    }
                    if let Some((child, stat)) = self.visit_entry(directory, frame, &entry, depth)? {
                        window.push(child, &stat, !self.repair.is_right(&stat));
                    }
                    continue;
                }
                // ENOENT: removed while it was listed, so it has no more entries.
                Ok(None) | Err(Errno(libc::ENOENT)) => {}
                Err(errno) => self.skip(Reason::Unreadable(errno), directory, c""),
            }
            if frame.wrong {
                self.repair_directory(directory)?;
            }
            if !window.pop().map_err(unreadable)? {
                return Err(WalkEnd::Off(Reason::Moved));
            }
        }
    }

    /// Deals with one name; a directory to go down into is the answer.
    fn visit_entry(
        &mut self,
        directory: BorrowedFd<'_>,
        frame: &Frame,
        entry: &DirectoryEntry<'_>,
        depth: usize,
    ) -> Result<Descent, WalkError> {
        self.tally.seen += 1;
        let (name, mut kind) = (entry.name, entry.kind);
        for _ in 0..MAX_TRIES {
            if kind == libc::DT_DIR {
                match self.open_directory(directory, name, depth) {
                    // Exchanged since it was listed: judged anew below.
                    Err(Errno(libc::ELOOP | libc::ENOTDIR)) => {}
                    Err(Errno(libc::ENOENT)) => return Ok(None),
                    Err(errno) => {
                        self.skip_unopened(directory, name, errno);
                        return Ok(None);
                    }
                    Ok(descent) => return Ok(descent),
                }
            }
            let look_first = kind == libc::DT_UNKNOWN || frame.is_roots_alone || !self.expects_wrong;
            let is_done =
                (look_first && self.settle_by_name(directory, frame, name)) || self.repair_entry(directory, name)?;
            if is_done {
                return Ok(None);
            }
            kind = libc::DT_DIR;
        }
        self.skip(Reason::Moved, directory, name);
        Ok(None)
    }

    /// Looks at a name and ends with it if it is right, gone or not ours to change.
    fn settle_by_name(&mut self, directory: BorrowedFd<'_>, frame: &Frame, name: &CStr) -> bool {
        let stat = match fs::stat_at(directory, name) {
            Ok(stat) => stat,
            Err(Errno(libc::ENOENT)) => return true,
            Err(errno) => {
                self.skip(Reason::Unreadable(errno), directory, name);
                return true;
            }
        };
        if stat.is_directory() {
            return false;
        }
        if stat.mount.is_some_and(|mount| mount != self.mount) {
            return true;
        }
        if self.repair.is_right(&stat) {
            self.note_privileges(directory, name, &stat);
            return true;
        }
        let is_alone = stat.links == 1 && !stat.is_device() && stat.mount.is_some();
        if !(frame.is_roots_alone && is_alone) {
            return false;
        }
        let carries = self.carries_capabilities(directory, name, &stat);
        if !self.repair.repair_by_name(directory, name) {
            return false;
        }
        self.tally.changed += 1;
        self.record_privileges(directory, name, &stat, carries, self.repair.clears_privileges());
        true
    }

    /// Opens a directory to go down into; `None` for another mount's, which is not part of the volume.
    fn open_directory(&mut self, directory: BorrowedFd<'_>, name: &CStr, depth: usize) -> Result<Descent, Errno> {
        let child = fs::open_directory_at(directory, name)?;
        let stat = fs::stat(child.as_fd(), Freshness::Cached)?;
        if mount_of(child.as_fd(), &stat) != Some(self.mount) {
            return Ok(None);
        }
        if depth >= MAX_DEPTH {
            self.skip(Reason::TooDeep, directory, name);
            return Ok(None);
        }
        Ok(Some((child, stat)))
    }

    fn skip_unopened(&mut self, directory: BorrowedFd<'_>, name: &CStr, errno: Errno) {
        let pinned = fs::pin_at(directory, name).and_then(|pinned| {
            let stat = fs::stat(pinned.as_fd(), Freshness::Cached)?;
            Ok((stat, mount_of(pinned.as_fd(), &stat)))
        });
        match pinned {
            Ok((_, mount)) if mount.is_some() && mount != Some(self.mount) => {}
            Ok((stat, _)) => self.skip(self.repair.unopened_reason(&stat, errno), directory, name),
            Err(Errno(libc::ENOENT)) => {}
            Err(_) => self.skip(Reason::Unreadable(errno), directory, name),
        }
    }

    /// Pins a name and puts right what it is now; `false` if that is a directory.
    fn repair_entry(&mut self, directory: BorrowedFd<'_>, name: &CStr) -> Result<bool, WalkError> {
        let pinned = fs::pin_at(directory, name)
            .and_then(|pinned| fs::stat(pinned.as_fd(), Freshness::Cached).map(|stat| (pinned, stat)));
        let (pinned, stat) = match pinned {
            Ok(pinned) => pinned,
            Err(Errno(libc::ENOENT)) => return Ok(true),
            Err(errno) => {
                self.skip(Reason::Unreadable(errno), directory, name);
                return Ok(true);
            }
        };
        if stat.is_directory() {
            return Ok(false);
        }
        let pinned = pinned.as_fd();
        if mount_of(pinned, &stat) != Some(self.mount) {
            return Ok(true);
        }
        self.expects_wrong = !self.repair.is_right(&stat);
        if !self.expects_wrong {
            self.note_privileges(directory, name, &stat);
            return Ok(true);
        }
        if stat.is_device() {
            self.skip(Reason::Device, directory, name);
        } else if stat.links > 1 {
            self.skip(Reason::HardLink, directory, name);
        } else {
            // Asked before, told after: the change takes away what it asks for.
            let carries = self.carries_capabilities(directory, name, &stat);
            match self.repair.repair(pinned, &stat)? {
                RepairResult::Right => {}
                RepairResult::Changed => {
                    self.tally.changed += 1;
                    self.record_privileges(directory, name, &stat, carries, self.repair.clears_privileges());
                }
                RepairResult::Left(reason) => self.skip(reason, directory, name),
            }
        }
        Ok(true)
    }

    fn repair_directory(&mut self, directory: BorrowedFd<'_>) -> Result<(), WalkError> {
        let stat = match fs::stat(directory, Freshness::Cached) {
            Ok(stat) => stat,
            Err(errno) => {
                self.skip(Reason::Unreadable(errno), directory, c"");
                return Ok(());
            }
        };
        match self.repair.repair(directory, &stat)? {
            RepairResult::Right => {}
            RepairResult::Changed => self.tally.changed += 1,
            RepairResult::Left(reason) => self.skip(reason, directory, c""),
        }
        Ok(())
    }

    fn note_privileges(&mut self, directory: BorrowedFd<'_>, name: &CStr, stat: &Stat) {
        if stat.is_executable() || stat.is_setuid() {
            let carries = self.carries_capabilities(directory, name, stat);
            self.record_privileges(directory, name, stat, carries, false);
        }
    }

    /// Only an executable file can use capabilities, so that a tree of data costs no call for them.
    fn carries_capabilities(&mut self, directory: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> bool {
        if !stat.is_executable() || !self.asks_for_capabilities {
            return false;
        }
        match DescriptorPath::of_entry(directory, name).entry_has_attribute(c"security.capability") {
            Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS)) => {
                self.asks_for_capabilities = false;
                false
            }
            answer => answer.unwrap_or(false),
        }
    }

    fn record_privileges(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
        carries: bool,
        stripped: bool,
    ) {
        let path = || path_of(directory, name);
        if stat.is_setuid() {
            self.tally.add_note(if stripped { PrivilegeNote::SetuidCleared } else { PrivilegeNote::Setuid }, path);
        }
        if carries {
            self.tally
                .add_note(if stripped { PrivilegeNote::CapabilityCleared } else { PrivilegeNote::Capability }, path);
        }
    }

    fn skip(&mut self, reason: Reason, directory: BorrowedFd<'_>, name: &CStr) {
        self.tally.add_skipped(reason, || path_of(directory, name));
    }
}

/// Which mount was reached: a bind mount of the same filesystem has the same device number, so that only this tells.
/// Before Linux 5.8 `statx` does not say it and `/proc/self/fdinfo` does (`man 5 proc`).
fn mount_of(file: BorrowedFd<'_>, stat: &Stat) -> Option<u64> {
    stat.mount.or_else(|| {
        let path = CString::new(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
        let info = io::read_whole(&path, 1 << 16).ok()?;
        std::str::from_utf8(&info).ok()?.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
    })
}

/// Names for a message. The walk remembers none: the kernel knows what the directory is called now.
fn path_of(directory: BorrowedFd<'_>, name: &CStr) -> PathBuf {
    let mut buffer = [0; 4096];
    let path = DescriptorPath::of(directory).target(&mut buffer).unwrap_or(b"...");
    let path = PathBuf::from(OsStr::from_bytes(path));
    if name.is_empty() { path } else { path.join(OsStr::from_bytes(name.to_bytes())) }
}

//! The listings that a walk has open: few descriptors and one fixed piece of memory at any depth.
//!
//! Level N of the tree uses slot N modulo [`MAX_OPEN`]. A descent that is deeper takes the slot of the level that many
//! above; on the way back that level is opened again by `..`, known again by device and inode, and its listing goes on
//! where it was.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::entries::{self, DirectoryEntry};
use crate::sys::fs::{self, Freshness};
use crate::sys::{Errno, UserId, fs::Stat};

/// Ordinary trees are no deeper and so nothing is ever opened twice.
const MAX_OPEN: usize = 16;
/// About 2000 entries a call; a larger one measured no faster.
const BUFFER: usize = 64 * 1024;

/// Where the walk is and what comes next there.
pub(super) struct Step<'a> {
    pub(super) directory: BorrowedFd<'a>,
    pub(super) frame: &'a Frame,
    /// `None` at the directory's end.
    pub(super) entry: Result<Option<DirectoryEntry<'a>>, Errno>,
}

/// What is remembered of a level that may have lost its slot.
pub(super) struct Frame {
    device: u64,
    inode: u64,
    /// `d_off` of the last entry that was handed out.
    position: i64,
    /// Its owner is dealt with when the walk leaves it, so that it opens to the user when all below is right.
    pub(super) wrong: bool,
    /// Owned by root and closed to every other writer: what a name is, it stays.
    pub(super) is_roots_alone: bool,
}

struct Slot {
    level: usize,
    directory: OwnedFd,
    at: usize,
    filled: usize,
}

impl Slot {
    fn next<'b>(&mut self, position: &mut i64, buffer: &'b mut [u8]) -> Result<Option<DirectoryEntry<'b>>, Errno> {
        if self.at == self.filled {
            (self.at, self.filled) = (0, entries::read(self.directory.as_fd(), buffer)?);
            if self.filled == 0 {
                // Not even `.` was listed: whoever answered was not the kernel, and an end that is none hides entries.
                return if *position == 0 { Err(Errno(libc::EIO)) } else { Ok(None) };
            }
        }
        let entry = buffer.get(self.at..self.filled).and_then(DirectoryEntry::parse).ok_or(Errno(libc::EPROTO))?;
        self.at += entry.length;
        *position = entry.position;
        Ok(Some(entry))
    }
}

pub(super) struct DirectoryStack {
    slots: [Option<Slot>; MAX_OPEN],
    frames: Vec<Frame>,
    buffers: Vec<u8>,
}

impl DirectoryStack {
    pub(super) fn new() -> Self {
        // Zeroed memory of this size comes as untouched pages: a small tree uses a few of them.
        Self { slots: [const { None }; MAX_OPEN], frames: Vec::new(), buffers: vec![0; MAX_OPEN * BUFFER] }
    }

    /// How many directories lead down to the current one, itself included.
    pub(super) fn depth(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn push(&mut self, directory: OwnedFd, stat: &Stat, wrong: bool) {
        let level = self.frames.len();
        // A list's mask shows as the group's bits, so that these speak for its entries too (man 5 acl).
        let is_roots_alone = stat.uid == UserId(0) && stat.mode & 0o022 == 0;
        self.frames.push(Frame { device: stat.device, inode: stat.inode, position: 0, wrong, is_roots_alone });
        if let Some(slot) = self.slots.get_mut(level % MAX_OPEN) {
            *slot = Some(Slot { level, directory, at: 0, filled: 0 });
        }
    }

    /// One step on in the current directory; `None` once the walk is over.
    pub(super) fn next(&mut self) -> Option<Step<'_>> {
        let index = self.frames.len().checked_sub(1)? % MAX_OPEN;
        let slot = self.slots.get_mut(index)?.as_mut()?;
        let frame = self.frames.last_mut()?;
        let buffer = self.buffers.get_mut(index * BUFFER..(index + 1) * BUFFER)?;
        let entry = slot.next(&mut frame.position, buffer);
        Some(Step { directory: slot.directory.as_fd(), frame, entry })
    }

    /// Back to the directory above. `false`: the directory that was left lies elsewhere now and the way back is lost.
    pub(super) fn pop(&mut self) -> Result<bool, Errno> {
        let Some(level) = self.frames.len().checked_sub(1) else { return Ok(true) };
        self.frames.pop();
        let left = self.slots.get_mut(level % MAX_OPEN).and_then(Option::take);
        let (Some(parent), Some(left)) = (level.checked_sub(1), left) else { return Ok(true) };
        let Some(place) = self.slots.get_mut(parent % MAX_OPEN) else { return Ok(true) };
        if place.as_ref().is_some_and(|slot| slot.level == parent) {
            return Ok(true);
        }
        let directory = fs::open_directory_at(left.directory.as_fd(), c"..")?;
        let stat = fs::stat(directory.as_fd(), Freshness::Cached)?;
        let Some(frame) = self.frames.last() else { return Ok(true) };
        if (stat.device, stat.inode) != (frame.device, frame.inode) {
            return Ok(false);
        }
        entries::seek(directory.as_fd(), frame.position)?;
        *place = Some(Slot { level: parent, directory, at: 0, filled: 0 });
        Ok(true)
    }
}

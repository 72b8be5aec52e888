//! The listings that a walk has open: few descriptors and one fixed piece of memory at any depth.
//!
//! Level N of the tree uses slot N modulo [`SLOTS`]. A descent that is deeper takes the slot of the level that many above; on
//! the way back that level is opened again by `..`, known again by device and inode, and its listing goes on where it was.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::fs::{self, Freshness};
use crate::sys::{Errno, UserId, fs::Stat};

/// Ordinary trees are no deeper and so nothing is ever opened twice.
const SLOTS: usize = 16;
/// About 2000 entries a call; a larger one measured no faster.
const BUFFER: usize = 64 * 1024;
/// `struct linux_dirent64`: d_ino, d_off, d_reclen, d_type, then the name.
const NAME_AT: usize = 19;

/// One name in a directory.
pub(super) struct Entry<'a> {
    pub(super) name: &'a CStr,
    /// `DT_DIR` and so on; `DT_UNKNOWN` where the filesystem does not say.
    pub(super) kind: u8,
}

impl Entry<'_> {
    /// `.` and `..`, which every listing holds.
    pub(super) fn is_the_way_here(&self) -> bool {
        self.name == c"." || self.name == c".."
    }
}

/// Where the walk is and what comes next there.
pub(super) struct Step<'a> {
    pub(super) directory: BorrowedFd<'a>,
    pub(super) frame: &'a Frame,
    /// `None` at the directory's end.
    pub(super) entry: Result<Option<Entry<'a>>, Errno>,
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
    fn next<'b>(&mut self, position: &mut i64, buffer: &'b mut [u8]) -> Result<Option<Entry<'b>>, Errno> {
        if self.at == self.filled {
            (self.at, self.filled) = (0, fs::read_entries(self.directory.as_fd(), buffer)?);
            if self.filled == 0 {
                // Not even `.` was listed: whoever answered was not the kernel, and an end that is none hides entries.
                return if *position == 0 { Err(Errno(libc::EIO)) } else { Ok(None) };
            }
        }
        let record = buffer.get(self.at..self.filled).and_then(Record::parse).ok_or(Errno(libc::EPROTO))?;
        self.at += record.length;
        *position = record.position;
        Ok(Some(record.entry))
    }
}

pub(super) struct Window {
    slots: [Option<Slot>; SLOTS],
    frames: Vec<Frame>,
    buffers: Vec<u8>,
}

impl Window {
    pub(super) fn new() -> Self {
        // Zeroed memory of this size comes as untouched pages: a small tree uses a few of them.
        Self { slots: [const { None }; SLOTS], frames: Vec::new(), buffers: vec![0; SLOTS * BUFFER] }
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
        if let Some(slot) = self.slots.get_mut(level % SLOTS) {
            *slot = Some(Slot { level, directory, at: 0, filled: 0 });
        }
    }

    /// One step on in the current directory; `None` once the walk is over.
    pub(super) fn next(&mut self) -> Option<Step<'_>> {
        let index = self.frames.len().checked_sub(1)? % SLOTS;
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
        let left = self.slots.get_mut(level % SLOTS).and_then(Option::take);
        let (Some(parent), Some(left)) = (level.checked_sub(1), left) else { return Ok(true) };
        let Some(place) = self.slots.get_mut(parent % SLOTS) else { return Ok(true) };
        if place.as_ref().is_some_and(|slot| slot.level == parent) {
            return Ok(true);
        }
        let directory = fs::open_directory_at(left.directory.as_fd(), c"..")?;
        let stat = fs::stat(directory.as_fd(), Freshness::Cached)?;
        let Some(frame) = self.frames.last() else { return Ok(true) };
        if (stat.device, stat.inode) != (frame.device, frame.inode) {
            return Ok(false);
        }
        fs::seek_entries(directory.as_fd(), frame.position)?;
        *place = Some(Slot { level: parent, directory, at: 0, filled: 0 });
        Ok(true)
    }
}

struct Record<'a> {
    length: usize,
    position: i64,
    entry: Entry<'a>,
}

impl<'a> Record<'a> {
    /// `None` for what the kernel never writes: a length that is too short or leads past the end, a name without its NUL.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let position = i64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
        let length = usize::from(u16::from_ne_bytes(bytes.get(16..18)?.try_into().ok()?));
        let kind = *bytes.get(18)?;
        let name = CStr::from_bytes_until_nul(bytes.get(NAME_AT..length)?).ok()?;
        if name.is_empty() { None } else { Some(Self { length, position, entry: Entry { name, kind } }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(length: u16, name: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        bytes.extend(7_i64.to_ne_bytes());
        bytes.extend(length.to_ne_bytes());
        bytes.push(libc::DT_REG);
        bytes.extend(name);
        bytes
    }

    #[test]
    fn a_record_is_read_whatever_bytes_its_name_has() {
        let bytes = record(24, b"a\n\xff\0\0");
        let record = Record::parse(&bytes).unwrap();
        assert_eq!((record.length, record.position, record.entry.kind), (24, 7, libc::DT_REG));
        assert_eq!(record.entry.name, c"a\n\xff");
    }

    #[test]
    fn what_the_kernel_never_writes_is_refused() {
        for bytes in [record(0, b"a\0\0\0\0"), record(19, b"a\0\0\0\0"), record(24, b"abcde"), record(40, b"a\0\0\0\0")]
        {
            assert!(Record::parse(&bytes).is_none());
        }
        assert!(Record::parse(&[]).is_none());
    }
}

//! What a directory holds, in the kernel's own records (`struct linux_dirent64`, `man 2 getdents`).

use super::Errno;
use super::errno::cerr;
use nix::unistd::{self, Whence};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// d_ino, d_off, d_reclen, d_type, then the name.
const NAME_OFFSET: usize = 19;

/// One name in a directory.
pub struct DirectoryEntry<'a> {
    /// As the filesystem has it.
    pub name: &'a CStr,
    /// `DT_DIR` and so on; `DT_UNKNOWN` where the filesystem does not say.
    pub kind: u8,
    /// Where the listing goes on behind it ([`seek`]).
    pub position: i64,
    /// How many bytes of the buffer it takes.
    pub length: usize,
}

impl<'a> DirectoryEntry<'a> {
    /// The first entry of what [`read`] filled. `None` for what the kernel never writes: a length that is too short or
    /// leads past the end, a name without its NUL.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let position = i64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
        let length = usize::from(u16::from_ne_bytes(bytes.get(16..18)?.try_into().ok()?));
        let kind = *bytes.get(18)?;
        let name = CStr::from_bytes_until_nul(bytes.get(NAME_OFFSET..length)?).ok()?;
        if name.is_empty() { None } else { Some(Self { name, kind, position, length }) }
    }

    /// `.` and `..`, which every listing holds.
    pub fn is_dot_or_dot_dot(&self) -> bool {
        self.name == c"." || self.name == c".."
    }
}

/// Fills `buffer` with the next entries of a directory; 0 is the end.
pub fn read(directory: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    // d_reclen 0 is never a record, so that a call that answers a length and writes nothing is seen by who reads the
    // buffer.
    if let Some(record_length) = buffer.get_mut(16..18) {
        record_length.fill(0);
    }
    // SAFETY: the kernel writes at most the buffer's length.
    let answer =
        cerr(unsafe { libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) })?;
    let length = answer as usize;
    if length > buffer.len() { Err(Errno(libc::EPROTO)) } else { Ok(length) }
}

/// Goes on listing behind the entry whose `d_off` is `position`.
pub fn seek(directory: BorrowedFd<'_>, position: i64) -> Result<(), Errno> {
    unistd::lseek(directory, position, Whence::SeekSet)?;
    Ok(())
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
        let entry = DirectoryEntry::parse(&bytes).unwrap();
        assert_eq!((entry.length, entry.position, entry.kind), (24, 7, libc::DT_REG));
        assert_eq!(entry.name, c"a\n\xff");
    }

    #[test]
    fn what_the_kernel_never_writes_is_refused() {
        for bytes in [record(0, b"a\0\0\0\0"), record(19, b"a\0\0\0\0"), record(24, b"abcde"), record(40, b"a\0\0\0\0")]
        {
            assert!(DirectoryEntry::parse(&bytes).is_none());
        }
        assert!(DirectoryEntry::parse(&[]).is_none());
    }
}

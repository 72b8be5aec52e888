//! Files and directories by descriptor: a name is only ever looked up in an opened directory, and never through a link.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::fcntl::{self, AT_FDCWD, AtFlags, OFlag, RenameFlags};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{self, AccessFlags, UnlinkatFlags};

use super::errno::cerr;
use super::{Errno, GroupId, UserId, descriptor};

/// What a file is and whose, as far as the walk over a volume asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Type and permission bits (`man 7 inode`).
    pub mode: u32,
    /// The owner, as this user namespace sees it.
    pub uid: UserId,
    /// The group, as this user namespace sees it.
    pub gid: GroupId,
    /// How many names the file has.
    pub links: u32,
    /// Inode number, unique on one device.
    pub inode: u64,
    /// Device number of the filesystem, major in the upper half.
    pub device: u64,
    /// The mount that the file was reached through; `None` before Linux 5.8.
    pub mount: Option<u64>,
    /// Immutable (`chattr +i`) or append-only: nobody changes its owner.
    pub frozen: bool,
    pub size: u64,
    /// When its content or its attributes last changed: seconds and nanoseconds. Nobody sets it back (`man 7 inode`,
    /// ctime).
    pub changed: (i64, u32),
}

impl Stat {
    /// Type bits alone, one of `S_IFREG`, `S_IFDIR` and so on.
    pub fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }

    pub fn is_regular(&self) -> bool {
        self.kind() == libc::S_IFREG
    }

    pub fn is_link(&self) -> bool {
        self.kind() == libc::S_IFLNK
    }

    /// A character or block device.
    pub fn is_device(&self) -> bool {
        matches!(self.kind(), libc::S_IFCHR | libc::S_IFBLK)
    }

    /// A regular file that runs as its owner or group (a setgid bit without group execution is mandatory locking, not
    /// that).
    pub fn is_setuid(&self) -> bool {
        let group_bits = libc::S_ISGID | libc::S_IXGRP;
        self.is_regular() && (self.mode & libc::S_ISUID != 0 || self.mode & group_bits == group_bits)
    }

    /// A regular file that somebody may execute.
    pub fn is_executable(&self) -> bool {
        self.is_regular() && self.mode & 0o111 != 0
    }
}

/// Whether attributes may come from a cache (a walk over a network filesystem) or must be asked for (what a chown
/// left).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// What the kernel has at hand (`AT_STATX_DONT_SYNC`).
    Cached,
    /// What the server says now (`AT_STATX_FORCE_SYNC`).
    Asked,
}

/// `statx` of `name` in `directory`; a link is looked at, not followed.
pub fn stat_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<Stat, Errno> {
    stat_of(directory, name, libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT | libc::AT_STATX_DONT_SYNC)
}

/// `statx` of an opened file.
pub fn stat(file: BorrowedFd<'_>, freshness: Freshness) -> Result<Stat, Errno> {
    let sync = match freshness {
        Freshness::Cached => libc::AT_STATX_DONT_SYNC,
        Freshness::Asked => libc::AT_STATX_FORCE_SYNC,
    };
    stat_of(file, c"", libc::AT_EMPTY_PATH | sync)
}

fn stat_of(directory: BorrowedFd<'_>, name: &CStr, flags: i32) -> Result<Stat, Errno> {
    let answer = statx(directory.as_raw_fd(), name, flags)?;
    let frozen = (libc::STATX_ATTR_IMMUTABLE | libc::STATX_ATTR_APPEND) as u64;
    Ok(Stat {
        mode: u32::from(answer.stx_mode),
        uid: UserId(answer.stx_uid),
        gid: GroupId(answer.stx_gid),
        links: answer.stx_nlink,
        inode: answer.stx_ino,
        device: u64::from(answer.stx_dev_major) << 32 | u64::from(answer.stx_dev_minor),
        mount: (answer.stx_mask & libc::STATX_MNT_ID != 0).then_some(answer.stx_mnt_id),
        frozen: answer.stx_attributes & frozen != 0,
        size: answer.stx_size,
        changed: (answer.stx_ctime.tv_sec, answer.stx_ctime.tv_nsec),
    })
}

/// Never a bit of an answer (`STATX__RESERVED`, linux/stat.h): still there after the call, nothing was written.
const POISON: u32 = 0x8000_0000;

/// `statx`, whose basic answers are all there.
pub(super) fn statx(directory: RawFd, name: &CStr, flags: i32) -> Result<libc::statx, Errno> {
    // SAFETY: an all-zero statx is a valid value of a struct of integers.
    let mut answer: libc::statx = unsafe { std::mem::zeroed() };
    answer.stx_mask = POISON;
    let mask = libc::STATX_BASIC_STATS | libc::STATX_MNT_ID;
    // The call itself, not glibc's function: std knows that one as a weak symbol, which a static link with LTO leaves
    // NULL. SAFETY: the name is NUL-terminated and the buffer is a whole statx, both live through the call.
    cerr(unsafe { libc::syscall(libc::SYS_statx, directory, name.as_ptr(), flags, mask, &mut answer) })?;
    let needed = libc::STATX_TYPE | libc::STATX_MODE | libc::STATX_UID | libc::STATX_GID | libc::STATX_NLINK;
    if answer.stx_mask & (POISON | needed) == needed { Ok(answer) } else { Err(Errno(libc::EPROTO)) }
}

fn open_at(directory: BorrowedFd<'_>, name: &CStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    // The mode counts only where a file is made.
    descriptor::reject_stdio(fcntl::openat(directory, name, flags | OFlag::O_CLOEXEC, Mode::S_IRUSR | Mode::S_IWUSR)?)
}

/// The root directory, as a place to look names up in (`O_PATH`).
pub fn open_root() -> Result<OwnedFd, Errno> {
    open_at(AT_FDCWD, c"/", OFlag::O_PATH | OFlag::O_DIRECTORY)
}

/// Opens a directory for listing; a link or anything else that is no directory is refused (`ELOOP`, `ENOTDIR`).
pub fn open_directory_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    // O_NONBLOCK: what is no directory is refused before its driver sees the open, yet nothing here may ever wait.
    open_at(directory, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK)
}

/// Opens a file for reading; a link is refused (`ELOOP`), a FIFO is not waited for, a terminal does not become ours.
pub fn open_file_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    open_at(directory, name, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
}

/// Holds on to whatever `name` is now without opening it (`O_PATH`): no driver, FIFO or socket notices, a link is held
/// itself.
pub fn pin_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    open_at(directory, name, OFlag::O_PATH | OFlag::O_NOFOLLOW)
}

/// [`pin_at`] for a directory only.
pub fn pin_directory_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    open_at(directory, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY)
}

/// A file without a name in `directory` (`O_TMPFILE`): it proves that one can be made there and leaves no trace.
pub fn create_unnamed(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    open_at(directory, c".", OFlag::O_TMPFILE | OFlag::O_RDWR)
}

/// A new file, 0600; an existing name is refused (`EEXIST`).
pub fn create_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    open_at(directory, name, OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_RDWR)
}

/// Removes a name that is no directory.
pub fn unlink_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    Ok(unistd::unlinkat(directory, name, UnlinkatFlags::NoRemoveDir)?)
}

/// Gives an entry another name in another directory of the same filesystem. `replace`: what had that name is gone then;
/// without it EEXIST.
pub fn rename_at(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    new_name: &CStr,
    replace: bool,
) -> Result<(), Errno> {
    let flags = if replace { RenameFlags::empty() } else { RenameFlags::RENAME_NOREPLACE };
    Ok(fcntl::renameat2(from, name, to, new_name, flags)?)
}

/// Waits until a file's content is on the disk.
pub fn sync(file: BorrowedFd<'_>) -> Result<(), Errno> {
    Ok(unistd::fsync(file)?)
}

/// Removes an empty directory.
pub fn remove_directory(path: &CStr) -> Result<(), Errno> {
    Ok(unistd::unlinkat(AT_FDCWD, path, UnlinkatFlags::RemoveDir)?)
}

pub fn make_directory_at(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<(), Errno> {
    Ok(mkdirat(directory, name, Mode::from_bits_retain(mode))?)
}

/// Asks with the effective ids whether `directory` may be written and searched; changes nothing.
pub fn may_write(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    access_at(directory, c".", AccessFlags::W_OK | AccessFlags::X_OK)
}

/// Asks with the effective ids whether the entry `name` (no link) may be written.
pub fn may_write_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    access_at(directory, name, AccessFlags::W_OK)
}

/// The same for execution.
pub fn may_execute_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    access_at(directory, name, AccessFlags::X_OK)
}

fn access_at(directory: BorrowedFd<'_>, name: &CStr, what: AccessFlags) -> Result<(), Errno> {
    Ok(unistd::faccessat(directory, name, what, AtFlags::AT_EACCESS)?)
}

/// Where the link `name` leads to, as far as `buffer` holds it.
pub fn read_link_at<'b>(directory: BorrowedFd<'_>, name: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    // SAFETY: the name is NUL-terminated and the kernel writes at most the buffer's length.
    let length = cerr(unsafe {
        libc::readlinkat(directory.as_raw_fd(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len())
    })?;
    buffer.get(..length as usize).ok_or(Errno(libc::EPROTO))
}

/// Changes owner and group of what was opened or pinned.
pub fn change_owner(file: BorrowedFd<'_>, uid: UserId, gid: GroupId) -> Result<(), Errno> {
    Ok(unistd::fchownat(file, c"", Some(uid.into()), Some(gid.into()), AtFlags::AT_EMPTY_PATH)?)
}

/// Changes owner and group of a name; a link is changed itself.
pub fn change_owner_at(directory: BorrowedFd<'_>, name: &CStr, uid: UserId, gid: GroupId) -> Result<(), Errno> {
    Ok(unistd::fchownat(directory, name, Some(uid.into()), Some(gid.into()), AtFlags::AT_SYMLINK_NOFOLLOW)?)
}

/// The path of an opened file in /proc, with a name behind it: system calls that know no descriptors reach it by that.
/// `/proc/self/fd/N` leads to the file itself, whatever its name is by then (`man 5 proc`).
pub struct DescriptorPath {
    bytes: [u8; 304],
}

impl DescriptorPath {
    /// Of what `file` is.
    pub fn of(file: BorrowedFd<'_>) -> Self {
        Self::of_entry(file, c"")
    }

    /// Of `name` in `directory`; a name is at most 255 bytes, a longer one is cut and so not found.
    pub fn of_entry(directory: BorrowedFd<'_>, name: &CStr) -> Self {
        use std::io::Write;
        let mut path = Self { bytes: [0; 304] };
        let capacity = path.bytes.len() - 1;
        let mut rest = path.bytes.get_mut(..capacity).unwrap_or_default();
        // A full buffer cuts the path; the last byte stays NUL.
        let _ = write!(rest, "/proc/self/fd/{}", directory.as_raw_fd());
        if !name.is_empty() {
            let _ = rest.write_all(b"/").and_then(|()| rest.write_all(name.to_bytes()));
        }
        path
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }

    /// Where it leads to, in words for a message; a path longer than the buffer (at most a page: the kernel's own) is
    /// refused.
    pub fn target<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
        read_link_at(AT_FDCWD, self.as_c_str(), buffer)
    }

    /// Reads an extended attribute of what the path leads to (the descriptor's own link is followed).
    pub fn attribute<'b>(&self, name: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
        // SAFETY: both strings are NUL-terminated and the kernel writes at most the buffer's length.
        let length = cerr(unsafe {
            libc::getxattr(self.as_c_str().as_ptr(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len())
        })?;
        buffer.get(..length as usize).ok_or(Errno(libc::EPROTO))
    }

    /// Whether the entry has an extended attribute; a link behind the directory is not followed.
    pub fn entry_has_attribute(&self, name: &CStr) -> Result<bool, Errno> {
        // SAFETY: both strings are NUL-terminated; size 0 asks for the length only.
        let answer = cerr(unsafe { libc::lgetxattr(self.as_c_str().as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) });
        match answer {
            Ok(_) => Ok(true),
            Err(Errno(libc::ENODATA)) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Writes an extended attribute of what the path leads to.
    pub fn set_attribute(&self, name: &CStr, value: &[u8]) -> Result<(), Errno> {
        // SAFETY: both strings are NUL-terminated and the kernel reads exactly the value's length.
        cerr(unsafe { libc::setxattr(self.as_c_str().as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) })
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_setgid_bit_without_group_execution_is_no_setuid_file() {
        let root = open_root().unwrap();
        let mut stat = stat(root.as_fd(), Freshness::Asked).unwrap();
        assert!(stat.is_directory());
        stat.mode = libc::S_IFREG | 0o2644;
        assert!(!stat.is_setuid());
        stat.mode = libc::S_IFREG | 0o2755;
        assert!(stat.is_setuid());
    }

    #[test]
    fn a_descriptor_path_leads_to_the_file_and_carries_a_name() {
        let root = open_root().unwrap();
        let mut buffer = [0; 16];
        assert_eq!(DescriptorPath::of(root.as_fd()).target(&mut buffer), Ok(&b"/"[..]));
        let entry = DescriptorPath::of_entry(root.as_fd(), c"a b");
        let text = entry.as_c_str().to_str().unwrap();
        assert!(text.ends_with("/a b"), "{text}");
    }
}

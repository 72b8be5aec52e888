//! Device nodes by their path.

use super::{Errno, GroupId, UserId, fs, io};
use nix::fcntl::OFlag;
use std::ffi::CStr;

/// What lies at a path where a device is expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceNode {
    /// Type and permission bits (`man 7 inode`).
    pub mode: u32,
    /// Which driver it stands for.
    pub major: u32,
    /// Which of that driver's devices.
    pub minor: u32,
    /// The owner, as this user namespace sees it.
    pub user: UserId,
    /// The group, as this user namespace sees it.
    pub group: GroupId,
}

impl DeviceNode {
    /// Whether it is a character device.
    pub fn is_character(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFCHR
    }
}

/// Looks at it without opening it; a link is followed, as opening would.
pub fn stat(path: &CStr) -> Result<DeviceNode, Errno> {
    let answer = fs::statx(libc::AT_FDCWD, path, 0)?;
    Ok(DeviceNode {
        mode: u32::from(answer.stx_mode),
        major: answer.stx_rdev_major,
        minor: answer.stx_rdev_minor,
        user: UserId(answer.stx_uid),
        group: GroupId(answer.stx_gid),
    })
}

/// Opens it, for writing too or for reading alone, and closes it at once. May take as long as the driver wants.
pub fn try_open(path: &CStr, writing: bool) -> Result<(), Errno> {
    io::open_with(path, OFlag::O_NONBLOCK | if writing { OFlag::O_RDWR } else { OFlag::O_RDONLY }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_told_from_what_only_has_its_name() {
        let null = stat(c"/dev/null").unwrap();
        assert!(null.is_character());
        assert_eq!((null.major, null.minor, null.mode & 0o666), (1, 3, 0o666));
        assert!(!stat(c"/dev").unwrap().is_character());
        assert_eq!(stat(c"/dev/takumi-test-none"), Err(Errno(libc::ENOENT)));
        assert_eq!(try_open(c"/dev/null", true), Ok(()));
        assert_eq!(try_open(c"/dev/takumi-test-none", true), Err(Errno(libc::ENOENT)));
    }
}

//! What holds files: how full it is, and whether its mount can be written.

use super::Errno;
use super::errno::cerr;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What statfs(2) answers (`struct statfs` of the kernel's 64-bit architectures; libc's has no flags).
#[repr(C)]
#[derive(Clone, Copy)]
struct StatFs {
    kind: i64,
    block_size: i64,
    blocks: u64,
    free_blocks: u64,
    others: [u64; 3],
    id: [i32; 2],
    name_length: i64,
    fragment_size: i64,
    flags: i64,
    spare: [i64; 4],
}

impl StatFs {
    /// Asked of the kernel itself: glibc's statvfs copies from a buffer that nobody has filled where a filter answers 0
    /// for it.
    fn query(call: libc::c_long, of: libc::c_long) -> Result<Self, Errno> {
        let mut answer = std::mem::MaybeUninit::<StatFs>::zeroed();
        // SAFETY: the kernel's answer is written into a valid place; zeroes are a valid value all the same.
        let answer = unsafe {
            cerr(libc::syscall(call, of, answer.as_mut_ptr()))?;
            answer.assume_init()
        };
        // Every filesystem has a block size: what says 0 has not answered.
        if answer.block_size == 0 { Err(Errno(libc::EPROTO)) } else { Ok(answer) }
    }

    /// Of the mount, whatever its filesystem is.
    fn is_read_only(&self) -> bool {
        // The kernel's ST_RDONLY is libc's.
        self.flags & libc::ST_RDONLY as i64 != 0
    }
}

fn statfs(path: &CStr) -> Result<StatFs, Errno> {
    StatFs::query(libc::SYS_statfs, path.as_ptr() as libc::c_long)
}

/// How full the filesystem at `path` is: (blocks in use, blocks in all).
pub fn blocks(path: &CStr) -> Result<(u64, u64), Errno> {
    let status = statfs(path)?;
    Ok((status.blocks.saturating_sub(status.free_blocks), status.blocks))
}

/// Whether the mount at `path` is read-only; of the mount, whatever its filesystem is.
pub fn is_read_only(path: &CStr) -> Result<bool, Errno> {
    Ok(statfs(path)?.is_read_only())
}

/// The same of the mount that an opened or pinned file was reached through.
pub fn is_read_only_at(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    Ok(StatFs::query(libc::SYS_fstatfs, file.as_raw_fd().into())?.is_read_only())
}

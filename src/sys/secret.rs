//! Files whose content must not stay in memory, and the memory that held it.

use super::{Errno, io};
use nix::fcntl::OFlag;
use std::ffi::CStr;
use std::os::fd::AsRawFd;
use zeroize::{Zeroize, Zeroizing};

/// Why a file was not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SecretError {
    /// The kernel's word; EFBIG where it is longer than the limit, EIO where it ended before the size that it shows.
    #[error("{0}")]
    Kernel(#[from] Errno),
    /// A directory, a device, a FIFO that somebody would have to write to.
    #[error("not a regular file")]
    NotRegular,
}

/// Reads a regular file of at most `limit` bytes. The memory is zeroed when the content goes, and no copy of it is
/// left.
pub fn read(path: &CStr, limit: usize) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    // O_NONBLOCK: a FIFO is refused instead of waited for.
    let file = io::open_with(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?;
    let status = io::status(file.as_raw_fd())?;
    if status.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(SecretError::NotRegular);
    }
    let size = status.st_size.unsigned_abs() as usize;
    let mut content = Zeroizing::new(vec![0; size.min(limit) + 1]);
    let mut filled = 0;
    loop {
        match io::read(&file, &mut content[filled..])? {
            0 => break,
            count => filled += count,
        }
        if filled > limit {
            return Err(Errno(libc::EFBIG).into());
        }
        if filled == content.len() {
            // A file that grew, or one of /proc. The former place is zeroed, which growing in place would not do.
            let mut larger = Zeroizing::new(vec![0; 2 * filled]);
            larger[..filled].copy_from_slice(&content);
            content = larger;
        }
    }
    content.truncate(filled);
    if filled < size { Err(Errno(libc::EIO).into()) } else { Ok(content) }
}

/// Overwrites the stack below the caller: what functions that have returned left there (keys in registers are spilled
/// to it, and a value that is moved leaves its former place as it was).
#[inline(never)]
pub fn wipe_stack() {
    let mut below = [0_u8; STACK];
    below.zeroize();
}

/// More than the deepest of them needs, less than [`super::memory::release_unused`] releases.
const STACK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::fs::FileExt;

    /// What a function has left on the stack is seen through /proc: a reference to it would be no valid one.
    #[test]
    fn what_a_function_left_on_the_stack_is_overwritten() {
        #[inline(never)]
        fn leave() -> u64 {
            let mut left = [0_u8; STACK / 2];
            for byte in &mut left {
                // SAFETY: a valid place; volatile, or nothing would be written.
                unsafe { std::ptr::from_mut(byte).write_volatile(0xa7) };
            }
            left.as_ptr() as u64
        }
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let mut seen = vec![0; STACK / 2];
        let place = leave();
        memory.read_exact_at(&mut seen, place).unwrap();
        // Four in a row: an address that this very reading leaves there has such a byte now and then, wherever the
        // stack lies.
        let left = |seen: &[u8]| seen.windows(4).filter(|four| *four == [0xa7; 4]).count();
        assert!(left(&seen) > STACK / 4, "nothing was left");
        wipe_stack();
        memory.read_exact_at(&mut seen, place).unwrap();
        assert_eq!(left(&seen), 0);
    }

    #[test]
    fn only_a_regular_file_within_the_limit_is_read() {
        let path = std::env::temp_dir().join(format!("takumi-test-secret-{}", std::process::id()));
        std::fs::write(&path, [b'x'; 5000]).unwrap();
        let name = CString::new(path.to_str().unwrap()).unwrap();
        let (whole, longer) = (read(&name, 5000), read(&name, 4999));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(whole.unwrap().as_slice(), [b'x'; 5000]);
        assert_eq!(longer, Err(SecretError::Kernel(Errno(libc::EFBIG))));
        assert_eq!(read(&name, 5000), Err(SecretError::Kernel(Errno(libc::ENOENT))));
        assert_eq!(read(c"/dev/zero", 5000), Err(SecretError::NotRegular));
        assert_eq!(read(c"/tmp", 5000), Err(SecretError::NotRegular));
        // It shows size 0.
        assert!(read(c"/proc/self/status", 1 << 20).unwrap().starts_with(b"Name:"));
    }
}

//! The kernel's random bytes.

use super::Errno;
use super::errno::cerr;

/// Fills `bytes`, at most 256 of them: as many come in one piece or not at all (`man 2 getrandom`).
///
/// Errors: the kernel's; EIO where it gave less.
pub fn fill(bytes: &mut [u8]) -> Result<(), Errno> {
    // The call itself, not glibc's function: std knows that one as a weak symbol, which a static link with LTO leaves
    // NULL. SAFETY: the kernel writes at most the buffer's length.
    let count = cerr(unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0) })?;
    if count.unsigned_abs() as usize == bytes.len() && bytes.len() <= 256 { Ok(()) } else { Err(Errno(libc::EIO)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_fillings_differ_and_too_much_is_refused() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        fill(&mut one).unwrap();
        fill(&mut other).unwrap();
        assert_ne!(one, other);
        assert!(fill(&mut [0; 257]).is_err());
    }
}

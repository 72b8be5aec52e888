//! The kernel's word for what went wrong.

use nix::errno::ErrnoSentinel;
use std::ffi::CStr;
use std::fmt;

/// An error number of the kernel (`man 3 errno`), shown as its plain text ("Operation not permitted").
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// The errno that the last libc call of this thread left.
    pub fn last() -> Self {
        std::io::Error::last_os_error().into()
    }

    /// The kernel's text for it, `"unknown error"` where glibc has none.
    pub fn text(self) -> &'static str {
        unsafe extern "C" {
            // glibc 2.32 and newer: static, not translated, no allocation.
            fn strerrordesc_np(errnum: libc::c_int) -> *const libc::c_char;
        }
        // SAFETY: the function takes any number and returns NULL or a static, NUL-terminated ASCII string.
        let text = unsafe {
            let text = strerrordesc_np(self.0);
            if text.is_null() { None } else { Some(CStr::from_ptr(text)) }
        };
        text.and_then(|text| text.to_str().ok()).unwrap_or("unknown error")
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.0)
    }
}

impl std::error::Error for Errno {}

impl From<nix::errno::Errno> for Errno {
    fn from(errno: nix::errno::Errno) -> Self {
        match errno {
            // nix has no place for a number that it does not know (524 of NFS); the call has just left it.
            nix::errno::Errno::UnknownErrno => Errno::last(),
            known => Errno(known as i32),
        }
    }
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Self {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// The one errno check: -1 is an error, anything else the call's answer.
pub(crate) fn cerr<Answer: ErrnoSentinel + PartialEq>(answer: Answer) -> Result<Answer, Errno> {
    Ok(nix::errno::Errno::result(answer)?)
}

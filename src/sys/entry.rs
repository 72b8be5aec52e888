//! The way in. `main` is libc's own, not std's: std's start-up ignores SIGPIPE (COMMAND would inherit that), opens /dev/null
//! over closed descriptors and reads /proc/self/maps, all before the first line of ours.

use std::ffi::{CStr, c_char, c_int};

/// What the kernel put on the stack: arguments and environment, byte for byte, alive as long as the process.
pub struct Start {
    /// argv, the program's own name first (it may be empty: `execve` allows that).
    pub arguments: Vec<&'static CStr>,
    /// `NAME=value` strings as they came; a name may stand twice, a string may lack its `=`.
    pub environment: Vec<&'static CStr>,
}

impl Start {
    /// Takes argv and envp as `main` got them.
    ///
    /// # Safety
    /// Both must be NULL-terminated arrays of NUL-terminated strings that live as long as the process.
    pub unsafe fn from_raw(argv: *const *const c_char, envp: *const *const c_char) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Start { arguments: strings(argv), environment: strings(envp) } }
    }
}

/// # Safety
/// As for [`Start::from_raw`].
unsafe fn strings(mut array: *const *const c_char) -> Vec<&'static CStr> {
    // SAFETY: the array is read up to its NULL, and only then.
    unsafe {
        let mut end = array;
        while !(*end).is_null() {
            end = end.add(1);
        }
        let mut found = Vec::with_capacity(end.offset_from(array).unsigned_abs());
        while array < end {
            found.push(CStr::from_ptr(*array));
            array = array.add(1);
        }
        found
    }
}

#[doc(hidden)]
pub type Main = fn(Start) -> c_int;

/// Makes `$start` the program's `main`.
#[macro_export]
macro_rules! entry {
    ($start:path) => {
        /// libc's way in.
        ///
        /// # Safety
        /// Called once, by libc, with the arrays that the kernel laid on the stack.
        #[unsafe(no_mangle)]
        #[allow(unsafe_code)]
        pub unsafe extern "C" fn main(
            _argc: std::ffi::c_int,
            argv: *const *const std::ffi::c_char,
            envp: *const *const std::ffi::c_char,
        ) -> std::ffi::c_int {
            let start: $crate::sys::entry::Main = $start;
            // SAFETY: libc calls main once, with the arrays that the kernel laid on the stack.
            start(unsafe { $crate::sys::entry::Start::from_raw(argv, envp) })
        }
    };
}

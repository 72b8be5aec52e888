//! The way in. `main` is libc's own, not std's: std's start-up ignores SIGPIPE (COMMAND would inherit that), opens
//! /dev/null over closed descriptors and reads /proc/self/maps, all before the first line of ours.

use std::ffi::{CStr, c_char, c_int};

/// What the kernel put on the stack: arguments and environment, byte for byte.
pub struct InitialStack {
    /// argv, the program's own name first (it may be empty: `execve` allows that).
    pub arguments: Vec<&'static CStr>,
    /// envp.
    pub environment: InheritedEnvironment,
}

/// The environment that this process was started with: what /proc/PID/environ shows of it.
pub struct InheritedEnvironment {
    strings: Vec<&'static CStr>,
    array: *const *const c_char,
}

impl InheritedEnvironment {
    /// `NAME=value` strings as they came; a name may stand twice, a string may lack its `=`.
    pub fn variables(&self) -> &[&CStr] {
        &self.strings
    }

    /// Overwrites all of it with zeroes: keys were in it, and only exec ever replaces it.
    pub fn wipe(self) {
        for index in 0..self.strings.len() {
            // SAFETY: the array and its strings lie on this process's stack, writable and as long as it lives; who got
            // a string from `variables` has given it back, since this takes `self`. volatile: nobody of this program
            // reads it again.
            unsafe {
                let mut byte = (*self.array.add(index)).cast_mut();
                while *byte != 0 {
                    byte.write_volatile(0);
                    byte = byte.add(1);
                }
            }
        }
    }
}

impl InitialStack {
    /// Takes argv and envp as `main` got them.
    ///
    /// # Safety
    /// Both must be NULL-terminated arrays of NUL-terminated strings that live as long as the process.
    pub unsafe fn from_raw(argv: *const *const c_char, envp: *const *const c_char) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            // A probe that finds no memory for the lines below has a code of its own already.
            if !(*argv).is_null() && !(*argv.add(1)).is_null() && CStr::from_ptr(*argv.add(1)) == c"--check" {
                super::memory::set_out_of_memory_code(1);
            }
            InitialStack {
                arguments: strings(argv),
                environment: InheritedEnvironment { strings: strings(envp), array: envp },
            }
        }
    }
}

/// # Safety
/// As for [`InitialStack::from_raw`].
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
pub type Main = fn(InitialStack) -> c_int;

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
            let start: $crate::program_entry::Main = $start;
            // SAFETY: libc calls main once, with the arrays that the kernel laid on the stack.
            start(unsafe { $crate::program_entry::InitialStack::from_raw(argv, envp) })
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wiped_environment_is_zeroes() {
        let mut block = *b"KEY=secret\0odd\0\0A=1\0";
        let begin: *mut u8 = block.as_mut_ptr();
        let array = [0, 11, 15, 16].map(|offset| begin.wrapping_add(offset).cast::<c_char>().cast_const());
        let array = [array[0], array[1], array[2], array[3], std::ptr::null()];
        let none = [std::ptr::null()];
        // SAFETY: NULL-terminated arrays of NUL-terminated strings that outlive their last use.
        let start = unsafe { InitialStack::from_raw(none.as_ptr(), array.as_ptr()) };
        assert_eq!(start.environment.variables(), [c"KEY=secret", c"odd", c"", c"A=1"]);
        start.environment.wipe();
        // SAFETY: read where it was written.
        assert_eq!(unsafe { std::slice::from_raw_parts(begin, block.len()) }, [0; 20]);
    }
}

//! The only `unsafe` and the only raw libc of the program: small safe functions with newtypes.
//!
//! Nothing here decides anything. A function is one system call, its arguments checked by types, its answer an [`Errno`] or a
//! value. Output buffers are poisoned before the call, so that a call that says 0 and writes nothing (a seccomp filter that
//! returns `ERRNO(0)`, a ptrace sandbox) is seen as what it is.
#![allow(unsafe_code)]

pub mod children;
pub mod clock;
pub mod credentials;
mod descriptor;
pub mod device;
pub mod entries;
pub mod entry;
pub mod errno;
pub mod filesystem;
pub mod fs;
pub mod ids;
pub mod in_child;
pub mod io;
pub mod landlock;
pub mod memory;
pub mod process;
pub mod random;
pub mod seccomp;
pub mod secret;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod terminal;
pub mod wait;
pub mod watchdog;

pub use errno::Errno;
pub use ids::{GroupId, ProcessId, UserId};
pub use signal::{Signal, SignalSet};

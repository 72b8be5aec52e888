//! The only `unsafe` and the only system calls of the program, as safe functions with newtypes. nix or std makes a call
//! where it makes just that one; by hand stay those that neither has, or whose answer must be seen to be the kernel's.
//!
//! A function is one system call, its arguments checked by types, its answer an [`Errno`] or a value. Where a privilege
//! hangs on the answer its buffer is poisoned before, so that a call that says 0 and writes nothing (a seccomp filter
//! that returns `ERRNO(0)`, a ptrace sandbox) is seen as what it is. Three files are more than calls, since what is
//! between fork or clone and exec may not allocate or return: `spawn` prepares COMMAND's child and enforces its
//! sandbox, `forked_task` becomes a user for a piece of work, `limits` prepares a scanner.
#![allow(unsafe_code)]

pub mod clock;
pub mod credentials;
mod descriptor;
pub mod device;
pub mod entries;
pub mod entry;
pub mod errno;
pub mod filesystem;
pub mod forked_task;
pub mod fs;
pub mod handover;
pub mod ids;
pub mod io;
pub mod landlock;
pub mod limits;
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

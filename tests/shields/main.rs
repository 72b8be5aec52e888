//! The shields for real: what `init` finds in containers and network namespaces, what it refuses a start for, and what the two locks around
//! COMMAND, its own and the engine's profile, take away and leave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod confine;
mod gpu;
mod network;
mod posture;
mod seccomp;
mod seen;

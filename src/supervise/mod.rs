//! COMMAND's life: its start, the signals that reach it, its orphans, its end and its leftovers.
//!
//! From the spawn on nothing may end this process but the end of COMMAND: no `?`, no panic, no allocation; a kernel
//! that answers oddly is told of and lived with. Between COMMAND's end and its next start (TAKUMI_REBOOT) nobody is
//! there to lose.

pub mod child;
pub mod drain;
pub mod exit_reason;
pub mod last_resort;
pub mod lifecycle;
pub mod restart_marker;
pub mod run;

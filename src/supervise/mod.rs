//! COMMAND's life: its birth, the signals that reach it, its orphans, its end and its leftovers.
//!
//! From the spawn on nothing may end this process but the end of COMMAND: no `?`, no panic, no allocation; a kernel that answers
//! oddly is told of and lived with.

pub mod child;
pub mod epitaph;
pub mod last_resort;
pub mod lifecycle;
pub mod run;

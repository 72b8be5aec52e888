//! The identity and file shields in real containers: each check where it is held and where it is not, the report of a start, what
//! a start is refused for, and the file that it leaves for the probe.
//!
//! Each test is skipped, with a line that says so, where no container engine answers or scripts/build.sh has not been run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../container/engine.rs"]
mod engine;
#[allow(dead_code)]
#[path = "../container/start.rs"]
mod start;

mod file;
mod identity;
mod proc;
mod refusal;
mod rootless;
mod seen;
mod state;
mod words;

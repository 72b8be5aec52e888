//! Custom nodes before COMMAND runs: real Bandit over small nodes of our own, well-behaved, miner-like but inert, and hostile to
//! scanners; in the image that scripts/build.sh makes, and by itself, beside a port of it.
//!
//! Each test is skipped, with a line that says so, where no container engine answers, scripts/build.sh has not been run, or pip
//! cannot have the scanners.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../container/engine.rs"]
mod engine;
#[allow(dead_code)]
#[path = "../container/start.rs"]
mod start;

mod bandit;
mod node;
mod outcomes;
mod restart;
mod same;
mod scanners;
mod starts;
mod verbs;
mod world;

//! The network shield: the egress proxy with its list and its packet filter, the gateway, and the compose file that joins them,
//! in real containers on networks of the test's own.
//!
//! "The internet" is 203.0.113.0/24 (TEST-NET-3) on a bridge; nothing leaves the machine. Skipped where scripts/build.sh has not been run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../container/engine.rs"]
#[allow(dead_code)]
mod engine;

mod attempts;
mod filter;
mod gateway;
mod lists;
mod proxy;
mod refusals;
mod stack;
mod world;

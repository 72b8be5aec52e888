//! `init --check`, against real processes: in pid namespaces of its own, and in real containers.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod containers;
#[allow(dead_code)]
#[path = "../container/engine.rs"]
mod engine;
mod exits;
mod hostile;
mod inside;
mod privileges;
mod required;
mod server;
#[allow(dead_code)]
#[path = "../container/start.rs"]
mod start;
mod states;
mod trust;

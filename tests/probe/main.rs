//! `init --check`, against real processes: in pid namespaces of its own, and in real containers.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod containers;
mod exits;
mod hostile;
mod inside;
mod privileges;
mod required;
mod server;
mod states;
mod trust;

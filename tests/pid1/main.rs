//! PID 1: how it behaves beside tini and dumb-init, what it does when the kernel refuses or lies, and its life in a container to the end.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod behaviours;
mod container;
mod injection;
mod stopping;

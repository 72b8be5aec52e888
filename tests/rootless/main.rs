//! scripts/setup_rootless.sh: what it sees, what it changes, that it takes it back, and a real rootless engine at the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
mod install;
mod real;
mod support;

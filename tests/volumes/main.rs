//! Volumes: whose they are after a start, and the engines of ordinary users, on which they are the host user's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ownership;
mod rootless;

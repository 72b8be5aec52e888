//! `init` in real containers: hardened as scripts/up.sh starts them, beside the classic stack of tini, entrypoint.sh and gosu.
//!
//! Each test is skipped, with a line that says so, where no container engine answers or scripts/build.sh has not been run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod engine;
mod identity;
mod manners;
mod podman;
mod scripts;
mod start;
mod stopping;
mod volumes;

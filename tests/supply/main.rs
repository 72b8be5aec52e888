//! Where the binary comes from and what is in it: the list of crates, the scan, builds that repeat, and the linters of all that is not Rust.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crates;
mod lint;
mod repeat;
mod scan;
mod tools;

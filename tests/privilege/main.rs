//! What COMMAND may not do: what is left of root after the drop, and what a malicious node comes to that tries everything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacker;
mod drop;

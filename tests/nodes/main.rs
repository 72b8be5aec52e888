//! Custom nodes before COMMAND runs: real Bandit over small nodes of our own, well-behaved, miner-like but inert, and hostile to
//! scanners; in the image that scripts/build.sh makes, and by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bandit;
mod node;
mod outcomes;
mod program;
mod rules;
mod scanners;
mod starts;
mod verbs;
mod world;

//! The house as its design draws it: arrows between the rooms of `src/` point down, and none leads back to where it began.
//!
//! `cargo test --test house -- --nocapture` shows the picture.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod graph;
mod layers;
mod pages;
mod source;

//! scripts/up.sh and scripts/build.sh: the whole stack on each kind of engine, the image that it runs, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod build;
mod compose;
#[allow(dead_code)]
#[path = "../container/engine.rs"]
mod engine;
mod image;
mod refusals;
mod rootful;
mod rootless;
mod stack;
#[allow(dead_code)]
#[path = "../rootless/support.rs"]
mod support;

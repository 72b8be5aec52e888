//! Secrets from files to COMMAND and nowhere else: real starts of `init` with .env files, keys and secret files, the hunt for the
//! key afterwards, and the tool behind scripts/secrets.sh.
//!
//! `vectors/` was written by dotenvx itself, with throw-away keys.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../container/engine.rs"]
#[allow(dead_code)]
mod engine;
#[path = "../container/start.rs"]
#[allow(dead_code)]
mod start;
#[path = "../injection/world.rs"]
#[allow(dead_code)]
mod world;

mod container;
mod files;
mod hunt;
mod key_is_nowhere;
mod keys;
mod refusals;
mod support;
mod tool;
mod values;

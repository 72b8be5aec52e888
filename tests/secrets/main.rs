//! Secrets from files to COMMAND and nowhere else: real starts of `init` with .env files, keys and secret files, the hunt for the
//! key afterwards, and the tool that writes the files.
//!
//! `vectors/` was written by dotenvx itself, with throw-away keys.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod container;
mod files;
mod key_is_nowhere;
mod keys;
mod refusals;
mod support;
mod terminal;
mod tool;
mod values;

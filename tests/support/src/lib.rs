//! What the tests share: container engines and what is made in them, images that are built once a run, namespaces, reports, polling,
//! temporary folders, users of the machine, and what a test needs in order to run at all.
//!
//! ```ignore
//! #[test]
//! fn a_code_is_the_apps_own() {
//!     require!(demo);
//!     assert_eq!(Start::hardened(&Image::demo()).fresh_data().shell("exit 7").run().code, 7);
//! }
//! ```
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod container;
pub mod devices;
pub mod engine;
pub mod folder;
pub mod hunt;
pub mod image;
pub mod level;
pub mod namespace;
pub mod podman;
pub mod poll;
pub mod program;
pub mod pty;
pub mod report;
pub mod requirement;
pub mod signal;
pub mod spec;
pub mod state;
pub mod subnet;
pub mod sweep;
pub mod torch;
pub mod tun;
pub mod user;
pub mod wheels;

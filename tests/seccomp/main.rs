//! image/seccomp.json: what it takes away is gone, and what ComfyUI, its nodes and `init` do goes on.
//!
//! calls.py makes each removed call, work.py does a day's work; both run in the demonstration image.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../container/engine.rs"]
#[allow(dead_code)]
mod engine;
#[path = "../container/start.rs"]
#[allow(dead_code)]
mod start;

mod calls;
mod generated;
mod landlock;
mod starts;
mod work;

use engine::Folder;
use std::path::{Path, PathBuf};

/// The profile.
const PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/seccomp.json");

/// The programs of these tests.
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seccomp");

/// The words that put a container behind a profile.
fn behind(profile: &str) -> [String; 2] {
    ["--security-opt".to_owned(), format!("seccomp={profile}")]
}

/// The profile with its text changed, in a folder that goes with the value: for controls.
struct Changed {
    _folder: Folder,
    path: PathBuf,
}

impl Changed {
    fn new(change: impl Fn(&str) -> String) -> Changed {
        let folder = Folder::new();
        let path = folder.0.join("seccomp.json");
        let text = std::fs::read_to_string(PROFILE).unwrap();
        let changed = change(&text);
        assert_ne!(changed, text, "nothing was changed");
        std::fs::write(&path, changed).unwrap();
        Changed { _folder: folder, path }
    }
}

/// A read-only bind mount.
fn bind(from: &Path, to: &str) -> [String; 2] {
    ["--volume".to_owned(), format!("{}:{to}:ro", from.display())]
}

//! image/seccomp.json: what it takes away is gone, and what ComfyUI, its nodes and `init` do goes on.
//!
//! calls.py makes each removed call, work.py does a day's work.

mod calls;
mod generated;
mod landlock;
mod packages;
mod starts;
mod work;

use std::path::PathBuf;
use takumi_test::folder::Folder;

/// The profile.
const PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/seccomp.json");

/// The programs of these tests.
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shields/seccomp");

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

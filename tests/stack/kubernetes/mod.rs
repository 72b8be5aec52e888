//! image/kubernetes.yaml and image/kubernetes-restricted.yaml: valid for the API, within Pod Security, closed, and run by Podman.
//!
//! No cluster is here. Podman 4.3 runs ComfyUI's Pod alone, with the stand-in's image: it knows no NetworkPolicy, no Service, no Secret
//! volume, no fsGroup, makes of every emptyDir a folder on disk, and runs no probe but the liveness probe, and that one only when asked.

mod podman;
mod schema;
mod security;
mod stack;

use crate::python::python;
use std::path::PathBuf;
use takumi_test::folder::Folder;
use takumi_test::program::REPOSITORY;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/kubernetes.yaml");
const RESTRICTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/kubernetes-restricted.yaml");

/// What manifest.py prints.
#[track_caller]
fn manifest(words: &[&str]) -> String {
    let program = format!("{REPOSITORY}/tests/stack/kubernetes/manifest.py");
    python(&[&[program.as_str()], words].concat()).ends_with(0).stdout
}

/// What manifest.py prints of each file.
#[track_caller]
fn of_each(words: &[&str], files: &[&str]) -> Vec<String> {
    let said = manifest(&[words, files].concat());
    let each: Vec<String> = said.split_terminator("--\n").map(str::to_owned).collect();
    assert_eq!(each.len(), files.len(), "{said}");
    each
}

/// A manifest with its first `from` made `to`: for controls.
struct Broken {
    _folder: Folder,
    path: PathBuf,
}

impl Broken {
    fn new(manifest: &str, from: &str, to: &str) -> Broken {
        let text = std::fs::read_to_string(manifest).unwrap();
        assert!(text.contains(from), "no '{from}' in {manifest}");
        let folder = Folder::new();
        let path = folder.join("broken.yaml");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        Broken { _folder: folder, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

//! image/kubernetes.yaml and image/kubernetes-restricted.yaml: valid for the API, within Pod Security, closed, and run by Podman.
//!
//! No cluster is here. Podman 4.3 runs ComfyUI's Pod alone, with the stand-in's image: it knows no NetworkPolicy, no Service, no Secret
//! volume, no fsGroup, makes of every emptyDir a folder on disk, and runs no probe but the liveness probe, and that one only when asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../container/engine.rs"]
#[allow(dead_code)]
mod engine;

mod podman;
mod python;
mod schema;
mod security;
mod stack;

use engine::Folder;
use std::path::PathBuf;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/kubernetes.yaml");
const RESTRICTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/kubernetes-restricted.yaml");

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
        let path = folder.0.join("broken.yaml");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        Broken { _folder: folder, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

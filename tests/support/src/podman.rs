//! Podman beside the engine: `require!(podman, runc)`. It runs without systemd, and names the limits that it may not be allowed to give.

use crate::container::Start;
use crate::engine::ask;
use crate::folder::{Folder, fresh_name};
use crate::image::Image;
use crate::program::{Ended, run};
use std::process::Command;

/// Runs Podman to its end.
#[track_caller]
pub fn podman(words: &[&str]) -> Ended {
    run(Command::new("podman").args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"]).args(words))
}

/// An image of the engine's in Podman's store; it goes with the value.
pub struct Loaded<'a>(&'a Image);

impl<'a> Loaded<'a> {
    /// Loads it.
    #[track_caller]
    pub fn new(image: &'a Image) -> Loaded<'a> {
        let folder = Folder::new();
        let archive = folder.join("image.tar");
        ask(&["save", "--output", archive.to_str().unwrap(), &image.name]);
        podman(&["load", "--quiet", "--input", archive.to_str().unwrap()]).ends_with(0);
        Loaded(image)
    }

    /// Starts a container of it, with `options` of Podman's.
    #[track_caller]
    pub fn run(&self, options: &[&str], start: &Start) -> (Pod, Ended) {
        let pod = Pod { name: fresh_name("podman") };
        let own = ["run", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"];
        let words = start.words(&pod.name);
        let words: Vec<&str> = own.iter().chain(options).copied().chain(words.iter().map(String::as_str)).collect();
        let ended = podman(&words);
        (pod, ended)
    }
}

impl Drop for Loaded<'_> {
    fn drop(&mut self) {
        podman(&["image", "rm", "--force", &self.0.name]);
    }
}

/// A container of Podman's; it goes with the value.
pub struct Pod {
    /// Its name.
    pub name: String,
}

impl Drop for Pod {
    fn drop(&mut self) {
        podman(&["rm", "--force", "--volumes", &self.name]);
    }
}

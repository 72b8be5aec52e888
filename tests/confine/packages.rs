//! Real packages under the lock: pip, numpy, Pillow, ffmpeg and git in ComfyUI's own image; PyTorch, its compiler and Triton's in an image of
//! theirs.

use crate::engine::{Image, ask, engine};
use crate::start::Start;
use crate::{torch, wheels};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/confine/programs");
const COMFYUI: &str = "takumi-comfyui";

fn list(name: &str) -> [PathBuf; 1] {
    [Path::new(PROGRAMS).join(name)]
}

fn or_skip(kept: Result<PathBuf, String>) -> Option<PathBuf> {
    kept.map_err(|reason| println!("skipped: {reason}")).ok()
}

/// COMMAND does its work without the lock, with it, and with all of it.
#[track_caller]
fn work<'a>(start: impl Fn() -> Start<'a>, command: &[&str]) {
    let programs = format!("{PROGRAMS}:/programs:ro");
    let mut filters = Vec::new();
    for confine in ["off", "auto", "strict"] {
        let start = start().fresh_data().options(&["-v", "/cache", "-v", &programs, "--network", "none"]);
        // With a proxy, ports are closed too.
        let start = start.env("http_proxy", "http://127.0.0.1:8888").env("TAKUMI_EGRESS", "off");
        let start = start.env("TAKUMI_CONFINE", confine).env("TAKUMI_LOG", "warn").command(command);
        let container = start.spawn();
        // A compiler takes a loaded machine longer than a test's patience.
        ask(&["wait", &container.name]);
        let ended = container.end();
        assert!(ended.code == 0 && ended.stdout.ends_with("done\n"), "{confine}: {ended:?}");
        let count = ended.stdout.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
        filters.push(count.unwrap_or_else(|| panic!("{ended:?}")).trim().parse::<u32>().unwrap());
    }
    assert_eq!(filters[1..], [filters[0] + 1; 2], "the lock was not on");
}

#[test]
fn pip_numpy_pillow_ffmpeg_and_git_work() {
    if !engine(&["image", "inspect", COMFYUI]).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no image {COMFYUI}: run scripts/build.sh");
        return;
    }
    let Some(wheels) = or_skip(wheels::wheels("confine-wheels", COMFYUI, &list("packages.txt"))) else { return };
    let image = ManuallyDrop::new(Image { name: COMFYUI.into() });
    let init = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
    let mounts = [format!("{}:/wheels:ro", wheels.display()), format!("{init}:/init:ro")];
    let start = || Start::hardened(&image).options(&["-v", &mounts[0], "-v", &mounts[1]]);
    work(start, &["bash", "/programs/packages.sh"]);
}

#[test]
fn pytorch_works_and_compiles() {
    let Some(image) = torch::image() else { return };
    work(|| torch::start(&image), &["python3", "/programs/torch_work.py"]);
}

#[test]
fn triton_compiles() {
    let Some(image) = torch::image() else { return };
    let Some(triton) = or_skip(wheels::unpacked("triton", &image.name, &list("triton.txt"))) else { return };
    let triton = format!("{}:/triton:ro", triton.display());
    let start = || torch::start(&image).options(&["-v", &triton, "--env", "PYTHONPATH=/triton"]);
    work(start, &["python3", "/programs/triton_work.py"]);
}

//! Real packages under the lock: pip, numpy, Pillow, ffmpeg and git in ComfyUI's own image; PyTorch, its compiler and Triton's in an image of
//! theirs.

use std::path::{Path, PathBuf};
use takumi_test::container::Start;
use takumi_test::image::{Image, comfyui};
use takumi_test::program::init;
use takumi_test::{require, torch, wheels};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shields/confine/programs");

fn list(name: &str) -> [PathBuf; 1] {
    [Path::new(PROGRAMS).join(name)]
}

/// ComfyUI's image under the binary under test, with the wheels of packages.txt at /wheels: `require!(comfyui, pip3)`.
#[track_caller]
pub fn with_wheels(image: &Image) -> Start<'_> {
    let wheels = wheels::wheels("confine-wheels", &image.name, &list("packages.txt")).unwrap();
    let mounts = [format!("{}:/wheels:ro", wheels.display()), format!("{}:/init:ro", init().display())];
    Start::hardened(image).options(&["-v", &mounts[0], "-v", &mounts[1]])
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
        let ended = start.run();
        assert!(ended.code == 0 && ended.stdout.ends_with("done\n"), "{confine}: {ended:?}");
        let count = ended.stdout.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
        filters.push(count.unwrap_or_else(|| panic!("{ended:?}")).trim().parse::<u32>().unwrap());
    }
    assert_eq!(filters[1..], [filters[0] + 1; 2], "the lock was not on");
}

#[test]
fn pip_numpy_pillow_ffmpeg_and_git_work() {
    require!(landlock, comfyui, pip3);
    let image = Image { name: comfyui() };
    work(|| with_wheels(&image), &["bash", "/programs/packages.sh"]);
}

#[test]
fn pytorch_works_and_compiles() {
    require!(landlock, torch, comfyui);
    let image = torch::image();
    work(|| torch::start(&image), &["python3", "/programs/torch_work.py"]);
}

#[test]
fn triton_compiles() {
    require!(landlock, torch, comfyui, pip3);
    let image = torch::image();
    let triton = wheels::unpacked("triton", &image.name, &list("triton.txt")).unwrap();
    let triton = format!("{}:/triton:ro", triton.display());
    let start = || torch::start(&image).options(&["-v", &triton, "--env", "PYTHONPATH=/triton"]);
    work(start, &["python3", "/programs/triton_work.py"]);
}

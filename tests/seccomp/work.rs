//! Threads, processes, shared memory, pip, numpy, ffmpeg and git behind the profile, as the app's user.

use crate::engine::{Ended, Image, ask, fresh_name};
use crate::start::Start;
use crate::{Changed, PROFILE, PROGRAMS, behind, bind};
use std::path::{Path, PathBuf};
use std::process::Command;

fn work(image: &Image, profile: &str, options: &[String], arguments: &[&str]) -> Ended {
    let options = [&behind(profile)[..], &bind(Path::new(PROGRAMS), "/programs")[..], options].concat();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let start = Start::hardened(image).fresh_data().options(&options);
    let container = start.command(&[&["python3", "/programs/work.py"], arguments].concat()).spawn();
    // To unpack and to run all of it takes a loaded machine longer than a test's patience.
    ask(&["wait", &container.name]);
    container.end()
}

#[test]
fn a_days_work_goes_on() {
    let Some(image) = Image::demo() else { return };
    let ended = work(&image, PROFILE, &[], &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.stdout.lines().filter(|line| line.starts_with("ok ")).count(), 10, "{ended:?}");
}

#[test]
fn work_fails_behind_a_profile_that_is_too_narrow() {
    let Some(image) = Image::demo() else { return };
    // EPERM in place of ENOSYS is what broke pthread_create when clone3 was new: moby#42681.
    let rule = "\"clone3\"\n   ],\n   \"action\": \"SCMP_ACT_ERRNO\",\n   \"errnoRet\": ";
    let narrow = Changed::new(|text| text.replace(&format!("{rule}38"), &format!("{rule}1")));
    let ended = work(&image, narrow.path.to_str().unwrap(), &[], &[]);
    assert!(ended.code == 1 && ended.stdout.contains("failed threads: "), "control: {ended:?}");
}

#[test]
fn pip_numpy_ffmpeg_and_git_work() {
    let Some(image) = Image::demo() else { return };
    let Some(mut options) = wheels(&image) else { return };
    let Some(borrowed) = borrowed(&image) else { return };
    options.extend(borrowed);
    let ended = work(&image, PROFILE, &options, &["--git"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for part in ["pip", "numpy", "ffmpeg", "git"] {
        assert!(ended.stdout.contains(&format!("ok {part}\n")), "{ended:?}");
    }
}

/// Wheels for the image's Python, fetched once.
fn wheels(image: &Image) -> Option<Vec<String>> {
    let version = python(image, "import sys; print('%d.%d' % sys.version_info[:2])");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("wheels-{version}"));
    if !folder.exists() {
        let fetching = Path::new(env!("CARGO_TARGET_TMPDIR")).join(fresh_name("wheels"));
        let pip = Command::new("pip3")
            .args(["download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--no-deps"])
            .args(["--python-version", &version, "--dest"])
            .arg(&fetching)
            .args(["pip", "numpy", "imageio-ffmpeg"])
            .output();
        let fetched = pip.as_ref().is_ok_and(|pip| pip.status.success());
        if !fetched {
            let _ = std::fs::remove_dir_all(&fetching);
            println!("skipped: pip3 cannot fetch wheels: {pip:?}");
            return None;
        }
        std::fs::rename(&fetching, &folder).unwrap();
    }
    Some(bind(&folder, "/wheels").to_vec())
}

/// This machine's git, and its libstdc++ for numpy: the image has neither. They fit only into an image of the same release.
fn borrowed(image: &Image) -> Option<Vec<String>> {
    let codename = "import platform; print(platform.freedesktop_os_release().get('VERSION_CODENAME'))";
    let here = Command::new("python3").args(["-c", codename]).output().unwrap();
    if String::from_utf8_lossy(&here.stdout).trim_end() != python(image, codename) {
        println!("skipped: git of this machine is of another system than the image");
        return None;
    }
    let mut options = Vec::new();
    for path in ["/usr/bin/git", "/usr/lib/git-core", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"] {
        let Ok(real) = PathBuf::from(path).canonicalize() else {
            println!("skipped: no {path} on this machine");
            return None;
        };
        options.extend(bind(&real, path));
    }
    Some(options)
}

fn python(image: &Image, program: &str) -> String {
    let name = fresh_name("python");
    ask(&["run", "--rm", "--name", &name, "--network", "none", "--entrypoint", "python3", &image.name, "-c", program])
}

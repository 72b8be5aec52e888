//! ComfyUI's Pod as far as Podman goes, with the stand-in's image.

use super::{Broken, RESTRICTED, ROOT, manifest};
use serde_json::Value;
use std::fs::{File, Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use takumi_test::engine::ask;
use takumi_test::folder::{Folder, fresh_name};
use takumi_test::image::Image;
use takumi_test::poll::eventually;
use takumi_test::program::{Ended, run};
use takumi_test::require;

/// The engine, with limits that a host may be allowed to give: `kube play` has no option for them. Without systemd nobody would run the
/// liveness probe by itself; the tests ask for it.
fn podman(limits: &Path, words: &[&str]) -> Ended {
    let mut podman = Command::new("podman");
    podman.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"]).args(words);
    run(podman.env("CONTAINERS_CONF", limits).env("DISABLE_HC_SYSTEMD", "true"))
}

/// The demonstration image in Podman's store; removed with the value, and Podman's own image for Pods where it was not there before.
struct Loaded {
    name: String,
    limits: PathBuf,
    pause_images: String,
    folder: Folder,
    /// One after the other, those of another checkout too: Podman's image for Pods is everybody's.
    _alone: File,
}

impl Loaded {
    fn new() -> Loaded {
        let image = Image::demo();
        let alone = File::create(std::env::temp_dir().join("takumi-test-lock-podman")).unwrap();
        alone.lock().unwrap();
        let folder = Folder::new();
        let limits = folder.join("containers.conf");
        std::fs::write(&limits, "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n")
            .unwrap();
        let archive = folder.join("image.tar");
        ask(&["save", "--output", archive.to_str().unwrap(), &image.name]);
        let pause_images = pause_images(&limits);
        let loaded = Loaded { name: image.name, limits, pause_images, folder, _alone: alone };
        podman(&loaded.limits, &["load", "--quiet", "--input", archive.to_str().unwrap()]).ends_with(0);
        loaded
    }
}

fn pause_images(limits: &Path) -> String {
    let list = podman(limits, &["images", "--quiet", "--filter", "reference=localhost/podman-pause"]);
    list.stdout.trim().to_owned()
}

impl Drop for Loaded {
    fn drop(&mut self) {
        podman(&self.limits, &["image", "rm", "--force", &self.name]);
        if self.pause_images.is_empty() {
            for image in pause_images(&self.limits).lines() {
                // In use by somebody's Pod, it stays.
                podman(&self.limits, &["image", "rm", image]);
            }
        }
    }
}

/// ComfyUI's Pod of a manifest; removed with the value.
struct Pod<'a> {
    image: &'a Loaded,
    file: PathBuf,
    name: String,
    container: String,
}

impl<'a> Pod<'a> {
    /// `group` may read the secret beside root, and owns the volumes: what the kubelet makes of fsGroup. 0 is no group.
    fn play(image: &'a Loaded, kubernetes: &str, group: u32) -> Pod<'a> {
        let name = fresh_name("play");
        let secrets = image.folder.join(format!("{name}-secrets"));
        std::fs::create_dir(&secrets).unwrap();
        std::fs::write(secrets.join("HF_TOKEN"), "hf_of_the_test").unwrap();
        chown(secrets.join("HF_TOKEN"), Some(0), Some(group)).unwrap();
        let mode = if group == 0 { 0o400 } else { 0o440 };
        set_permissions(secrets.join("HF_TOKEN"), Permissions::from_mode(mode)).unwrap();

        // Podman gives a volume to the image's owner of the folder when it is first mounted, so it is mounted once before.
        let given: &[&str] = if group == 0 { &[] } else { &["data", "cache"] };
        for volume in given {
            let volume = format!("{name}-{volume}");
            let mount = format!("{volume}:/{volume}");
            let words = ["run", "--rm", "--name", &volume, "--network", "none", "--volume", &mount];
            podman(&image.limits, &[&words[..], &["--entrypoint", "true", &image.name]].concat()).ends_with(0);
            let inspect = podman(&image.limits, &["volume", "inspect", "--format", "{{.Mountpoint}}", &volume]);
            let folder = PathBuf::from(inspect.stdout.trim());
            chown(&folder, Some(0), Some(group)).unwrap();
            set_permissions(&folder, Permissions::from_mode(0o2775)).unwrap();
        }

        let reference = format!("localhost/{}:latest", image.name);
        let mut words = vec!["play", kubernetes, &reference, &name, secrets.to_str().unwrap()];
        words.extend((!given.is_empty()).then_some("without claims"));
        let text = manifest(&words);
        let file = image.folder.join(format!("{name}.yaml"));
        std::fs::write(&file, text).unwrap();
        let container = format!("{name}-comfyui-pod-0-comfyui");
        let pod = Pod { image, file, name, container };
        podman(&image.limits, &["kube", "play", "--network", "none", pod.file.to_str().unwrap()]).ends_with(0);
        pod
    }

    fn exec(&self, options: &[&str], command: &[&str]) -> Ended {
        podman(&self.image.limits, &[&["exec"], options, &[self.container.as_str()], command].concat())
    }

    fn log(&self) -> String {
        podman(&self.image.limits, &["logs", &self.container]).text()
    }

    /// What the kernel says of PID 1 and of the app, told by the app.
    fn identity(&self) -> Value {
        let ask =
            "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8188/identity').read().decode())";
        eventually("the app's answer", || {
            let answer = self.exec(&[], &["python3", "-c", ask]);
            let state = podman(&self.image.limits, &["inspect", "--format", "{{.State.Running}}", &self.container]);
            assert_eq!(state.stdout.trim(), "true", "the app ended: {}", self.log());
            (answer.code == 0).then(|| serde_json::from_str(&answer.stdout).unwrap())
        })
    }

    /// The probe of the manifest, as Podman's health check.
    fn probe(&self) {
        let healthy = || podman(&self.image.limits, &["healthcheck", "run", &self.container]);
        eventually("a healthy answer", || (healthy().code == 0).then_some(()));
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        podman(&self.image.limits, &["kube", "down", self.file.to_str().unwrap()]);
        let list = podman(&self.image.limits, &["volume", "ls", "--quiet", "--filter", &format!("name={}", self.name)]);
        for volume in list.stdout.lines() {
            podman(&self.image.limits, &["volume", "rm", "--force", volume]);
        }
    }
}

/// Nobody in particular, in both processes.
#[track_caller]
fn expect_nobody(identity: &Value) {
    for process in ["pid1", "app"] {
        let process = &identity[process];
        for (field, value) in [
            ("Uid", "1000\t1000\t1000\t1000"),
            ("Gid", "1000\t1000\t1000\t1000"),
            ("CapInh", "0000000000000000"),
            ("CapPrm", "0000000000000000"),
            ("CapEff", "0000000000000000"),
            ("CapBnd", "0000000000000000"),
            ("CapAmb", "0000000000000000"),
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
        ] {
            assert_eq!(process[field], value, "{field}: {identity}");
        }
    }
}

const CHECKS: &str = "
import os, sys
app = sys.argv[1]
environment = dict(pair.split(b'=', 1) for pair in open(f'/proc/{app}/environ', 'rb').read().split(b'\\0') if b'=' in pair)
print('token', environment[b'HF_TOKEN'].decode(), b'HF_TOKEN_FILE' in environment)
for folder in ('/', '/state', '/data', '/cache', '/tmp'):
    try:
        open(f'{folder}/file', 'w').close()
        print(folder, 'written')
    except OSError as error:
        print(folder, error.strerror)
try:
    print('secret', open('/secrets/HF_TOKEN').read())
except OSError as error:
    print('secret', error.strerror)
";

#[test]
fn the_root_variant_runs() {
    require!(demo, root, podman, catatonit, runc, python3, pip3);
    let image = Loaded::new();
    let pod = Pod::play(&image, ROOT, 0);
    let identity = pod.identity();
    expect_nobody(&identity);
    let app = identity["app"]["pid"].to_string();
    let checks = pod.exec(&["--user", "1000"], &["python3", "-c", CHECKS, &app]);
    let expected = "token hf_of_the_test False\n/ Read-only file system\n/state Permission denied\n/data written\n/cache written\n\
                    /tmp written\nsecret Permission denied\n";
    assert_eq!(checks.text(), expected, "{}", pod.log());
    pod.probe();
}

#[test]
fn the_restricted_variant_runs() {
    require!(demo, root, podman, catatonit, runc, python3, pip3);
    let image = Loaded::new();
    let pod = Pod::play(&image, RESTRICTED, 1000);
    let identity = pod.identity();
    expect_nobody(&identity);
    let app = identity["app"]["pid"].to_string();
    let checks = pod.exec(&["--user", "1000"], &["python3", "-c", CHECKS, &app]);
    let expected = "token hf_of_the_test False\n/ Read-only file system\n/state No such file or directory\n/data written\n/cache written\n\
                    /tmp written\nsecret hf_of_the_test\n";
    assert_eq!(checks.text(), expected, "{}", pod.log());
    pod.probe();
}

#[test]
fn a_writable_root_is_seen() {
    require!(demo, root, podman, catatonit, runc, python3, pip3);
    let image = Loaded::new();
    let broken = Broken::new(ROOT, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false");
    let pod = Pod::play(&image, broken.path(), 0);
    let app = pod.identity()["app"]["pid"].to_string();
    let checks = pod.exec(&["--user", "1000"], &["python3", "-c", CHECKS, &app]).text();
    assert!(checks.contains("\n/ Permission denied\n"), "control: {checks}");
}

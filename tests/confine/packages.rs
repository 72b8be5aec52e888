//! Real packages under the lock: pip, numpy, Pillow and git, in ComfyUI's own image.

use crate::engine::{Container, Folder, ask, engine, fresh_name};
use std::process::Command;

const IMAGE: &str = "takumi-comfyui";
const WORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/confine/packages.sh");

#[test]
fn pip_numpy_pillow_and_git_work() {
    if !engine(&["image", "inspect", IMAGE]).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no image {IMAGE}: run scripts/build.sh");
        return;
    }
    let version = "import sys; print('%d.%d' % sys.version_info[:2])";
    let version =
        ask(&["run", "--rm", "--name", &fresh_name("version"), "--entrypoint", "python3", IMAGE, "-c", version]);
    let wheels = Folder::new();
    let fetched = Command::new("pip")
        .args(["download", "--quiet", "--only-binary", ":all:", "--no-deps", "--python-version", &version, "--dest"])
        .arg(&wheels.0)
        .args(["numpy", "pillow"])
        .output();
    if !fetched.is_ok_and(|output| output.status.success()) {
        println!("skipped: pip cannot fetch numpy and pillow here");
        return;
    }
    let init = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
    for confine in ["off", "auto", "strict"] {
        let container = Container { name: fresh_name("packages") };
        let mounts =
            [format!("{init}:/init:ro"), format!("{}:/wheels:ro", wheels.0.display()), format!("{WORK}:/work.sh:ro")];
        let mut words =
            vec!["run", "--name", &container.name, "--read-only", "--network", "none", "-v", "/data", "-v", "/cache"];
        words.extend([
            "--tmpfs",
            "/tmp:rw,nosuid,nodev,noexec,size=256m,mode=1777",
            "--tmpfs",
            "/run:rw,nosuid,nodev,noexec,size=16m",
        ]);
        mounts.iter().for_each(|mount| words.extend(["-v", mount.as_str()]));
        let setting = format!("TAKUMI_CONFINE={confine}");
        words.extend([
            "-e",
            &setting,
            "-e",
            "TAKUMI_LOG=warn",
            "-e",
            "http_proxy=http://127.0.0.1:8888",
            "-e",
            "TAKUMI_EGRESS=off",
        ]);
        words.extend([IMAGE, "bash", "/work.sh"]);
        let output = engine(&words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.ends_with("done\n"), "{confine}: {output:?}");
    }
}

//! In a user namespace of an ordinary user, as a rootless engine makes it: nobody can make a node there, so nodes are mounted, and
//! no device cgroup is set.

use crate::engine::Folder;
use crate::stand_in::{Finding, NVIDIA, Nodes, Number, OPEN, finding};
use std::process::Command;

/// The ordinary user of the host.
const USER: &str = "4242";

/// What `init --report --json` says there of nodes with this number, mode and group.
fn seen(number: Number, mode: u32, group: u32, id: &str) -> Option<Finding> {
    if !may_mount() {
        println!("skipped: no user namespaces here, or no root to make nodes");
        return None;
    }
    let init = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
    let nodes = Nodes::of(&["nvidia0"], number).mode(mode, group);
    let copy = Folder::new();
    std::fs::copy(&init, copy.0.join("init")).unwrap();
    let line = format!(
        "mount -t tmpfs none /dev && touch /dev/nvidia0 && mount --bind {}/nvidia0 /dev/nvidia0 && exec {}/init --report --json",
        nodes.folder.0.display(),
        copy.0.display()
    );
    let output = as_user(&["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", &line])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TAKUMI_USER", "0:0")
        .output()
        .unwrap();
    assert!(!output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(finding(&String::from_utf8_lossy(&output.stdout), id))
}

fn as_user(words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--groups", USER]).args(words);
    command
}

fn may_mount() -> bool {
    let tried = as_user(&["unshare", "--user", "--map-root-user", "--mount", "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}

#[test]
fn a_mounted_node_opens_without_any_device_cgroup() {
    let Some(access) = seen(OPEN, 0o666, 0, "gpu-access") else { return };
    access.expect("held", "uid 0 can open /dev/nvidia0", "");
    let Some(access) = seen(NVIDIA, 0o666, 0, "gpu-access") else { return };
    access.expect("missing", "the host has not loaded its driver", "modprobe nvidia");
}

#[test]
fn a_group_that_is_not_mapped_cannot_be_joined() {
    let Some(access) = seen(OPEN, 0o660, 44, "gpu-access") else { return };
    access.expect("missing", "for a group that this user namespace does not map", "NVreg_DeviceFileMode=0666");
}

#[test]
fn a_gpu_that_is_missing_is_missing_for_a_rootless_reason() {
    if !may_mount() {
        return println!("skipped: no user namespaces here, or no root to make nodes");
    }
    let init = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
    let copy = Folder::new();
    std::fs::copy(&init, copy.0.join("init")).unwrap();
    let program = copy.0.join("init");
    let words = ["unshare", "--user", "--map-root-user", program.to_str().unwrap(), "--report", "--json"];
    let output = as_user(&words).env_clear().env("TAKUMI_GPU", "require").env("TAKUMI_USER", "0:0").output().unwrap();
    let json = String::from_utf8_lossy(&output.stdout);
    finding(&json, "gpu-nodes").expect("missing", "no GPU in /dev", "nvidia-container-cli.no-cgroups --in-place");
}

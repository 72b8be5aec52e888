//! In a user namespace of an ordinary user, as a rootless engine makes it: nobody can make a node there, so nodes are mounted, and
//! no device cgroup is set.

use super::stand_in::{NVIDIA, Nodes, Number, OPEN};
use crate::seen::ReportRun;
use std::process::Command;
use takumi_test::folder::Folder;
use takumi_test::program::{init, run};
use takumi_test::require;

/// An ordinary user of the host, who needs no account for this.
const USER: &str = "4242";

/// What `init --report --json` says there, behind this line of shell.
#[track_caller]
fn run_report(line: &str, variables: &[(&str, &str)]) -> ReportRun {
    let folder = Folder::new();
    let program = folder.join("init");
    std::fs::copy(init(), &program).unwrap();
    let line = format!("{line} exec {} --report --json", program.display());
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--groups", USER]);
    command.args(["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", &line]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TAKUMI_USER", "0:0");
    ReportRun::of(run(command.envs(variables.iter().copied())))
}

/// The same of a node with this number, mode and group.
#[track_caller]
fn with_node(number: Number, mode: u32, group: u32) -> ReportRun {
    let nodes = Nodes::of(&["nvidia0"], number).mode(mode, group);
    let node = nodes.folder.join("nvidia0");
    let mount = "mount -t tmpfs none /dev; touch /dev/nvidia0; mount --bind";
    run_report(&format!("{mount} {} /dev/nvidia0;", node.display()), &[])
}

#[test]
fn a_mounted_node_opens_without_any_device_cgroup() {
    require!(root, user_namespaces, no_nvidia_driver);
    with_node(OPEN, 0o666, 0).says("gpu-access", "pass", "uid 0 can open /dev/nvidia0");
    let unserved = with_node(NVIDIA, 0o666, 0);
    unserved.says("gpu-access", "fail", "the host has not loaded its driver").fixed_by("modprobe nvidia");
}

#[test]
fn a_group_that_is_not_mapped_cannot_be_joined() {
    require!(root, user_namespaces);
    let closed = with_node(OPEN, 0o660, 44);
    let unmapped = "for a group that this user namespace does not map";
    closed.says("gpu-access", "fail", unmapped).fixed_by("NVreg_DeviceFileMode=0666");
}

#[test]
fn a_gpu_that_is_missing_is_missing_for_a_rootless_reason() {
    require!(root, user_namespaces);
    let missing = run_report("", &[("TAKUMI_GPU", "require")]);
    missing.says("gpu-nodes", "fail", "no GPU in /dev").fixed_by("nvidia-container-cli.no-cgroups --in-place");
}

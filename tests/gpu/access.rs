//! What opening a node says: each errno as the kernel makes it.

use crate::engine::{Folder, eventually};
use crate::stand_in::{NOBODY, NVIDIA, Nodes, OPEN, WHOLE, make, report, report_inside, start, workshop};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn enxio_a_number_without_a_driver() {
    let Some(image) = workshop() else { return };
    let access = report(start(&image, &Nodes::of(&WHOLE, NVIDIA).given("rwm"))).of("gpu-access");
    access.expect(
        "missing",
        "/dev/nvidia0, /dev/nvidiactl: the host has not loaded its driver",
        "sudo modprobe nvidia",
    );
    access.expect("missing", "/dev/nvidia-uvm: the host has not loaded its driver", "nvidia-modprobe -u -c=0");
}

#[test]
fn enodev_windows_serves_no_gpu() {
    let Some(image) = workshop() else { return };
    report(start(&image, &Nodes::of(&["dxg"], NOBODY).given("rwm")))
        .of("gpu-access")
        .expect("missing", "/dev/dxg: WSL serves no GPU", "wsl --update");
}

#[test]
fn eperm_the_device_cgroup() {
    let Some(image) = workshop() else { return };
    let nodes = Nodes::of(&WHOLE, NVIDIA);
    let whole = "/dev/nvidia0, /dev/nvidiactl, /dev/nvidia-uvm: the device cgroup denies it";
    for options in [nodes.mounted(), nodes.given("r")] {
        let access = report(start(&image, &options)).of("gpu-access");
        access.expect("missing", whole, "--gpus all or --device, not with -v");
    }
    let made = start(&image, &["--cap-add=MKNOD", "--entrypoint=sh"].map(str::to_owned))
        .command(&["-c", "mknod -m 666 /dev/nvidia0 c 195 0 && exec /init --report --json"])
        .run();
    crate::stand_in::finding(&made.stdout, "gpu-access").expect("missing", "the device cgroup denies it", "no-cgroups");
}

/// Where cgroup v1 keeps the rules of a container.
fn rules(process: &str) -> Option<PathBuf> {
    let groups = std::fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    let own = groups.lines().find_map(|line| line.split_once(":devices:"))?.1.to_owned();
    let denied = Path::new("/sys/fs/cgroup/devices").join(own.trim_start_matches('/')).join("devices.deny");
    denied.exists().then_some(denied)
}

#[test]
fn eperm_of_rules_that_were_taken_away_from_a_container_that_runs() {
    let Some(image) = workshop() else { return };
    let nodes = Nodes::of(&WHOLE, OPEN);
    let container = start(&image, &nodes.given("rwm")).shell("echo ready; exec sleep 600").spawn();
    eventually("COMMAND", || container.logs().0.contains("ready").then_some(()));
    let Some(rules) = rules(&container.inspect(".State.Pid")) else {
        return println!("skipped: rules of devices can only be taken away here with cgroup v1");
    };
    report_inside(&container, "gpu-access").expect("held", "uid 1000 can open", "");
    // What a daemon-reload of systemd does to rules that it does not know.
    std::fs::write(rules, "c 1:7 rwm").unwrap();
    report_inside(&container, "gpu-access").expect("missing", "the device cgroup denies it", "--gpus all");
}

#[test]
fn eacces_a_mode_that_lets_nobody_in() {
    let Some(image) = workshop() else { return };
    let closed = |mode, group| report(start(&image, &Nodes::of(&WHOLE, OPEN).mode(mode, group).given("rwm")));
    closed(0o600, 44).of("gpu-access").expect("missing", "mode 0600, for uid 0 alone", "NVreg_DeviceFileMode=0666");
    closed(0o660, 0)
        .of("gpu-access")
        .expect("missing", "for group 0, which COMMAND never gets", "NVreg_DeviceFileMode");
    // The control: the same node, open to all.
    closed(0o666, 0).of("gpu-access").expect("held", "uid 1000 can open", "");
}

/// A tmpfs of the host that goes with its value.
struct NoDevices(Folder);

impl NoDevices {
    fn new() -> NoDevices {
        let folder = NoDevices(Folder::new());
        let path = folder.0.0.to_str().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "nodev,size=1m", "takumi-test", path]).status();
        assert!(mounted.unwrap().success());
        folder
    }
}

impl Drop for NoDevices {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0.0).status();
    }
}

#[test]
fn eacces_a_mount_without_devices() {
    let Some(image) = workshop() else { return };
    let folder = NoDevices::new();
    let node = folder.0.0.join("nvidia0");
    make(&node, OPEN);
    let mount = ["--volume".to_owned(), format!("{}:/dev/nvidia0", node.display())];
    report(start(&image, &mount))
        .of("gpu-access")
        .expect("missing", "/dev/nvidia0: it lies on a nodev mount", "give it with --device");
}

//! What opening a node says: each errno as the kernel makes it.

use super::stand_in::{NOBODY, NVIDIA, Nodes, OPEN, WHOLE, make, report, report_inside, start};
use std::process::Command;
use takumi_test::devices::deny;
use takumi_test::folder::Folder;
use takumi_test::image::Image;
use takumi_test::report::Report;
use takumi_test::require;

#[test]
fn enxio_a_number_without_a_driver() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let seen = report(start(&image, &Nodes::of(&WHOLE, NVIDIA).given("rwm")));
    let not_loaded = "the host has not loaded its driver";
    let access = seen.says("gpu-access", "fail", &format!("/dev/nvidia0, /dev/nvidiactl: {not_loaded}"));
    access.fixed_by("sudo modprobe nvidia");
    access.expect("fail", &format!("/dev/nvidia-uvm: {not_loaded}")).fixed_by("nvidia-modprobe -u -c=0");
}

#[test]
fn enodev_windows_serves_no_gpu() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    report(start(&image, &Nodes::of(&["dxg"], NOBODY).given("rwm")))
        .says("gpu-access", "fail", "/dev/dxg: WSL provides no GPU")
        .fixed_by("wsl --update");
}

#[test]
fn eperm_the_device_cgroup() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let nodes = Nodes::of(&WHOLE, NVIDIA);
    let whole = "/dev/nvidia0, /dev/nvidiactl, /dev/nvidia-uvm: the device cgroup denies it";
    for options in [nodes.mounted(), nodes.given("r")] {
        report(start(&image, &options))
            .says("gpu-access", "fail", whole)
            .fixed_by("--gpus all or --device, not with -v");
    }
    let made = start(&image, &["--cap-add=MKNOD", "--entrypoint=sh"].map(str::to_owned))
        .command(&["-c", "mknod -m 666 /dev/nvidia0 c 195 0 && exec /init --report --json"])
        .run();
    Report::of(&made).says("gpu-access", "fail", "the device cgroup denies it").fixed_by("no-cgroups");
}

#[test]
fn eperm_of_rules_that_were_taken_away_from_a_container_that_runs() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let nodes = Nodes::of(&WHOLE, OPEN);
    let container = start(&image, &nodes.given("rwm")).shell("echo ready; exec sleep 600").spawn();
    container.await_words("ready");
    report_inside(&container).says("gpu-access", "pass", "uid 1000 can open");
    // What a daemon-reload of systemd does to rules that it does not know.
    deny(&container.inspect(".State.Pid"), 7);
    report_inside(&container).says("gpu-access", "fail", "the device cgroup denies it").fixed_by("--gpus all");
}

#[test]
fn eacces_a_mode_that_lets_nobody_in() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let closed = |mode, group| report(start(&image, &Nodes::of(&WHOLE, OPEN).mode(mode, group).given("rwm")));
    closed(0o600, 44).says("gpu-access", "fail", "mode 0600, only for uid 0").fixed_by("NVreg_DeviceFileMode=0666");
    closed(0o660, 0)
        .says("gpu-access", "fail", "for group 0, which COMMAND never gets")
        .fixed_by("NVreg_DeviceFileMode");
    // The control: the same node, open to all.
    closed(0o666, 0).says("gpu-access", "pass", "uid 1000 can open");
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
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let folder = NoDevices::new();
    let node = folder.0.0.join("nvidia0");
    make(&node, OPEN);
    let mount = ["--volume".to_owned(), format!("{}:/dev/nvidia0", node.display())];
    report(start(&image, &mount))
        .says("gpu-access", "fail", "/dev/nvidia0: it is on a nodev mount")
        .fixed_by("use --device instead");
}

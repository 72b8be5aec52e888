//! Which nodes are there.

use super::stand_in::{NOBODY, NVIDIA, Nodes, OPEN, WHOLE, report, start};
use takumi_test::folder::Folder;
use takumi_test::image::Image;
use takumi_test::require;

#[test]
fn without_a_gpu_all_four_are_skipped() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let report = report(start(&image, &[]));
    for id in ["gpu-nodes", "gpu-access", "gpu-driver", "gpu-libraries"] {
        report.says(id, "skipped", "this container was started without a GPU");
    }
}

#[test]
fn a_gpu_that_the_environment_asks_for_is_missing_unless_the_check_is_off() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let asked = || start(&image, &[]).env("NVIDIA_VISIBLE_DEVICES", "all");
    let missing = report(asked());
    missing
        .says("gpu-nodes", "fail", "no GPU in /dev, but NVIDIA_VISIBLE_DEVICES asks for \"all\"")
        .fixed_by("--gpus all");
    missing.says("gpu-libraries", "fail", "no libcuda.so.1").fixed_by("--gpus all");
    report(asked().env("TAKUMI_GPU", "off")).says("gpu-nodes", "skipped", "TAKUMI_GPU=off");
}

#[test]
fn a_whole_gpu_is_held_and_each_missing_node_is_named() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let seen = |names: &[&str]| report(start(&image, &Nodes::of(names, OPEN).given("rwm")));
    let whole = seen(&WHOLE);
    whole.says("gpu-nodes", "pass", "1 NVIDIA GPU(s)");
    whole.says("gpu-access", "pass", "uid 1000 can open /dev/nvidia0, /dev/nvidiactl, /dev/nvidia-uvm");
    whole.says("gpu-driver", "fail", "the host has not loaded the NVIDIA driver").fixed_by("modprobe nvidia");
    seen(&["nvidia0", "nvidiactl"]).says("gpu-nodes", "fail", "no /dev/nvidia-uvm").fixed_by("nvidia-modprobe -u -c=0");
    seen(&["nvidia0", "nvidia-uvm"]).says("gpu-nodes", "fail", "no /dev/nvidiactl").fixed_by("--device /dev/nvidiactl");
    let windows = report(start(&image, &Nodes::of(&["dxg"], NOBODY).given("rwm")));
    windows.says("gpu-nodes", "pass", "/dev/dxg");
}

#[test]
fn a_directory_that_the_engine_made_for_a_missing_node_is_none() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let nodes = Nodes::of(&["nvidiactl", "nvidia-uvm"], NVIDIA);
    let missing = nodes.folder.0.join("nvidia0");
    let mount = ["--volume".to_owned(), format!("{}:/dev/nvidia0", missing.display())];
    let report = report(start(&image, &[nodes.given("rwm").as_slice(), &mount].concat()));
    assert!(missing.is_dir(), "the engine made no directory");
    report.says("gpu-nodes", "fail", "/dev/nvidia0 is not a device").fixed_by("not with -v");
}

#[test]
fn a_number_of_another_boot_is_told_from_the_drivers() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    // /proc/devices is the host's, and misc is the driver of /dev/dxg: a node of another number is what a reboot leaves.
    report(start(&image, &Nodes::of(&["dxg"], NVIDIA).given("rwm")))
        .says("gpu-nodes", "fail", "/dev/dxg has major 195, but the host's driver has 10")
        .fixed_by("recreate the container");
}

#[test]
fn libraries_are_found_where_the_loader_looks_and_nowhere_else() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let nodes = Nodes::of(&WHOLE, OPEN);
    let libraries = Folder::new();
    for name in ["libcuda.so.550.54.14", "libnvidia-ml.so.550.54.14"] {
        std::fs::copy("/bin/true", libraries.0.join(name)).unwrap();
    }
    let seen = |at: &str, variables: &[(&str, &str)]| {
        let mount = ["--volume".to_owned(), format!("{}:{at}:ro", libraries.0.display())];
        let start = start(&image, &[nodes.given("rwm").as_slice(), &mount].concat());
        report(variables.iter().fold(start, |start, (name, value)| start.env(name, value)))
            .finding("gpu-libraries")
            .clone()
    };
    seen("/opt/none", &[("NVIDIA_DRIVER_CAPABILITIES", "utility")])
        .expect("fail", "no libcuda.so.1")
        .fixed_by("NVIDIA_DRIVER_CAPABILITIES=compute,utility");
    let nvidia = "/usr/local/nvidia/lib64";
    seen(nvidia, &[]).expect("fail", "no libcuda.so.1 points to it").fixed_by("nvidia-container-toolkit");
    for name in ["libcuda.so", "libnvidia-ml.so"] {
        std::os::unix::fs::symlink(format!("{name}.550.54.14"), libraries.0.join(format!("{name}.1"))).unwrap();
    }
    seen(nvidia, &[])
        .expect("fail", "the loader does not search that directory")
        .fixed_by("LD_LIBRARY_PATH=/usr/local/nvidia/lib64");
    seen(nvidia, &[("LD_LIBRARY_PATH", nvidia)]).expect("pass", "/usr/local/nvidia/lib64/libcuda.so.1");
}

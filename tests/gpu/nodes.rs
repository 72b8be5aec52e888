//! Which nodes are there.

use crate::stand_in::{NOBODY, NVIDIA, Nodes, OPEN, WHOLE, report, start, workshop};

#[test]
fn without_a_gpu_all_four_are_skipped() {
    let Some(image) = workshop() else { return };
    let report = report(start(&image, &[]));
    for id in ["gpu-nodes", "gpu-access", "gpu-driver", "gpu-libraries"] {
        report.of(id).expect("skipped", "no GPU was given to this container", "");
    }
}

#[test]
fn a_gpu_that_the_environment_asks_for_is_missing_unless_the_check_is_off() {
    let Some(image) = workshop() else { return };
    let asked = || start(&image, &[]).env("NVIDIA_VISIBLE_DEVICES", "all");
    let missing = report(asked());
    missing.of("gpu-nodes").expect(
        "missing",
        "no GPU in /dev, and NVIDIA_VISIBLE_DEVICES asks for \"all\"",
        "--gpus all",
    );
    missing.of("gpu-libraries").expect("missing", "no libcuda.so.1", "--gpus all");
    report(asked().env("TAKUMI_GPU", "off")).of("gpu-nodes").expect("skipped", "TAKUMI_GPU=off", "");
}

#[test]
fn a_whole_gpu_is_held_and_each_missing_node_is_named() {
    let Some(image) = workshop() else { return };
    let seen = |names: &[&str]| report(start(&image, &Nodes::of(names, OPEN).given("rwm")));
    let whole = seen(&WHOLE);
    whole.of("gpu-nodes").expect("held", "1 NVIDIA GPU(s)", "");
    whole.of("gpu-access").expect("held", "uid 1000 can open /dev/nvidia0, /dev/nvidiactl, /dev/nvidia-uvm", "");
    whole.of("gpu-driver").expect("missing", "the host has loaded no NVIDIA driver", "modprobe nvidia");
    seen(&["nvidia0", "nvidiactl"]).of("gpu-nodes").expect("missing", "no /dev/nvidia-uvm", "nvidia-modprobe -u -c=0");
    seen(&["nvidia0", "nvidia-uvm"]).of("gpu-nodes").expect("missing", "no /dev/nvidiactl", "--device /dev/nvidiactl");
    let windows = report(start(&image, &Nodes::of(&["dxg"], NOBODY).given("rwm")));
    windows.of("gpu-nodes").expect("held", "/dev/dxg", "");
}

#[test]
fn a_directory_that_the_engine_made_for_a_missing_node_is_none() {
    let Some(image) = workshop() else { return };
    let nodes = Nodes::of(&["nvidiactl", "nvidia-uvm"], NVIDIA);
    let missing = nodes.folder.0.join("nvidia0");
    let mount = ["--volume".to_owned(), format!("{}:/dev/nvidia0", missing.display())];
    let report = report(start(&image, &[nodes.given("rwm").as_slice(), &mount].concat()));
    assert!(missing.is_dir(), "the engine made no directory");
    report.of("gpu-nodes").expect("missing", "/dev/nvidia0 is no device", "not with -v");
}

#[test]
fn a_number_of_another_boot_is_told_from_the_drivers() {
    let Some(image) = workshop() else { return };
    // /proc/devices is the host's, and misc is the driver of /dev/dxg: a node of another number is what a reboot leaves.
    report(start(&image, &Nodes::of(&["dxg"], NVIDIA).given("rwm"))).of("gpu-nodes").expect(
        "missing",
        "/dev/dxg has major 195, and the host's driver has 10",
        "make the container anew",
    );
}

#[test]
fn libraries_are_found_where_the_loader_looks_and_nowhere_else() {
    let Some(image) = workshop() else { return };
    let nodes = Nodes::of(&WHOLE, OPEN);
    let libraries = crate::engine::Folder::new();
    for name in ["libcuda.so.550.54.14", "libnvidia-ml.so.550.54.14"] {
        std::fs::copy("/bin/true", libraries.0.join(name)).unwrap();
    }
    let seen = |at: &str, variables: &[(&str, &str)]| {
        let mount = ["--volume".to_owned(), format!("{}:{at}:ro", libraries.0.display())];
        let start = start(&image, &[nodes.given("rwm").as_slice(), &mount].concat());
        report(variables.iter().fold(start, |start, (name, value)| start.env(name, value))).of("gpu-libraries")
    };
    seen("/opt/none", &[("NVIDIA_DRIVER_CAPABILITIES", "utility")]).expect(
        "missing",
        "no libcuda.so.1",
        "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    );
    let nvidia = "/usr/local/nvidia/lib64";
    seen(nvidia, &[]).expect("missing", "no libcuda.so.1 leads to it", "nvidia-container-toolkit");
    for name in ["libcuda.so", "libnvidia-ml.so"] {
        std::os::unix::fs::symlink(format!("{name}.550.54.14"), libraries.0.join(format!("{name}.1"))).unwrap();
    }
    seen(nvidia, &[]).expect("missing", "the loader does not look there", "LD_LIBRARY_PATH=/usr/local/nvidia/lib64");
    seen(nvidia, &[("LD_LIBRARY_PATH", nvidia)]).expect("held", "/usr/local/nvidia/lib64/libcuda.so.1", "");
}

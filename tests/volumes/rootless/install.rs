//! `install` and `uninstall` on machines in a directory: Docker's real setup tool, doubles of what would change the real machine.

use super::machine::{Machine, Table};
use std::fs;
use takumi_test::require;

/// Everything that install can make is missing.
fn bare(machine: &Machine) {
    let linger = format!("/var/lib/systemd/linger/{}", machine.user.name);
    machine.remove(&linger).delegate("memory pids");
    machine.write("/etc/subuid", "ann:100000:65536\n").write("/etc/subgid", "ann:100000:65536\n");
    machine.write("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
    machine.write("/proc/sys/kernel/unprivileged_userns_clone", "0\n");
    machine.write_home(
        ".docker/config.json",
        "{\n\t\"auths\": {\"example.invalid\": {}},\n\t\"credsStore\": \"desktop.exe\"\n}",
    );
    machine.uninstall("slirp4netns").stub("no-iptables", "").write("/run/docker.sock", "").stub("rootful", "").gpu();
}

#[test]
fn a_dry_run_prints_every_command_and_changes_nothing() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    bare(&machine);
    machine.run(&["check"]);
    let before = machine.snapshot();
    let said = machine.run(&["install", "--dry-run", "--stop-rootful"]).ends_with(0);
    let name = &machine.user.name;
    for command in [
        "sudo systemctl disable --now docker.service docker.socket",
        "apt-get install -y --no-install-recommends --no-remove slirp4netns",
        "kernel.unprivileged_userns_clone = 1",
        &format!("sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 {name}"),
        "sudo apparmor_parser --replace",
        "Delegate=cpu cpuset io memory pids",
        &format!("sudo loginctl enable-linger {name}"),
        "dockerd-rootless-setuptool.sh install",
        "nvidia-ctk cdi generate --output=",
        "systemctl --user restart docker.service",
    ] {
        assert!(said.text().contains(command), "expected '{command}': {said:?}");
    }
    assert_eq!(machine.snapshot(), before);
    assert_eq!(machine.calls("sudo"), [""; 0]);
    assert_eq!(machine.calls("systemctl disable"), [""; 0]);
}

#[test]
fn install_makes_all_of_it_once_and_uninstall_takes_all_of_it_back() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    bare(&machine);
    machine.run(&["check"]);
    let before = machine.snapshot();
    let name = machine.user.name.clone();

    let said = machine.run(&["install", "--yes", "--stop-rootful"]).ends_with(0);
    said.says(&format!("container root is {name} ({})", machine.user.uid))
        .says("a container's memory limit works")
        .says("a container sees the GPU's device: docker run --device nvidia.com/gpu=all")
        .never_says("no-cgroups");
    assert_eq!(machine.read("/etc/subuid"), format!("ann:100000:65536\n{name}:165536:65536\n"));
    let path = machine.double("bin/rootlesskit").display().to_string();
    let profile = machine.read(&format!("/etc/apparmor.d/{}", path[1..].replace('/', ".")));
    assert!(
        profile.starts_with("abi <abi/4.0>,\n")
            && profile.contains(&format!("\n\"{path}\" flags=(unconfined) {{\n  userns,\n"))
    );
    assert_eq!(
        machine.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        "1\n",
        "the protection stays on"
    );
    let config = fs::read_to_string(machine.home(".docker/config.json")).unwrap();
    assert!(
        config.contains("example.invalid") && config.contains("rootless") && !config.contains("desktop"),
        "{config}"
    );
    let daemon = fs::read_to_string(machine.home(".config/docker/daemon.json")).unwrap();
    assert!(daemon.contains("\"cdi\": true") && daemon.contains(".config/cdi"), "{daemon}");
    assert!(
        machine.double("imported").exists() && !machine.double("image").exists(),
        "the proof's image is gone again"
    );
    assert!(!machine.double("rootful").exists());

    let installed = machine.snapshot();
    let calls = machine.calls("sudo").len();
    machine.run(&["install", "--yes"]).ends_with(0).says("nothing to do\n").says("container root is");
    machine.run(&["check"]).ends_with(0).says("nothing to do\n");
    assert_eq!(machine.snapshot(), installed);
    assert_eq!(machine.calls("sudo").len(), calls, "a second run needs no root");

    machine.run(&["uninstall", "--dry-run"]).ends_with(0).says(&format!("/\\^{name}:165536:65536\\$/d"));
    assert_eq!(machine.snapshot(), installed);
    let said =
        machine.run(&["uninstall", "--yes"]).ends_with(0).says("left: the packages: sudo apt-get remove slirp4netns");
    assert!(machine.double("rootful").exists() && !machine.double("started").exists(), "{said:?}");
    let mut after = machine.snapshot();
    // The kernel's own files, the socket that systemd makes, and empty directories of the user's.
    after.retain(|path, _| !path.ends_with(".local") && !path.ends_with(".local/state"));
    let mut before = before;
    for path in ["/proc/sys/kernel/unprivileged_userns_clone", "/run/docker.sock"] {
        before.remove(&machine.root(path));
        after.remove(&machine.root(path));
    }
    let changed: Vec<_> = before.iter().filter(|(path, was)| after.get(*path) != Some(was)).collect();
    let added: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    assert!(changed.is_empty() && added.is_empty(), "changed {changed:?}, added {added:?}; {said:?}");
    machine.run(&["uninstall", "--yes"]).ends_with(0).says("nothing to do");
}

#[test]
fn nothing_is_changed_without_a_yes() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.run(&["check"]);
    let before = machine.snapshot();
    machine.run(&["install"]).ends_with(1).says("add --yes");
    machine.run(&["frobnicate"]).ends_with(2);
    assert_eq!(machine.snapshot(), before);
}

#[test]
fn it_asks_once_and_anything_but_yes_is_a_no() {
    require!(root, rootless_scripts, script);
    let machine = Machine::new();
    machine.delegate("memory").run(&["check"]);
    let before = machine.snapshot();
    for no in ["n\n", "\n", "sure\n"] {
        machine.run_at_terminal(&["install"], no).ends_with(1).says("Go on? [y/N]").says("nothing was changed");
        assert_eq!(machine.snapshot(), before);
    }
    let said = machine.run_at_terminal(&["install"], "y\n").ends_with(0);
    assert_eq!(said.text().matches("Go on?").count(), 1, "{said:?}");
    machine.run(&["check"]).ends_with(0);
}

#[test]
fn data_and_packages_go_only_when_asked_for_exactly_that() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.uninstall("slirp4netns").run(&["install", "--yes"]).ends_with(0);
    machine.write_home(".local/share/docker/overlay2/layer", "an image");
    machine.run(&["uninstall", "--yes"]).ends_with(0).says("left: images, containers and volumes");
    assert!(machine.home(".local/share/docker/overlay2/layer").exists());
    assert_eq!(machine.calls("sudo env DEBIAN_FRONTEND=noninteractive apt-get remove"), [""; 0]);

    fs::rename(machine.double("bin/slirp4netns"), machine.double("later/slirp4netns")).unwrap();
    machine.run(&["install", "--yes"]).ends_with(0);
    machine
        .run(&["uninstall", "--yes", "--remove-data", "--remove-packages"])
        .ends_with(0)
        .says("DELETE")
        .never_says("left:");
    assert!(!machine.home(".local/share/docker").exists());
    assert_eq!(machine.calls("sudo env DEBIAN_FRONTEND=noninteractive apt-get remove -y slirp4netns").len(), 1);
}

#[test]
fn a_file_that_somebody_changed_after_install_is_left_and_told() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.delegate("memory").run(&["install", "--yes"]).ends_with(0);
    let path = "/etc/systemd/system/user@.service.d/delegate.conf";
    machine.write(path, "[Service]\nDelegate=yes\n");
    machine.run(&["uninstall", "--yes"]).ends_with(0).says("was changed after install and is left as it is");
    assert_eq!(machine.read(path), "[Service]\nDelegate=yes\n");
}

#[test]
fn a_change_that_does_not_hold_ends_the_install() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    // modprobe says 0, and the rules work no better.
    machine.stub("no-iptables", "").stub("no-modules", "");
    machine.run(&["install", "--yes"]).ends_with(1).says("iptables: iptables does not work");
    assert!(!machine.double("started").exists(), "the engine is not reached");
    fs::remove_file(machine.double("no-modules")).unwrap();
    machine.run(&["install", "--yes"]).ends_with(0);
}

#[test]
fn systemd_is_switched_on_under_wsl2_and_the_restart_is_asked_for() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    let conf = "[automount]\nenabled = true\n\n[boot]\ncommand = service cron start\nsystemd = false\n";
    machine.wsl2().remove("/run/systemd/system").write("/etc/wsl.conf", conf);
    machine.run(&["check"]).row("systemd", "missing", "/etc/wsl.conf");
    machine.run(&["install", "--yes"]).ends_with(3).says("wsl --shutdown");
    let wanted = "[automount]\nenabled = true\n\n[boot]\nsystemd=true\ncommand = service cron start\n";
    assert_eq!(machine.read("/etc/wsl.conf"), wanted);
    fs::create_dir_all(machine.root("/run/systemd/system")).unwrap();
    machine.run(&["install", "--yes"]).ends_with(0).says("container root is");
    machine.run(&["uninstall", "--yes"]).ends_with(0);
    assert_eq!(machine.read("/etc/wsl.conf"), conf);
    // Where there is no such file yet.
    machine.remove("/run/systemd/system").remove("/etc/wsl.conf");
    machine.run(&["install", "--yes"]).ends_with(3);
    assert_eq!(machine.read("/etc/wsl.conf"), "[boot]\nsystemd=true\n");
}

#[test]
fn no_cgroups_is_set_only_under_wsl2_and_for_old_toolkits() {
    require!(root, rootless_scripts);
    let wanted = "disable-require = false\n\n[nvidia-container-cli]\nno-cgroups = true\n#user = \"root:video\"\n\n[nvidia-ctk]\npath = \"nvidia-ctk\"\n";
    let machine = Machine::new();
    let said = machine.wsl2().gpu().run(&["install", "--yes"]).ends_with(0);
    said.says("rootful engine that gives containers the GPU by NVIDIA's hook will fail")
        .says("--device nvidia.com/gpu=all");
    assert_eq!(machine.calls("nvidia-ctk cdi generate --mode=wsl").len(), 1);
    assert_eq!(machine.read("/etc/nvidia-container-runtime/config.toml"), wanted);
    machine.run(&["install", "--yes"]).ends_with(0).says("nothing to do\n");

    let machine = Machine::new();
    let said = machine.gpu().stub("toolkit", "1.11.0").run(&["install", "--yes"]).ends_with(0);
    said.says("docker run --gpus all").says("rootful engine");
    assert_eq!(machine.calls("nvidia-ctk cdi"), [""; 0]);
    assert_eq!(machine.read("/etc/nvidia-container-runtime/config.toml"), wanted);
    machine.run(&["uninstall", "--yes"]).ends_with(0);
    assert!(machine.read("/etc/nvidia-container-runtime/config.toml").contains("#no-cgroups = false"));

    // An engine without CDI.
    let machine = Machine::new();
    machine.gpu().stub("version", "20.10.24").run(&["install", "--yes"]).ends_with(0).says("docker run --gpus all");
}

#[test]
fn the_data_lie_where_they_are_told_to() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.write_home(".config/docker/daemon.json", "{\"debug\": true}");
    let elsewhere = machine.home("disk/docker");
    machine.run(&["install", "--yes", "--data-root", elsewhere.to_str().unwrap()]).ends_with(0);
    let daemon = fs::read_to_string(machine.home(".config/docker/daemon.json")).unwrap();
    assert!(daemon.contains("\"debug\": true") && daemon.contains(elsewhere.to_str().unwrap()), "{daemon}");
    machine.run(&["check"]).ends_with(0).row("home", "ok", elsewhere.to_str().unwrap());
    machine.run(&["uninstall", "--yes"]).ends_with(0);
    let daemon = fs::read_to_string(machine.home(".config/docker/daemon.json")).unwrap();
    assert_eq!(daemon, "{\"debug\": true}");
}

#[test]
fn a_new_driver_is_described_anew() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.gpu().run(&["install", "--yes"]).ends_with(0);
    machine.run(&["check"]).ends_with(0).row("gpu", "ok", "by cdi");
    machine.write("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Tue\n");
    machine.run(&["check"]).ends_with(1).row("gpu", "missing", "another driver");
    machine.run(&["install", "--yes"]).ends_with(0);
    machine.run(&["check"]).ends_with(0);
}

#[test]
fn the_proof_fails_for_what_is_not_rootless() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.gpu().run(&["install", "--yes"]).ends_with(0);
    machine.run(&["prove"]).ends_with(0);
    // As a rootful engine shows it.
    machine.stub("uid_map", "         0          0 4294967295\n").run(&["prove"]).ends_with(1).says("NOT rootless");
    let few = format!("0 {} 1\n1 100000 1000\n", machine.user.uid);
    machine.stub("uid_map", &few).run(&["prove"]).ends_with(1).says("only 1000 more ids");
    fs::remove_file(machine.double("uid_map")).unwrap();
    machine.stub("nodes", "null\nnvidia-uvm\n").run(&["prove"]).ends_with(1).says("the GPU is not visible");
    assert!(!machine.double("image").exists(), "a failed proof takes its image along too");
    machine
        .stub("security", "[\"name=seccomp,profile=builtin\"]\n")
        .run(&["prove"])
        .ends_with(1)
        .says("no rootless engine");
}

#[test]
fn without_the_module_in_sight_the_engine_still_gets_its_rules() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.write("/proc/modules", "").run(&["install", "--yes"]).ends_with(0).says("--skip-iptables");
    let unit = fs::read_to_string(machine.home(".config/systemd/user/docker.service.d/iptables.conf")).unwrap();
    assert!(unit.ends_with("/bin/dockerd-rootless.sh\n") && unit.contains("ExecStart=\n"), "{unit}");
    let written = fs::read_to_string(machine.home(".config/systemd/user/docker.service")).unwrap();
    assert!(written.contains("ExecStart="), "Docker's own tool has run: {written}");
}

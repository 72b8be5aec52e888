//! What `check` sees, one fixture a case, each beside its control.

use super::machine::{Machine, Table};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;
use takumi_test::program::run;
use takumi_test::require;

#[test]
fn a_ready_machine_lacks_only_the_engine_and_check_changes_nothing() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    let ready = machine.run(&["check"]).ends_with(1).row("system", "ok", "Ubuntu 24.04.3 LTS, native, cgroup v2");
    ready.row("engine", "missing", "not set up").says("install would change: engine\n");
    let before = machine.snapshot();
    machine.run(&["check"]).ends_with(1);
    assert_eq!(machine.snapshot(), before);
    assert_eq!(machine.calls("sudo"), [""; 0]);
}

#[test]
fn root_is_refused() {
    require!(root);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/setup_rootless.sh");
    run(Command::new("bash").args([script, "check"])).ends_with(1).says("not as root");
}

#[test]
fn an_unknown_system_is_refused() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.write("/etc/os-release", "ID=fedora\nPRETTY_NAME=\"Fedora Linux 42\"\n");
    machine.run(&["check"]).ends_with(1).row("system", "conflict", "Fedora Linux 42").says("would refuse: system");
}

#[test]
fn wsl2_is_told_by_its_kernel_or_by_its_interpreter() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.run(&["check"]).row("system", "ok", "native");
    machine.wsl2().run(&["check"]).row("system", "ok", "WSL2");
    // A kernel of one's own has another name.
    machine
        .write("/proc/sys/kernel/osrelease", "6.12.1-mine\n")
        .write("/proc/sys/fs/binfmt_misc/WSLInterop", "enabled\n");
    machine.run(&["check"]).row("system", "ok", "WSL2");
}

#[test]
fn docker_desktop_under_wsl2_is_a_conflict_while_its_integration_is_on() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.wsl2();
    // Desktop runs in Windows, and its integration is off for this distribution.
    machine.write("/mnt/wsl/docker-desktop/docker-desktop-user-distro", "");
    machine.run(&["check"]).row("desktop", "ok", "does not run");
    // A proxy of a start before.
    machine.write("/run/docker-desktop-proxy.pid", "4711");
    machine.run(&["check"]).row("desktop", "ok", "does not run");
    machine.write("/proc/4711/stat", "");
    machine.run(&["check"]).row("desktop", "conflict", "process 4711").says("WSL integration, switch Ubuntu off");
    machine.remove("/proc/4711");
    symlink(
        "/mnt/wsl/docker-desktop/shared-sockets/guest-services/docker.proxy.sock",
        machine.root("/run/docker.sock"),
    )
    .unwrap();
    machine.run(&["check"]).row("desktop", "conflict", "/run/docker.sock leads into");
    let before = machine.snapshot();
    machine.run(&["install", "--yes"]).ends_with(1).says("refused, nothing was changed").says("desktop");
    assert_eq!(machine.snapshot(), before);
}

#[test]
fn docker_desktop_on_linux_is_a_conflict_while_it_runs() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    let socket = machine.home(".docker/desktop/docker.sock");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let _listener = UnixListener::bind(&socket).unwrap();
    // The file alone may be left over.
    machine.run(&["check"]).row("desktop", "ok", "does not run");
    let line = format!("0000000000000000: 00000002 00000000 00010000 0001 01 24421 {}\n", socket.display());
    machine.write("/proc/net/unix", &line);
    machine.run(&["check"]).row("desktop", "conflict", "systemctl --user disable --now docker-desktop");
    machine.write("/proc/net/unix", "").write("/usr/lib/systemd/user/docker-desktop.service", "");
    machine.run(&["check"]).row("desktop", "ok", "does not run");
    machine.stub("desktop", "").run(&["check"]).row("desktop", "conflict", "docker-desktop.service is active");
}

#[test]
fn variables_that_would_shadow_the_engine_are_named_with_their_line() {
    require!(root, rootless_scripts);
    let mut machine = Machine::new();
    let own = format!("unix://{}/docker.sock", machine.root(&format!("/run/user/{}", machine.user.uid)).display());
    machine.set("DOCKER_HOST", &own).set("DOCKER_CONTEXT", "rootless");
    machine.run(&["check"]).row("shadow", "ok", "");
    machine
        .write_home(".bashrc", "alias ll='ls -l'\n# export DOCKER_HOST=old\nexport DOCKER_HOST=tcp://localhost:2375\n");
    machine.set("DOCKER_HOST", "tcp://localhost:2375");
    let bashrc = format!("{}:3", machine.home(".bashrc").display());
    machine
        .run(&["check"])
        .row("shadow", "conflict", "DOCKER_HOST=tcp://localhost:2375")
        .says(&format!("remove it from {bashrc}\n"));
    machine.set("DOCKER_HOST", "").set("DOCKER_CONTEXT", "desktop-linux");
    machine.run(&["install", "--yes"]).ends_with(1).row("shadow", "conflict", "unset DOCKER_CONTEXT");
}

#[test]
fn the_runtime_directory_is_systemds_whatever_the_variable_says() {
    require!(root, rootless_scripts);
    let mut machine = Machine::new();
    machine.set("XDG_RUNTIME_DIR", "/mnt/wslg/runtime-dir/").set("LC_ALL", "de_DE.UTF-8");
    machine.stub("enabled", "").run(&["check"]).row(
        "engine",
        "missing",
        &format!("/run/user/{}/docker.sock", machine.user.uid),
    );
}

#[test]
fn a_rootful_socket_that_the_user_may_write_is_a_conflict_until_it_is_decided() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.write("/run/docker.sock", "");
    machine
        .run(&["check"])
        .ends_with(1)
        .row("rootful", "conflict", "which amounts to root")
        .says("would refuse: rootful");
    machine.run(&["check", "--beside-rootful"]).row("rootful", "note", "a rootful engine stays");
    machine.run(&["check", "--stop-rootful"]).row("rootful", "missing", "to be disabled");
    machine.remove("/run/docker.sock");
    machine.run(&["check"]).row("rootful", "ok", "no rootful engine");
}

#[test]
fn apparmor_wants_a_profile_for_the_very_path() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    let path = machine.double("bin/rootlesskit");
    let profile =
        |path: &str| format!("abi <abi/4.0>,\nprofile rootlesskit {path} flags=(unconfined) {{\n  userns,\n}}\n");
    machine.run(&["check"]).row("apparmor", "ok", "does not restrict");
    machine.write("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
    machine.run(&["check"]).row("apparmor", "missing", path.to_str().unwrap());
    // Ubuntu's own is for another place.
    machine.write("/etc/apparmor.d/rootlesskit", &profile("/usr/bin/rootlesskit"));
    machine.run(&["check"]).row("apparmor", "missing", "stays on");
    machine.write("/etc/apparmor.d/rootlesskit", &profile(path.to_str().unwrap()));
    machine.run(&["check"]).row("apparmor", "ok", "");
    machine
        .write("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "0\n")
        .remove("/etc/apparmor.d/rootlesskit");
    machine.run(&["check"]).row("apparmor", "ok", "does not restrict");
}

#[test]
fn subordinate_ids_are_counted_and_a_free_range_is_found() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    let name = &machine.user.name;
    let ids = |uids: &str, gids: &str| {
        machine.write("/etc/subuid", uids).write("/etc/subgid", gids);
        machine.run(&["check"])
    };
    let right = format!("{name}:100000:65536\n");
    ids(&right, &right).row("subids", "ok", "100000-165535");
    let by_uid = format!("{}:200000:65536\n", machine.user.uid);
    ids(&by_uid, &by_uid).row("subids", "ok", "200000-265535");
    let two = format!("{name}:100000:32768\n{name}:300000:32768\n");
    ids(&two, &two).row("subids", "ok", "300000-332767");

    ids("", "").row("subids", "missing", "100000-165535 is free");
    ids(&right, "").row("subids", "missing", "165536-231071 is free");
    ids(&format!("{name}:100000:1000\n"), &right).row("subids", "missing", "you have 1000 ids in /etc/subuid");
    // A hole that is too small, one that is large enough, and the other file's ranges.
    let others = "ann:100000:65536\nbob:190000:65536\n";
    ids(others, "carl:320000:10\n").row("subids", "missing", "320010-385545 is free");
    ids(others, "").row("subids", "missing", "255536-321071 is free");
    machine.write("/etc/passwd", "root:x:0:0:::\nbig:x:300000:300000:::\n");
    ids(others, "").row("subids", "missing", "300001-365536 is free");
}

#[test]
fn subordinate_ids_that_are_anothers_too_are_a_conflict() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    let name = &machine.user.name;
    // Docker's own advice, followed by two users.
    let both = format!("ann:100000:65536\n{name}:100000:65536\n");
    machine.write("/etc/subuid", &both);
    machine.run(&["check"]).row("subids", "conflict", &format!("s/^{name}:100000:65536$/{name}:165536:65536/"));
    machine.write("/etc/subuid", &format!("ann:165535:10\n{name}:100000:65536\n"));
    machine.run(&["check"]).row("subids", "conflict", "also belong to another user");
    machine.write("/etc/subuid", &format!("ann:165536:10\n{name}:100000:65536\n"));
    machine.run(&["check"]).row("subids", "ok", "");
    machine.write("/etc/passwd", "domain:x:100500:100500:::\n");
    machine.run(&["check"]).row("subids", "conflict", "also belong to another user");
}

#[test]
fn a_home_on_the_network_needs_another_place_for_the_data() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    let home = machine.user.home.display().to_string();
    let local = "/dev/sda1 / ext4 rw 0 0\n";
    machine.write("/proc/self/mounts", &format!("{local}server:/home {home} nfs4 rw 0 0\n"));
    machine.run(&["check"]).row("home", "conflict", "is on nfs4").says("--data-root DIR");
    machine
        .run(&["check", "--data-root", "/var/tmp/takumi-test-data"])
        .row("home", "missing", "/var/tmp/takumi-test-data");
    machine.run(&["check", "--data-root", &format!("{home}/data")]).row("home", "conflict", "is on nfs4");
    // The nearest mount point counts, in whatever order they stand.
    machine.write("/proc/self/mounts", &format!("server:/home {home} nfs4 rw 0 0\n{local}"));
    machine.run(&["check"]).row("home", "conflict", "is on nfs4");
    // The name of a directory that only begins alike, and a local disk mounted on top.
    machine.write("/proc/self/mounts", &format!("{local}server:/x {} nfs4 rw 0 0\n", &home[..home.len() - 1]));
    machine.run(&["check"]).row("home", "ok", "(ext4)");
    machine
        .write("/proc/self/mounts", &format!("{local}server:/home {home} nfs4 rw 0 0\n/dev/sdb1 {home} xfs rw 0 0\n"));
    machine.run(&["check"]).row("home", "ok", "(xfs)");
}

#[test]
fn cgroups_v1_and_undelegated_controllers_are_told() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.run(&["check"]).row("delegation", "ok", "cpu cpuset io memory pids");
    machine.delegate("memory pids").run(&["check"]).row("delegation", "missing", "cpu cpuset io;");
    let conf = "/etc/systemd/system/user@.service.d/delegate.conf";
    machine.write(conf, "[Service]\nDelegate=cpu cpuset io memory pids\n");
    machine.run(&["check"]).row("delegation", "note", "log out and in again");
    machine.write(conf, "[Service]\nDelegate=memory\n").run(&["check"]).row("delegation", "missing", "cpu cpuset io;");
    machine.remove("/sys/fs/cgroup/cgroup.controllers");
    machine.run(&["check"]).row("system", "ok", "cgroup v1").row("delegation", "note", "kernel's command line");
    machine.wsl2().run(&["check"]).row("delegation", "note", ".wslconfig");
}

#[test]
fn what_else_is_missing_is_named() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    let linger = format!("/var/lib/systemd/linger/{}", machine.user.name);
    machine.remove(&linger).run(&["check"]).row("linger", "missing", "enable-linger");
    machine.write("/proc/sys/kernel/unprivileged_userns_clone", "0\n");
    machine.run(&["check"]).row("kernel", "missing", "unprivileged_userns_clone is 0");
    machine
        .write("/proc/sys/kernel/unprivileged_userns_clone", "1\n")
        .write("/proc/sys/user/max_user_namespaces", "0\n");
    machine.run(&["check"]).row("kernel", "missing", "max_user_namespaces is 0");
    machine.write("/proc/sys/user/max_user_namespaces", "96365\n").remove("/dev/net/tun");
    machine.run(&["check"]).row("kernel", "conflict", "/dev/net/tun");
    machine.uninstall("slirp4netns").uninstall("newuidmap").remove("/usr/lib/systemd/user/dbus.socket");
    machine.run(&["check"]).row("packages", "missing", "not installed: dbus-user-session slirp4netns uidmap");
    machine.write("/proc/sys/kernel/osrelease", "5.10.0-28-amd64\n");
    machine.run(&["check"]).row("packages", "missing", "dbus-user-session fuse-overlayfs slirp4netns");
    machine.stub("no-iptables", "").run(&["check"]).row("iptables", "missing", "containers would have no network");
    machine.write_home(".docker/config.json", "{\n\t\"credsStore\": \"desktop.exe\"\n}");
    machine.run(&["check"]).row("credentials", "missing", "Docker Desktop's");
    machine.write_home(".docker/config.json", "{\n\t\"credsStore\": \"secretservice\"\n}");
    machine.run(&["check"]).row("credentials", "ok", "");
}

#[test]
fn a_gpu_is_looked_for_where_the_machine_has_it() {
    require!(root, rootless_scripts);
    let machine = Machine::new();
    machine.run(&["check"]).row("gpu", "ok", "no NVIDIA GPU");
    machine.write("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n");
    machine.run(&["check"]).ends_with(1).row("gpu", "conflict", "NVIDIA's package source").says("would refuse: gpu");
    machine.run(&["check", "--no-gpu"]).row("gpu", "ok", "no NVIDIA GPU");
    machine.stub("nvidia-source", "").run(&["check"]).row("packages", "missing", "nvidia-container-toolkit");
    machine.gpu().run(&["check"]).row("gpu", "missing", "nvidia-ctk cdi generate");
    // Under WSL2 every maker's GPU is /dev/dxg.
    machine.remove("/proc/driver").remove("/dev/nvidiactl").wsl2().write("/dev/dxg", "");
    machine.run(&["check"]).row("gpu", "ok", "no NVIDIA GPU");
    machine.write("/usr/lib/wsl/lib/libcuda.so.1.1", "").run(&["check"]).row("gpu", "missing", "cdi generate");
}

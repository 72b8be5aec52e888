//! The identity shield.

use super::seen::{hardened, report};
use std::os::unix::net::UnixListener;
use std::process::Command;
use takumi_test::container::Start;
use takumi_test::folder::Folder;
use takumi_test::image::Image;
use takumi_test::require;

const ALL: [&str; 11] = [
    "unprivileged", "capabilities", "no-new-privileges", "seccomp", "privileged-container", "host-namespaces",
    "runtime-socket", "limits", "readonly-root", "tmpfs", "baked-paths",
];

/// With what people mount beside it: a second disk's models, a secret, the host's time zone.
#[test]
fn a_hardened_container_holds_both_shields() {
    require!(demo);
    let image = Image::demo();
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join("models")).unwrap();
    std::fs::write(folder.0.join("secret"), "x").unwrap();
    let at = |name: &str, place: &str| format!("{}:{place}", folder.0.join(name).display());
    let start = hardened(&image)
        .fresh_data()
        .options(&["-v", &at("models", "/data/models:ro"), "-v", &at("secret", "/run/secrets/hf_token:ro")])
        .options(&["-v", "/usr/share/zoneinfo/UTC:/etc/localtime:ro"]);
    let seen = report(start);
    assert_eq!((seen.ended.code, &seen.ended.stderr[..]), (0, ""), "{}", seen.ended.stdout);
    seen.held(&ALL).held(&["dangerous-mounts", "masked-paths", "volumes"]);
    seen.is("limits", "pass", "1024 MiB of memory, 256 processes, no core files");
    let rootless = seen.finding("user-namespace").status == "pass";
    if !rootless {
        seen.missing("user-namespace", "container root is host root");
    }
    // Which of them this kernel has is the kernel's word.
    let modules = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let confines = ["apparmor", "selinux"].into_iter().any(|module| modules.split(',').any(|each| each == module));
    let status = if confines && !rootless { "pass" } else { "skipped" };
    assert_eq!(seen.finding("apparmor").status, status, "{}", seen.ended.stdout);
    if modules.split(',').any(|each| each == "apparmor") && !rootless {
        let seen = report(hardened(&image).options(&["--security-opt", "apparmor=unconfined"]));
        seen.missing("apparmor", "AppArmor does not confine this process");
    }
}

#[test]
fn the_engines_defaults_hold_little() {
    require!(demo);
    let image = Image::demo();
    let seen = report(
        Start::plain(&image).env("TAKUMI_TMPFS", "/tmp:/run").options(&["--security-opt", "seccomp=unconfined"]),
    );
    assert_eq!((seen.ended.code, &seen.ended.stderr[..]), (0, ""));
    seen.missing("seccomp", "no seccomp filter")
        .missing("limits", "no limit on memory, processes, core files")
        .missing("readonly-root", "/ is writable")
        .missing("tmpfs", "/tmp is not a tmpfs; /run is not a tmpfs")
        .is("baked-paths", "skipped", "TAKUMI_BAKED is empty")
        .held(&["privileged-container", "host-namespaces", "runtime-socket", "dangerous-mounts", "masked-paths"])
        .held(&["unprivileged", "capabilities", "no-new-privileges"]);
}

#[test]
fn each_namespace_of_the_host_is_seen_alone() {
    require!(demo);
    let image = Image::demo();
    for (option, what) in
        [("--pid", "processes"), ("--ipc", "shared memory"), ("--uts", "host name"), ("--network", "network")]
    {
        let seen = report(hardened(&image).options(&[option, "host"]));
        let finding = seen.finding("host-namespaces");
        let detail = format!("shared with the host: {what}");
        // Kernels before 6.18 do not say it of the network: an interface does, and is named.
        let named = finding.detail.starts_with(&format!("{detail} (interface ")) && option == "--network";
        assert!(finding.status == "fail" && (finding.detail == detail || named), "{finding:?}");
        assert_eq!(finding.fix.as_deref(), Some(&format!("remove {option} host")[..]));
    }
}

#[test]
fn capabilities_of_a_host_are_seen() {
    require!(demo);
    let image = Image::demo();
    for each in ["SYS_ADMIN", "SYS_PTRACE"] {
        let start = Start::plain(&image).options(&["--cap-add", each]);
        report(start).missing("privileged-container", &format!("it was given CAP_{each}"));
        // It is not COMMAND's: `init` drops it.
    }
    // Given to a start as an ordinary user, it stands in the bounding set alone.
    let start = Start::plain(&image).options(&["--cap-add", "SYS_RAWIO", "--user", "1000:1000"]);
    report(start).missing("privileged-container", "it was given CAP_SYS_RAWIO");
}

#[test]
fn a_disk_in_dev_is_seen() {
    require!(root, demo);
    let image = Image::demo();
    let folder = Folder::new();
    let node = folder.0.join("takumi-test-disk");
    // The first loop device, which holds nothing.
    assert!(Command::new("mknod").arg(&node).args(["b", "7", "0"]).status().unwrap().success(), "mknod");
    let device = format!("{}:/dev/takumi-test-disk:r", node.display());
    let seen = report(hardened(&image).options(&["--device", &device]));
    seen.missing("privileged-container", "host devices in /dev: takumi-test-disk");
    // A GPU's nodes are character devices.
    let seen = report(hardened(&image).options(&["--device", "/dev/null:/dev/nvidia0"]));
    seen.held(&["privileged-container"]);
}

#[test]
fn an_engines_socket_is_found_wherever_it_lies() {
    require!(demo);
    let image = Image::demo();
    let folder = Folder::new();
    let listen = |below: &str| {
        let path = folder.0.join(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        UnixListener::bind(path).unwrap()
    };
    let _listeners = [
        "docker.sock", "one/docker.sock", "two/a/podman.sock", "three/a/b/containerd.sock", "four/a/b/c/d/docker.sock",
        "other/app.sock",
    ]
    .map(listen);
    let at = |name: &str, place: &str| format!("{}:{place}", folder.0.join(name).display());
    let told = |first: &str| format!("{first}: access to it is root on the host");
    for (name, place, found) in [
        ("docker.sock", "/run/docker.sock", "/run/docker.sock"),
        // Its name here does not matter.
        ("docker.sock", "/data/x", "/data/x"),
        ("one", "/data/x", "/data/x/docker.sock"),
        ("two", "/data/x", "/data/x/a/podman.sock"),
        ("three", "/data/x", "/data/x/a/b/containerd.sock"),
    ] {
        let seen = report(hardened(&image).options(&["-v", &at(name, place)]));
        seen.missing("runtime-socket", &told(found));
    }
    let all =
        ["docker.sock:/data/a", "one:/data/b", "two:/data/c:ro"].map(|mount| format!("{}/{mount}", folder.0.display()));
    let options: Vec<&str> = all.iter().flat_map(|mount| ["-v", mount]).collect();
    report(hardened(&image).options(&options)).missing("runtime-socket", &told("/data/a and 2 more"));
    // The controls: sockets of an app's own, and one that lies deeper than is searched.
    let seen = report(hardened(&image).options(&["-v", &at("other", "/data/x"), "-v", &at("four", "/data/y")]));
    seen.is("runtime-socket", "pass", "no engine socket is mounted");
}

#[test]
fn an_engines_socket_is_found_in_the_hosts_own_run() {
    require!(rootful_docker, demo);
    let seen = report(hardened(&Image::demo()).options(&["-v", "/run:/data/run:ro"]));
    let detail = &seen.says("runtime-socket", "fail", "/data/run/").detail;
    assert!(detail.starts_with("/data/run/") && detail.ends_with("root on the host"), "{detail}");
    seen.missing("dangerous-mounts", "/data/run is the host's /run");
}

#[test]
fn a_large_volume_is_searched_in_part_and_that_is_said() {
    require!(demo);
    let image = Image::demo();
    let folder = Folder::new();
    for number in 0..200 {
        std::fs::create_dir(folder.0.join(number.to_string())).unwrap();
    }
    let seen = report(hardened(&image).options(&["-v", &format!("{}:/data", folder.0.display())]));
    let detail = "no engine socket is mounted (only the first directories of /data were searched)";
    seen.is("runtime-socket", "pass", detail);
}

#[test]
fn each_limit_is_seen_alone() {
    require!(demo);
    let image = Image::demo();
    let all = [("--memory=1g", "memory"), ("--pids-limit=256", "processes"), ("--ulimit=core=0", "core files")];
    for (without, what) in all {
        let given: Vec<&str> = all.iter().map(|(option, _)| *option).filter(|option| *option != without).collect();
        let seen = report(Start::plain(&image).options(&given));
        seen.missing("limits", &format!("no limit on {what}"));
    }
}

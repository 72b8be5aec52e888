//! What a test needs in order to run. A test that cannot run fails, and says what is missing and which package has it;
//! `TAKUMI_ALLOW_SKIP=1` makes it pass with a line that begins with `skipped: `, which scripts/test.sh counts.

use crate::engine::succeeds;
use crate::image::{built, comfyui};
use crate::program::find;
use crate::torch;
use crate::user::CONTRIB;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages of Debian by what they bring.
const PACKAGES: &str = include_str!("../packages.txt");

/// `require!(demo, gosu, "tini-static")` at the head of a test: fails it, or ends it as skipped, where one of these is not there. A word is
/// one of [`missing`] or a command of packages.txt.
#[macro_export]
macro_rules! require {
    ($($need:tt),+ $(,)?) => {
        if $crate::requirement::lacks(&[$($crate::requirement::word(stringify!($need))),+]) {
            return;
        }
    };
}

/// A word of the macro, which may stand in quotes.
pub fn word(written: &str) -> &str {
    written.trim_matches('"')
}

/// Whether the test is to be skipped; fails it where that is not allowed.
#[track_caller]
pub fn lacks(needs: &[&str]) -> bool {
    let missing: Vec<String> = needs.iter().filter_map(|need| missing(need)).collect();
    if missing.is_empty() {
        return false;
    }
    let missing = missing.join("; ");
    let allowed = std::env::var_os("TAKUMI_ALLOW_SKIP").is_some_and(|value| value == "1");
    assert!(allowed, "this test cannot run: {missing}   (TAKUMI_ALLOW_SKIP=1 skips it)");
    println!("skipped: {missing}");
    true
}

/// What is missing of a need, and what to do about it.
fn missing(need: &str) -> Option<String> {
    let image = |name: String, build: &str| {
        let there = succeeds(&["image", "inspect", &name]);
        (!there)
            .then(|| format!("no image {name}, or no container engine answers: scripts/build.sh --stand-in {build}"))
    };
    let unless = |there: bool, what: &str| (!there).then(|| what.to_owned());
    match need {
        "docker" => unless(succeeds(&["info"]), "no container engine answers (docker.io)"),
        "rootful_docker" => unless(is_rootful_docker(), "no rootful Docker answers (docker.io)"),
        "demo" => image(built("demo"), "demo"),
        "comfyui" => image(comfyui(), "comfyui"),
        "torch" => image(torch::IMAGE.into(), "torch"),
        "gateway" => image(built("gateway"), "gateway"),
        "root" => unless(is_root(), "only root may do this (sudo)"),
        "namespaces" => {
            unless(has_namespaces(), "mount and pid namespaces are refused (run as root, with CAP_SYS_ADMIN)")
        }
        "user_namespaces" => unless(
            runs(
                "setpriv",
                &["--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "--map-root-user", "true"],
            ),
            "an ordinary user may make no user namespace (sysctl kernel.unprivileged_userns_clone=1)",
        ),
        "landlock" => {
            unless(has_landlock(), "this kernel has no Landlock, or it is off (lsm=landlock on its command line)")
        }
        "no_nvidia_driver" => {
            let drivers = std::fs::read_to_string("/proc/devices").unwrap_or_default();
            let nvidia = drivers.lines().any(|line| line.trim().starts_with("195 nvidia"));
            unless(!nvidia, "this machine has NVIDIA's driver, and the nodes of this test would be its own")
        }
        "network_namespaces" => unless(
            runs("unshare", &["--net", "true"]),
            "network namespaces are refused (run as root, with CAP_SYS_ADMIN)",
        ),
        "memory_groups" => unless(memory_groups().is_some(), "no control group of memory can be made (run as root)"),
        "tun" => unless(Path::new("/dev/net/tun").exists(), "no /dev/net/tun (modprobe tun)"),
        "fuse" => unless(Path::new("/dev/fuse").exists(), "no /dev/fuse (modprobe fuse)"),
        "rootless_scripts" => unless(
            Path::new(CONTRIB).join("dockerd-rootless-setuptool.sh").exists(),
            "no scripts for rootless engines in /usr/share/docker.io/contrib (docker.io)",
        ),
        "core_dumps" => unless(
            std::fs::read_to_string("/proc/sys/kernel/core_pattern").is_ok_and(|to| !to.contains(['|', '/'])),
            "core dumps go elsewhere than into the working directory (sysctl kernel.core_pattern=core)",
        ),
        "no_systemd" => unless(
            !Path::new("/run/systemd/system").exists(),
            "systemd runs here, and the test's user has no session of it (run it in a container)",
        ),
        program => {
            let there = if program.starts_with('/') { Path::new(program).exists() } else { find(program).is_some() };
            (!there).then(|| format!("{program} is not installed ({})", package(program)))
        }
    }
}

/// Where control groups with a limit of memory can be made, of version 1 or 2.
pub fn memory_groups() -> Option<PathBuf> {
    let first = PathBuf::from("/sys/fs/cgroup/memory");
    let second = PathBuf::from("/sys/fs/cgroup");
    let given = std::fs::read_to_string(second.join("cgroup.subtree_control")).unwrap_or_default();
    let place = if given.split_whitespace().any(|controller| controller == "memory") { second } else { first };
    let path = std::ffi::CString::new(place.as_os_str().as_encoded_bytes()).ok()?;
    // SAFETY: a string that ends in NUL.
    (place.join("cgroup.procs").exists() && unsafe { libc::access(path.as_ptr(), libc::W_OK) } == 0).then_some(place)
}

/// The package of a command.
fn package(program: &str) -> &'static str {
    let lines = PACKAGES.lines().filter(|line| !line.starts_with('#'));
    let mut pairs = lines.filter_map(|line| line.strip_prefix("all ").unwrap_or(line).trim().split_once(' '));
    let found = pairs.find(|(command, _)| *command == program);
    found.map(|(_, package)| package.trim()).unwrap_or_else(|| panic!("{program} is not in tests/support/packages.txt"))
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    // SAFETY: a getter.
    unsafe { libc::geteuid() == 0 }
}

fn has_namespaces() -> bool {
    runs("unshare", &["--mount", "--pid", "--fork", "true"])
}

fn has_landlock() -> bool {
    const VERSION: u32 = 1;
    // SAFETY: no pointer is passed; the answer is a version or an errno.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) > 0 }
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

fn is_rootful_docker() -> bool {
    let info = crate::engine::engine(&["info", "--format", "{{json .SecurityOptions}}"]).output();
    let Some(info) = info.ok().filter(|output| output.status.success()) else { return false };
    let version = crate::engine::engine(&["--version"]).output();
    let podman = version.is_ok_and(|output| output.stdout.starts_with(b"podman"));
    !podman && !String::from_utf8_lossy(&info.stdout).contains("name=rootless")
}

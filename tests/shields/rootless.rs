//! A rootless engine: what it changes in the report.

use crate::engine::{fresh_name, installed};
use std::path::PathBuf;
use std::process::{Command, Output};
use takumi_init::posture::finding::Status;
use takumi_init::posture::report::Report;

/// A user of the host with subordinate ids, and a root file system for Podman.
struct HostUser {
    name: String,
    home: PathBuf,
}

impl HostUser {
    fn new() -> Option<Self> {
        if !["podman", "runc", "newuidmap", "busybox"].into_iter().all(|tool| installed(tool).is_some()) {
            println!("skipped: podman, runc, uidmap or busybox is not installed");
            return None;
        }
        let name = fresh_name("user");
        let home = std::env::temp_dir().join(format!("{name}-home"));
        let user = Self { name, home };
        let words = ["-m", "-d", user.home.to_str().unwrap(), "-s", "/bin/sh", &user.name];
        assert!(Command::new("useradd").args(words).status().is_ok_and(|status| status.success()), "useradd");
        let root = user.home.join("rootfs");
        for directory in ["bin", "dev", "proc", "sys", "tmp", "run", "etc", "data", "app"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        let program = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
        std::fs::copy(program, root.join("init")).unwrap();
        std::fs::copy(installed("busybox").unwrap(), root.join("bin/busybox")).unwrap();
        let owner = format!("{0}:{0}", user.name);
        assert!(Command::new("chown").arg("-hR").arg(owner).arg(&root).status().is_ok_and(|status| status.success()));
        Some(user)
    }

    /// Runs a line of shell as the host's user, in their home.
    fn shell(&self, line: &str) -> Output {
        let runtime = self.home.join("runtime");
        let line = format!("mkdir -p -m 700 {0} data && export XDG_RUNTIME_DIR={0} && cd && {line}", runtime.display());
        Command::new("su").args(["-", &self.name, "-c", &line]).output().unwrap()
    }

    fn report(&self, options: &str) -> Report {
        let output = self.shell(&format!(
            "podman --runtime runc --cgroup-manager cgroupfs --events-backend file run --rm --network none --cap-drop all \
             --cap-add SETUID,SETGID,SETPCAP,CHOWN,DAC_READ_SEARCH,FOWNER --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 \
             --ulimit core=0 --read-only --tmpfs /tmp:rw,nosuid,nodev,noexec,size=8m --tmpfs /run:rw,nosuid,nodev,noexec,size=8m \
             -v ~/data:/data -e TAKUMI_VOLUMES=/data -e TAKUMI_TMPFS=/tmp:/run -e TAKUMI_BAKED=/app {options} \
             --rootfs ~/rootfs /init --report --json"
        ));
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"))
    }
}

impl Drop for HostUser {
    fn drop(&mut self) {
        // Ends the process that holds the user's namespace open.
        let _ = self.shell("podman system migrate");
        let _ = self.shell("podman unshare rm -rf data .local");
        let _ = Command::new("userdel").args(["-f", "-r", &self.name]).output();
        let _ = Command::new("rm").arg("-rf").arg(&self.home).status();
    }
}

#[test]
fn a_rootless_engine_holds_what_a_rootful_one_cannot() {
    let Some(user) = HostUser::new() else { return };
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&user.home).unwrap());
    let report = user.report("");
    let finding = |report: &Report, id: &str| report.findings.iter().find(|finding| finding.id == id).cloned().unwrap();
    for id in ["seccomp", "privileged-container", "host-namespaces", "runtime-socket", "readonly-root", "tmpfs"] {
        assert_eq!(finding(&report, id).status, Status::Held, "{:?}", finding(&report, id));
    }
    for id in ["baked-paths", "dangerous-mounts", "masked-paths", "volumes"] {
        assert_eq!(finding(&report, id).status, Status::Held, "{:?}", finding(&report, id));
    }
    let map = finding(&report, "user-namespace");
    assert_eq!((map.status, map.detail), (Status::Held, format!("root here is uid {uid} outside")));
    // Without cgroup v2 a rootless engine limits nothing, whatever it is told.
    let limits = finding(&report, "limits");
    if !std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        assert_eq!((limits.status, &limits.detail[..]), (Status::Missing, "no limit of memory"));
        assert_eq!(limits.fix.as_deref(), Some("add --memory 16g (a rootless engine needs cgroup v2 for it)"));
    }
    // The user's own id stands for the app's: container root is one of the subordinate ones. What is open stays open.
    let report = user.report("--userns keep-id:uid=1000,gid=1000 --user 0 --security-opt seccomp=unconfined");
    let keep = finding(&report, "user-namespace");
    assert_eq!((keep.status, &keep.detail[..]), (Status::Held, "root here is uid 1 outside"));
    assert_eq!(finding(&report, "seccomp").status, Status::Missing);
}

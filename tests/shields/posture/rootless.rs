//! A rootless engine: what it changes in the report.

use std::path::Path;
use takumi_test::program::{Ended, init, installed, run};
use takumi_test::report::Report;
use takumi_test::require;
use takumi_test::user::User;

/// A user of the host with subordinate ids, and a root file system for Podman.
struct HostUser(User);

impl HostUser {
    /// `require!(root, setpriv, podman, runc, newuidmap, busybox)`.
    fn new() -> HostUser {
        let user = HostUser(User::new(&[]));
        let root = user.0.home.join("rootfs");
        for directory in ["bin", "dev", "proc", "sys", "tmp", "run", "etc", "data", "app"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        std::fs::copy(init(), root.join("init")).unwrap();
        std::fs::copy(installed("busybox"), root.join("bin/busybox")).unwrap();
        user.0.own(&root);
        user
    }

    /// Runs a line of shell as the host's user, in their home.
    fn shell(&self, line: &str) -> Ended {
        let runtime = self.0.home.join("runtime");
        let line = format!("mkdir -p -m 700 {0} data && export XDG_RUNTIME_DIR={0} && {line}", runtime.display());
        let mut command = self.0.command("sh");
        run(command.args(["-c", &line]).env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"))
    }

    fn report(&self, options: &str) -> Report {
        Report::of(&self.shell(&format!(
            "podman --runtime runc --cgroup-manager cgroupfs --events-backend file run --rm --network none --cap-drop all \
             --cap-add SETUID,SETGID,SETPCAP,CHOWN,DAC_READ_SEARCH,FOWNER --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 \
             --ulimit core=0 --read-only --tmpfs /tmp:rw,nosuid,nodev,noexec,size=8m --tmpfs /run:rw,nosuid,nodev,noexec,size=8m \
             -v ~/data:/data -e TAKUMI_VOLUMES=/data -e TAKUMI_TMPFS=/tmp:/run -e TAKUMI_BAKED=/app {options} \
             --rootfs ~/rootfs /init --report --json"
        )))
    }
}

impl Drop for HostUser {
    fn drop(&mut self) {
        // Ends the process that holds the user's namespace open.
        let _ = self.shell("podman system migrate");
        let _ = self.shell("podman unshare rm -rf data .local");
    }
}

#[test]
fn a_rootless_engine_holds_what_a_rootful_one_cannot() {
    require!(root, setpriv, podman, runc, newuidmap, busybox);
    let user = HostUser::new();
    let report = user.report("");
    report.held(&["seccomp", "privileged-container", "host-namespaces", "runtime-socket", "readonly-root", "tmpfs"]);
    report.held(&["baked-paths", "dangerous-mounts", "masked-paths", "volumes"]);
    report.is("user-namespace", "pass", &format!("container root is uid {} outside", user.0.uid));
    // Without cgroup v2 a rootless engine limits nothing, whatever it is told.
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        report.missing("limits", "no limit on memory");
        let fix = report.finding("limits").fix.as_deref();
        assert_eq!(fix, Some("add --memory 16g (rootless engines need cgroup v2 for this)"));
    }
    // The user's own id stands for the app's: container root is one of the subordinate ones. What is open stays open.
    let report = user.report("--userns keep-id:uid=1000,gid=1000 --user 0 --security-opt seccomp=unconfined");
    report.is("user-namespace", "pass", "container root is uid 1 outside");
    report.says("seccomp", "fail", "");
}

//! Rootless: the host's user keeps their files, the app may write beside them, and the host's user may use what it wrote.

use super::support::{Outcome, ROOT, owner, snapshot};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;
use takumi_test::program::{Ended, init, installed, run};
use takumi_test::require;
use takumi_test::user::User;

/// A user of the host with a range of subordinate ids, and a root file system with `init` for Podman to run.
struct HostUser(User);

impl HostUser {
    fn new() -> HostUser {
        let busybox = installed("busybox");
        // In a root file system of its own it finds no library.
        assert_ne!(run(Command::new("ldd").arg(&busybox)).code, 0, "busybox is linked dynamically (busybox-static)");
        let user = User::new(&[]);
        let root = user.home.join("rootfs");
        for directory in ["bin", "dev", "proc", "sys", "tmp", "run", "etc", "data"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::create_dir(user.home.join("runtime")).unwrap();
        sh!("chmod", "0700", user.home.join("runtime"));
        sh!("cp", "-L", busybox, root.join("bin/busybox"));
        for applet in ["sh", "ls", "mkdir", "mktemp", "stat", "cat"] {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        sh!("cp", init(), root.join("init"));
        user.own(&user.home);
        sh!("chmod", "0755", user.home);
        HostUser(user)
    }

    /// Runs a line of shell as the host's user, in their home.
    fn shell(&self, line: &str) -> Ended {
        let mut command = self.0.command("/bin/sh");
        command.args(["-c", line]).env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin");
        run(command.env("XDG_RUNTIME_DIR", self.0.home.join("runtime")))
    }

    #[track_caller]
    fn may(&self, line: &str) -> String {
        self.shell(line).ends_with(0).stdout
    }

    /// A start in a rootless container, with `source` as its /data.
    fn start(&self, source: &str, settings: &str, app: &str) -> Ended {
        self.shell(&format!(
            "podman --runtime runc --cgroup-manager cgroupfs --events-backend file run --rm --network none --cap-drop all \
             --cap-add SETUID,SETGID,SETPCAP,CHOWN,DAC_READ_SEARCH,FOWNER --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 \
             -v {source}:/data -e TAKUMI_VOLUMES=/data -e TAKUMI_LOG=debug {settings} --rootfs ~/rootfs /init /bin/sh -c '{app}'"
        ))
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
fn a_rootless_bind_mount_is_shared_and_read_back_as_the_hosts_user() {
    require!(root, setpriv, podman, runc, newuidmap, busybox);
    let user = HostUser::new();
    user.may("mkdir -p data/sub; echo first > data/file; echo mine > data/sub/private; chmod 600 data/sub/private");
    let app = "echo more >> /data/file && echo more >> /data/sub/private && umask 077 && echo new > /data/new && mkdir /data/made && echo deep > /data/made/deep && mktemp -p /data closed.XXXXXX";
    user.start("~/data", "", app).succeeded().says("4 of 4 entries shared by ACL");

    let data = user.0.home.join("data");
    let owners = ["", "file", "sub", "sub/private"].map(|name| fs::metadata(data.join(name)).unwrap().uid());
    assert_eq!(owners, [user.0.uid; 4], "the host user's files changed hands");
    assert_ne!(fs::metadata(data.join("new")).unwrap().uid(), user.0.uid, "the app is somebody else");
    // Read, change and delete, without sudo.
    assert_eq!(
        user.may("cat data/file data/sub/private data/new data/made/deep"),
        "first\nmore\nmine\nmore\nnew\ndeep\n"
    );
    user.may("echo host >> data/new && echo host > data/made/deep && echo host > data/made/own && rm data/made/deep");
    // A file that was created 0600 has an empty mask: closed until the next start.
    assert!(user.shell("cat data/closed.*").code != 0);
    user.start("~/data", "", "cat /data/made/own && echo app >> /data/made/own")
        .succeeded()
        .says("1 of 8 entries shared");
    user.may("cat data/closed.* && for file in data/closed.*; do echo open >> $file; done");
    let before = snapshot(&data);
    user.start("~/data", "", "true").succeeded().says("ownership correct, 8 entries");
    assert_eq!(snapshot(&data), before);

    // The control: a chown takes the file from the host's user.
    user.start("~/data", "-e TAKUMI_OWNERSHIP=chown", "true").succeeded();
    assert_ne!(fs::metadata(data.join("file")).unwrap().uid(), user.0.uid);
}

#[test]
fn a_rootless_named_volume_is_chowned_as_usual() {
    require!(root, setpriv, podman, runc, newuidmap, busybox);
    let user = HostUser::new();
    let app = "stat -c %u:%g /data && echo mine > /data/file";
    user.start("named", "", app).succeeded().says("1000:1000").says("owner of 1 of 1").never_says("ACL");
}

#[test]
fn a_file_of_an_unmapped_host_user_is_told_with_the_hosts_command() {
    require!(root, setpriv, podman, runc, newuidmap, busybox);
    let user = HostUser::new();
    user.may("mkdir data && echo mine > data/file");
    let stranger = user.0.home.join("data/stranger");
    fs::write(&stranger, "root's on the host").unwrap();
    let path = user.0.home.join("data");
    let ended = user.start("~/data", "", "true").succeeded();
    let ended = ended.says("owned by a host user that this container does not map").says("/data/stranger");
    // The group of the user's name need not have the user's number.
    let group = fs::metadata(&user.0.home).unwrap().gid();
    ended.says(&format!("sudo chown -R {}:{group} {}", user.0.uid, path.display()));
    assert_eq!(owner(&stranger), ROOT);
}

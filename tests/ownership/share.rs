//! Rootless: the host's user keeps their files, the app may write beside them, and the host's user may use what it wrote.

use crate::support::{APP, Ended, Init, OTHER, Place, ROOT, owner, program, snapshot, wrong};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A user of the host with a range of subordinate ids, a home, and a root file system with `init` for Podman to run.
struct HostUser {
    name: String,
    home: PathBuf,
}

impl HostUser {
    /// `None` where there is no rootless engine.
    fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let installed = |tool| Command::new("which").arg(tool).output().is_ok_and(|output| output.status.success());
        if !["podman", "runc", "newuidmap", "busybox"].into_iter().all(installed) {
            println!("skipped: podman, runc, uidmap or busybox is not installed");
            return None;
        }
        // In a root file system of its own it finds no library.
        if Command::new("ldd").arg(sh!("which", "busybox").trim()).output().is_ok_and(|output| output.status.success())
        {
            println!("skipped: busybox is linked dynamically (Debian: busybox-static)");
            return None;
        }
        let name = format!("takumi-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let home = std::env::temp_dir().join(format!("{name}-home"));
        let user = Self { name, home };
        sh!("useradd", "-m", "-d", user.home, "-s", "/bin/sh", user.name);
        let root = user.home.join("rootfs");
        for directory in ["bin", "dev", "proc", "sys", "tmp", "run", "etc", "data"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        sh!("cp", "-L", sh!("which", "busybox").trim(), root.join("bin/busybox"));
        for applet in ["sh", "ls", "mkdir", "mktemp", "stat", "cat"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        sh!("cp", program(), root.join("init"));
        sh!("chown", "-hR", format!("{0}:{0}", user.name), root);
        sh!("chmod", "0755", user.home);
        Some(user)
    }

    fn uid(&self) -> u32 {
        fs::metadata(&self.home).unwrap().uid()
    }

    /// Runs a line of shell as the host's user, in their home.
    fn shell(&self, line: &str) -> Output {
        let runtime = self.home.join("runtime");
        let line = format!("mkdir -p -m 700 {0} && export XDG_RUNTIME_DIR={0} && cd && {line}", runtime.display());
        Command::new("su").args(["-", &self.name, "-c", &line]).output().unwrap()
    }

    #[track_caller]
    fn may(&self, line: &str) -> String {
        let output = self.shell(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A start in a rootless container, with `source` as its /data; what the app said stands behind what `init` said.
    fn start(&self, source: &str, settings: &str, app: &str) -> Ended {
        let output = self.shell(&format!(
            "podman --runtime runc --cgroup-manager cgroupfs --events-backend file run --rm --network none --cap-drop all \
             --cap-add SETUID,SETGID,SETPCAP,CHOWN,DAC_READ_SEARCH,FOWNER --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 \
             -v {source}:/data -e TAKUMI_VOLUMES=/data -e TAKUMI_LOG=debug {settings} --rootfs ~/rootfs /init /bin/sh -c '{app}'"
        ));
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        Ended { code: output.status.code(), said: said.into_owned() }
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
fn a_rootless_bind_mount_is_shared_and_read_back_as_the_hosts_user() {
    let Some(user) = HostUser::new() else { return };
    user.may("mkdir -p data/sub; echo first > data/file; echo mine > data/sub/private; chmod 600 data/sub/private");
    let app = "echo more >> /data/file && echo more >> /data/sub/private && umask 077 && echo new > /data/new && mkdir /data/made && echo deep > /data/made/deep && mktemp -p /data closed.XXXXXX";
    user.start("~/data", "", app).succeeded().says("4 of 4 entries shared by ACL");

    let data = user.home.join("data");
    let owners = ["", "file", "sub", "sub/private"].map(|name| fs::metadata(data.join(name)).unwrap().uid());
    assert_eq!(owners, [user.uid(); 4], "the host user's files changed hands");
    assert_ne!(fs::metadata(data.join("new")).unwrap().uid(), user.uid(), "the app is somebody else");
    // Read, change and delete, without sudo.
    assert_eq!(
        user.may("cat data/file data/sub/private data/new data/made/deep"),
        "first\nmore\nmine\nmore\nnew\ndeep\n"
    );
    user.may("echo host >> data/new && echo host > data/made/deep && echo host > data/made/own && rm data/made/deep");
    // A file that was created 0600 has an empty mask: closed until the next start.
    assert!(!user.shell("cat data/closed.*").status.success());
    user.start("~/data", "", "cat /data/made/own && echo app >> /data/made/own")
        .succeeded()
        .says("1 of 8 entries shared");
    user.may("cat data/closed.* && for file in data/closed.*; do echo open >> $file; done");
    let before = snapshot(&data);
    user.start("~/data", "", "true").succeeded().says("right, 8 entries");
    assert_eq!(snapshot(&data), before);

    // The control: a chown takes the file from the host's user.
    user.start("~/data", "-e TAKUMI_OWNERSHIP=chown", "true").succeeded();
    assert_ne!(fs::metadata(data.join("file")).unwrap().uid(), user.uid());
}

#[test]
fn a_rootless_named_volume_is_chowned_as_usual() {
    let Some(user) = HostUser::new() else { return };
    let app = "stat -c %u:%g /data && echo mine > /data/file";
    user.start("named", "", app).succeeded().says("1000:1000").says("owner of 1 of 1").never_says("ACL");
}

#[test]
fn a_file_of_an_unmapped_host_user_is_told_with_the_hosts_command() {
    let Some(user) = HostUser::new() else { return };
    user.may("mkdir data && echo mine > data/file");
    let stranger = user.home.join("data/stranger");
    fs::write(&stranger, "root's on the host").unwrap();
    let path = user.home.join("data");
    let ended = user.start("~/data", "", "true").succeeded();
    let ended = ended.says("owned by a host user that this container does not map").says("/data/stranger");
    // Another test's user may have taken the group of the user's own number.
    let group = fs::metadata(&user.home).unwrap().gid();
    ended.says(&format!("sudo chown -R {}:{group} {}", user.uid(), path.display()));
    assert_eq!(owner(&stranger), ROOT);
}

#[test]
fn a_filesystem_without_acls_is_told_at_the_first_file() {
    let place = Place::new();
    for index in 0..100 {
        place.file(index.to_string(), OTHER, 0o644);
    }
    let share = || place.init().with("TAKUMI_OWNERSHIP", "share");
    let before = snapshot(&place.volume);
    let (ended, trace) = share().traced(&["-e", "trace=setxattr", "-e", "inject=setxattr:error=EOPNOTSUPP"]);
    ended.refused().says("has no POSIX ACLs").says("Operation not supported");
    assert_eq!(trace.lines().filter(|line| line.contains("posix_acl")).count(), 1, "{trace}");
    let (ended, trace) = share().traced(&["-e", "trace=setxattr", "-e", "inject=setxattr:retval=0"]);
    ended.refused().says("accepts an ACL and keeps none");
    assert_eq!(trace.lines().filter(|line| line.contains("posix_acl")).count(), 1, "{trace}");
    assert_eq!(snapshot(&place.volume), before);
    // The control: without the fault it works, and touches no owner.
    share().run().succeeded().says("shared by ACL");
    assert_eq!(wrong(&place.volume, OTHER), std::slice::from_ref(&place.volume));
}

#[test]
fn an_acl_gives_what_the_owner_may_and_nobody_else_gains() {
    let place = Place::new();
    let closed = place.file("closed", OTHER, 0o600);
    let script = place.file("script", OTHER, 0o755);
    let read_only = place.file("read_only", OTHER, 0o444);
    place.init().with("TAKUMI_OWNERSHIP", "share").run().succeeded();
    let list = |path: &Path| sh!("getfacl", "-n", "-c", "-p", path).split_whitespace().collect::<Vec<_>>().join(" ");
    let named = |permission: &str| format!("user:0:{permission} user:{}:{permission}", APP.0);
    assert_eq!(list(&closed), format!("user::rw- {} group::--- mask::rw- other::---", named("rw-")));
    assert_eq!(list(&script), format!("user::rwx {} group::r-x mask::rwx other::r-x", named("rwx")));
    assert_eq!(list(&read_only), format!("user::r-- {} group::r-- mask::r-- other::r--", named("r--")));
    assert!(list(&place.volume).contains(&format!("default:user:{}:rwx", APP.0)));
    Init::on(&place.volume).with("TAKUMI_OWNERSHIP", "share").run().succeeded().says("right");
}

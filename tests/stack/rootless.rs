//! The same stack on engines of ordinary users: rootless dockerd and rootless Podman, each of a user that the test makes. Images come
//! from the machine's own engine.

use crate::stack::{
    Images, REPOSITORY, Stack, has_docker, only_the_list_is_reached, page_and_websocket_work, shows_a_good_start,
};
use crate::support::{CONTRIB, Said, User};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

/// /dev/net/tun as every ordinary machine has it, and back again after the last who needs it.
struct Tun(u32);

impl Tun {
    fn open() -> Arc<Tun> {
        static SHARED: Mutex<Weak<Tun>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(tun) = shared.upgrade() {
            return tun;
        }
        let tun = Arc::new(Tun(fs::metadata("/dev/net/tun").unwrap().mode()));
        fs::set_permissions("/dev/net/tun", fs::Permissions::from_mode(0o666)).unwrap();
        *shared = Arc::downgrade(&tun);
        tun
    }
}

impl Drop for Tun {
    fn drop(&mut self) {
        let _ = fs::set_permissions("/dev/net/tun", fs::Permissions::from_mode(self.0 & 0o7777));
    }
}

/// A user with the scripts, the compose file and a place for sockets in their home.
struct Host {
    user: User,
    _tun: Arc<Tun>,
}

impl Host {
    fn new(needed: &[(&str, &str)]) -> Option<Host> {
        if !has_docker() {
            return None;
        }
        for (path, package) in
            [("/usr/bin/newuidmap", "uidmap"), ("/usr/bin/slirp4netns", "slirp4netns")].iter().chain(needed)
        {
            if !Path::new(path).exists() {
                println!("skipped: {package} is not installed ({path})");
                return None;
            }
        }
        if !Path::new("/dev/net/tun").exists() {
            println!("skipped: the kernel has no tun device");
            return None;
        }
        if Path::new("/run/systemd/system").exists() {
            println!("skipped: systemd runs here, and the test's user has no session of it");
            return None;
        }
        let user = User::new(&[])?;
        for part in ["scripts", "image"] {
            let from = Path::new(REPOSITORY).join(part);
            assert!(Command::new("cp").arg("-r").arg(from).arg(&user.home).status().unwrap().success());
        }
        fs::create_dir(user.home.join("run")).unwrap();
        fs::set_permissions(user.home.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
        user.own(&user.home);
        Some(Host { user, _tun: Tun::open() })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.user.command("env");
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("XDG_RUNTIME_DIR", self.user.home.join("run")).arg(program);
        command
    }

    /// The machine's own images into the user's engine.
    fn load(&self, images: &Images, engine: &str) {
        let names = ["comfyui", "egress", "gateway"].map(|which| images.name(which));
        let mut save = Command::new("docker").arg("save").args(&names).stdout(Stdio::piped()).spawn().unwrap();
        let mut load = self.command(engine);
        load.arg("load").stdin(save.stdout.take().unwrap());
        Said::of(&load.output().unwrap()).ends_with(0);
        assert!(save.wait().unwrap().success());
    }

    fn stack<'a>(&'a self, images: &Images, engine: &'static [&'static str]) -> Stack<'a> {
        Stack::new(images, &self.user.home, engine, Box::new(|program| self.command(program)))
    }
}

/// Up, looked at, and down again.
fn comes_and_goes(stack: &Stack, images: &Images, engine: &str) {
    let up =
        stack.up(&[]).says(engine).says("rootless: root in a container is takumi-test-").says("reported, not required");
    let address = shows_a_good_start(up, false);
    page_and_websocket_work(&address);
    only_the_list_is_reached(stack, images);
    stack.up(&["status"]).ends_with(0).says("healthy: COMMAND is process").says("Nobody in there is root");
    seccomp_is_ours(stack, images);
    stack.up(&["down"]).ends_with(0).says("comfyui ended with code 0").says("volumes stay");
    assert_eq!(stack.left(false), "");
    stack.up(&["down", "--volumes"]).ends_with(0).says("does not run");
    assert_eq!(stack.left(true), "");
}

/// Podman gets the profile by a way of its own.
fn seccomp_is_ours(stack: &Stack, images: &Images) {
    let program =
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); libc.syscall(425, 1, 0); print(ctypes.get_errno())";
    let errno = |words: &[&str]| stack.ask(&[words, &["-c", program]].concat());
    // io_uring_setup: EPERM by image/seccomp.json; by the engines' own profiles EFAULT (let through) or ENOSYS.
    assert_eq!(errno(&["exec", &stack.container("comfyui"), "python3"]), "1");
    let name = images.name("comfyui");
    assert_ne!(errno(&["run", "--rm", "--network", "none", "--entrypoint", "python3", &name]), "1");
}

#[test]
fn the_stack_runs_on_rootless_docker() {
    let dockerd = format!("{CONTRIB}/dockerd-rootless.sh");
    let Some(host) = Host::new(&[(&dockerd, "docker.io"), ("/usr/bin/rootlesskit", "rootlesskit")]) else { return };
    let Some(images) = Images::shared() else { return };
    let mut setup = host.command("scripts/setup_rootless.sh");
    Said::of(&setup.args(["install", "--yes"]).output().unwrap()).ends_with(0);
    host.load(&images, "docker");
    // Nothing tells up.sh which engine: the machine's own one does not answer this user.
    let stack = host.stack(&images, &["docker"]).set("CONTAINER_ENGINE", "");
    comes_and_goes(&stack, &images, "engine: Docker");
}

/// Podman without systemd and with cgroup v1.
const CONTAINERS_CONF: &str = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n\
     [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
     [network]\nnetwork_backend = \"netavark\"\n";

#[test]
fn the_stack_runs_on_rootless_podman() {
    let needed = [
        ("/usr/bin/podman", "podman"),
        ("/usr/bin/docker-compose", "docker-compose"),
        ("/usr/lib/podman/netavark", "netavark"),
        ("/usr/lib/podman/aardvark-dns", "aardvark-dns"),
        ("/usr/sbin/runc", "runc"),
    ];
    let Some(host) = Host::new(&needed) else { return };
    let Some(images) = Images::shared() else { return };
    let folder = host.user.home.join(".config/containers");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("containers.conf"), CONTAINERS_CONF).unwrap();
    // Without, and without /dev/fuse, every container is a copy of its image.
    fs::write(folder.join("storage.conf"), "[storage]\ndriver = \"overlay\"\n").unwrap();
    host.user.own(&host.user.home.join(".config"));
    host.load(&images, "podman");
    let stack = host.stack(&images, &["podman"]);
    comes_and_goes(&stack, &images, "engine: Podman");
}

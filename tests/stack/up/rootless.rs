//! The same stack on engines of ordinary users: rootless dockerd and rootless Podman, each of a user that the test makes. Images come
//! from the machine's own engine.

use super::stack::{Stack, only_the_list_is_reached, page_and_websocket_work, shows_a_good_start};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use takumi_test::program::{REPOSITORY, run};
use takumi_test::require;
use takumi_test::tun::Tun;
use takumi_test::user::User;

/// A user with the scripts, the compose file and a place for sockets in their home.
struct Host {
    user: User,
    _tun: Tun,
}

impl Host {
    fn new() -> Host {
        let user = User::new(&[]);
        for part in ["scripts", "image"] {
            let from = Path::new(REPOSITORY).join(part);
            run(Command::new("cp").arg("-r").arg(from).arg(&user.home)).ends_with(0);
        }
        fs::create_dir(user.home.join("run")).unwrap();
        fs::set_permissions(user.home.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
        user.own(&user.home);
        Host { user, _tun: Tun::open() }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.user.command("env");
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("XDG_RUNTIME_DIR", self.user.home.join("run")).arg(program);
        command
    }

    /// A stack on the user's engine, which gets the machine's own images.
    fn stack(&self, engine: &'static [&'static str]) -> Stack<'_> {
        let stack = Stack::new(&self.user.home, engine, Box::new(|program| self.command(program)));
        let names = stack.images.each_ref().map(|image| &image.name);
        let mut save = Command::new("docker").arg("save").args(names).stdout(Stdio::piped()).spawn().unwrap();
        let mut load = self.command(engine[0]);
        let loaded = load.arg("load").stdin(save.stdout.take().unwrap()).output().unwrap();
        assert!(save.wait().unwrap().success() && loaded.status.success(), "{loaded:?}");
        stack
    }
}

/// Up, looked at, and down again.
fn comes_and_goes(stack: &Stack, engine: &str) {
    let up = stack.up(&[]).says(engine).says("rootless: container root is takumi-test-").says("reported, not required");
    let address = shows_a_good_start(stack, &up, false);
    page_and_websocket_work(&address);
    only_the_list_is_reached(stack);
    stack.up(&["status"]).ends_with(0).says("healthy: COMMAND is process").says("Nobody in there is root");
    seccomp_is_ours(stack);
    stack.up(&["down"]).ends_with(0).says("comfyui ended with code 0").says("volumes stay");
    assert_eq!(stack.left(false), "");
    stack.up(&["down", "--volumes"]).ends_with(0).says("does not run");
    assert_eq!(stack.left(true), "");
}

/// Podman gets the profile by a way of its own.
fn seccomp_is_ours(stack: &Stack) {
    let program =
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); libc.syscall(425, 1, 0); print(ctypes.get_errno())";
    let errno = |words: &[&str]| stack.ask(&[words, &["-c", program]].concat());
    // io_uring_setup: EPERM by image/seccomp.json; by the engines' own profiles EFAULT (let through) or ENOSYS.
    assert_eq!(errno(&["exec", &stack.container("comfyui"), "python3"]), "1");
    let name = &stack.images[0].name;
    assert_ne!(errno(&["run", "--rm", "--network", "none", "--entrypoint", "python3", name]), "1");
}

#[test]
fn the_stack_runs_on_rootless_docker() {
    require!(rootful_docker, comfyui, gateway, root, setpriv, newuidmap, slirp4netns, rootlesskit, tun, no_systemd);
    require!("/usr/share/docker.io/contrib/dockerd-rootless.sh", "docker-compose");
    let host = Host::new();
    run(host.command("scripts/setup_rootless.sh").args(["install", "--yes"])).ends_with(0);
    // Nothing tells up.sh which engine: the machine's own one does not answer this user.
    let stack = host.stack(&["docker"]).set("CONTAINER_ENGINE", "");
    comes_and_goes(&stack, "engine: Docker");
}

/// Podman without systemd and with cgroup v1.
const CONTAINERS_CONF: &str = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n\
     [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
     [network]\nnetwork_backend = \"netavark\"\n";

#[test]
fn the_stack_runs_on_rootless_podman() {
    require!(rootful_docker, comfyui, gateway, root, setpriv, newuidmap, slirp4netns, tun, no_systemd, podman, runc);
    require!("/usr/lib/podman/netavark", "/usr/lib/podman/aardvark-dns", "docker-compose");
    let host = Host::new();
    let folder = host.user.home.join(".config/containers");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("containers.conf"), CONTAINERS_CONF).unwrap();
    // Without, and without /dev/fuse, every container is a copy of its image.
    fs::write(folder.join("storage.conf"), "[storage]\ndriver = \"overlay\"\n").unwrap();
    host.user.own(&host.user.home.join(".config"));
    comes_and_goes(&host.stack(&["podman"]), "engine: Podman");
}

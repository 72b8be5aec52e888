//! A machine in a directory, and what the script says of it: `require!(root, rootless_scripts)`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use takumi_test::folder::Folder;
use takumi_test::program::{Ended, installed};
use takumi_test::user::{CONTRIB, User};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// What the script and the setup tool call that is no double.
const TOOLS: &str = "awk basename bash cat chmod cmp cp cut date dirname env find getent getopt grep head id install ldd ln ls mkdir mktemp mv \
    printf python3 readlink realpath rm rmdir sed setsid sh sha256sum sleep sort stat tac tail tar touch tr uname";

/// The table that `check` prints.
pub trait Table {
    /// A step's row has this state and, in it or in its remedy, the words.
    fn row(self, step: &str, state: &str, words: &str) -> Self;
}

impl Table for Ended {
    #[track_caller]
    fn row(self, step: &str, state: &str, words: &str) -> Ended {
        let text = self.text();
        let mut lines = text.lines().skip_while(|line| line.split_whitespace().nth(1) != Some(step));
        let first = lines.next().unwrap_or_else(|| panic!("no row '{step}': {}", text));
        let remedy = lines.next().filter(|line| line.trim_start().starts_with("->")).unwrap_or("");
        assert_eq!(first.split_whitespace().next(), Some(state), "{first}\n{remedy}");
        assert!(first.contains(words) || remedy.contains(words), "expected '{words}': {first}\n{remedy}");
        self
    }
}

/// Every path below with its kind, mode and content.
pub fn snapshot(directory: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let data = fs::symlink_metadata(&path).unwrap();
            let content = if data.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else if data.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            if data.is_dir() {
                open.push(path.clone());
            }
            all.insert(path, (data.mode(), content));
        }
    }
    all
}

/// A machine in a directory: Ubuntu 24.04 with systemd, on which everything is ready but the engine. Programs that would change the real
/// machine are doubles.
pub struct Machine {
    pub user: User,
    folder: Folder,
    environment: Vec<(String, String)>,
}

impl Machine {
    pub fn new() -> Machine {
        let machine = Machine { user: User::new(&[]), folder: Folder::new(), environment: Vec::new() };
        let doubles = machine.folder.join("doubles/bin");
        for directory in
            [&doubles, &machine.folder.join("doubles/later"), &machine.folder.join("tools"), &machine.root("/")]
        {
            fs::create_dir_all(directory).unwrap();
        }
        let status =
            Command::new("cp").args(["-r", &format!("{REPOSITORY}/scripts")]).arg(&machine.folder.0).status().unwrap();
        assert!(status.success());
        for entry in fs::read_dir(format!("{REPOSITORY}/tests/volumes/rootless/doubles")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), doubles.join(entry.file_name())).unwrap();
        }
        fs::remove_file(doubles.join("nvidia-ctk")).unwrap();
        for program in ["newuidmap", "slirp4netns", "iptables"] {
            fs::rename(doubles.join("plain"), doubles.join(program)).unwrap();
            fs::copy(doubles.join(program), doubles.join("plain")).unwrap();
        }
        for tool in TOOLS.split(' ') {
            symlink(installed(tool), machine.folder.join("tools").join(tool)).unwrap();
        }
        machine.describe();
        machine
    }

    fn describe(&self) {
        let User { name, uid, .. } = &self.user;
        self.write(
            "/etc/os-release",
            "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\nPRETTY_NAME=\"Ubuntu 24.04.3 LTS\"\n",
        );
        self.write("/etc/passwd", &format!("root:x:0:0:root:/root:/bin/bash\n{name}:x:{uid}:{uid}::/home:/bin/bash\n"));
        self.write("/etc/group", "root:x:0:\n");
        self.write("/etc/subuid", &format!("{name}:100000:65536\n"));
        self.write("/etc/subgid", &format!("{name}:100000:65536\n"));
        self.write("/etc/login.defs", "SUB_UID_MIN\t\t   100000\n");
        self.write("/etc/apparmor.d/abi/4.0", "");
        self.write("/proc/sys/kernel/osrelease", "6.8.0-45-generic\n");
        self.write("/proc/sys/user/max_user_namespaces", "96365\n");
        self.write("/proc/self/mounts", "/dev/sda1 / ext4 rw,relatime 0 0\n");
        self.write("/dev/net/tun", "");
        self.write("/proc/modules", "ip_tables 32768 0 - Live 0x0\n");
        self.write("/proc/net/unix", "Num       RefCount Protocol Flags    Type St Inode Path\n");
        self.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n");
        self.delegate("cpuset cpu io memory pids");
        self.write(&format!("/var/lib/systemd/linger/{name}"), "");
        self.write("/usr/lib/systemd/user/dbus.socket", "");
        fs::create_dir_all(self.root("/run/systemd/system")).unwrap();
        fs::create_dir_all(self.root(&format!("/run/user/{uid}"))).unwrap();
        fs::create_dir_all(self.root(CONTRIB)).unwrap();
        // Docker's own tool, which knows no root but /.
        let mut tool = fs::read_to_string(format!("{CONTRIB}/dockerd-rootless-setuptool.sh")).unwrap();
        for place in ["/proc/modules", "/lib/modules", "/proc/sys", "/etc/sub", "/var/run/docker.sock"] {
            tool = tool.replace(&format!(" {place}"), &format!(" {}", self.root(place).display()));
        }
        self.write(&format!("{CONTRIB}/dockerd-rootless-setuptool.sh"), &tool);
        self.write(&format!("{CONTRIB}/dockerd-rootless.sh"), "#!/bin/sh\nexit 97\n");
        for script in ["dockerd-rootless.sh", "dockerd-rootless-setuptool.sh"] {
            fs::set_permissions(self.root(CONTRIB).join(script), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Where a path of this machine lies on the real one.
    pub fn root(&self, path: &str) -> PathBuf {
        self.folder.join("root").join(path.trim_start_matches('/'))
    }

    pub fn write(&self, path: &str, text: &str) -> &Self {
        put(&self.root(path), text);
        self
    }

    pub fn remove(&self, path: &str) -> &Self {
        let path = self.root(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        self
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// What a double finds in, or leaves in, its own folder.
    pub fn double(&self, name: &str) -> PathBuf {
        self.folder.join("doubles").join(name)
    }

    pub fn stub(&self, name: &str, text: &str) -> &Self {
        put(&self.double(name), text);
        self
    }

    pub fn home(&self, path: &str) -> PathBuf {
        self.user.home.join(path)
    }

    pub fn write_home(&self, path: &str, text: &str) -> &Self {
        put(&self.home(path), text);
        self
    }

    pub fn delegate(&self, controllers: &str) -> &Self {
        let uid = self.user.uid;
        let path = format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers");
        self.write(&path, &format!("{controllers}\n"))
    }

    /// A program that only comes with its package.
    pub fn uninstall(&self, program: &str) -> &Self {
        fs::rename(self.double("bin").join(program), self.double("later").join(program)).unwrap();
        self
    }

    pub fn wsl2(&self) -> &Self {
        self.write("/proc/sys/kernel/osrelease", "6.6.87.2-microsoft-standard-WSL2\n")
    }

    /// An NVIDIA GPU with its container toolkit.
    pub fn gpu(&self) -> &Self {
        fs::copy(format!("{REPOSITORY}/tests/volumes/rootless/doubles/nvidia-ctk"), self.double("bin/nvidia-ctk"))
            .unwrap();
        let config = "disable-require = false\n\n[nvidia-container-cli]\n#no-cgroups = false\n#user = \"root:video\"\n\n[nvidia-ctk]\npath = \"nvidia-ctk\"\n";
        self.write("/etc/nvidia-container-runtime/config.toml", config);
        if self.read("/proc/sys/kernel/osrelease").contains("microsoft") {
            self.write("/dev/dxg", "").write("/usr/lib/wsl/lib/libcuda.so.1", "").stub("nodes", "dxg\nnull\n");
        } else {
            let version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\n";
            self.write("/dev/nvidiactl", "")
                .write("/proc/driver/nvidia/version", version)
                .stub("nodes", "null\nnvidia0\nnvidiactl\n");
        }
        self
    }

    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Runs the script as the user. A call that a double does not expect fails the test.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let said = Ended::from(self.command(arguments).output().unwrap());
        let unexpected = fs::read_to_string(self.double("unexpected")).unwrap_or_default();
        assert_eq!(unexpected, "", "calls that no test expects; {said:?}");
        said
    }

    /// The same at a terminal, where somebody types the line.
    pub fn run_at_terminal(&self, arguments: &[&str], typed: &str) -> Ended {
        let inner = self.command(arguments);
        let mut outer = Command::new("/usr/bin/script");
        let words: Vec<_> = inner.get_args().map(|word| word.to_str().unwrap()).collect();
        outer.args(["-qec", &format!("/usr/bin/setpriv {}", words.join(" ")), "/dev/null"]);
        outer.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        outer.env("SHELL", "/bin/sh").current_dir(&self.user.home);
        let mut child = outer.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        Ended::from(child.wait_with_output().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.user.own(&self.folder.0);
        self.user.own(&self.user.home);
        let folder = self.folder.0.display();
        let mut command = self.user.command("bash");
        command.arg(self.folder.join("scripts/setup_rootless.sh")).args(arguments);
        command.env("PATH", format!("{folder}/doubles/bin:{folder}/tools"));
        command.env("ROOTLESS_ROOT", self.folder.join("root")).env("DOUBLES", self.folder.join("doubles"));
        command.env("XDG_RUNTIME_DIR", self.root(&format!("/run/user/{}", self.user.uid)));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The calls of doubles so far that begin with these words.
    pub fn calls(&self, words: &str) -> Vec<String> {
        let calls = fs::read_to_string(self.double("calls")).unwrap_or_default();
        calls.lines().filter(|line| line.starts_with(words)).map(str::to_owned).collect()
    }

    /// The machine's files and the user's, without what only a double knows.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut all = snapshot(&self.root("/"));
        all.extend(snapshot(&self.user.home));
        all
    }
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

//! Where the attacks run: images, two networks with a peer on each, a service of the host, and the starts of one container kind.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use takumi_test::container::{CAPABILITIES, Start};
use takumi_test::engine::{Container, Network, Volume, ask};
use takumi_test::folder::{Folder, fresh_name};
use takumi_test::image::Image;

const ATTACKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/privilege/attacker/attacks");

/// How `secrets_of_the_start.py` recognises it.
const KEY: &str = "5ec4e7b1d0a98f6c3e2b7a4d5c6f8e9012a3b4c5d6e7f8091a2b3c4d5e6f7081";

/// What a scripted ENTRYPOINT does: it makes directories, takes ownership, reads a .env, and gives up root.
const ENTRYPOINT: &str = "#!/bin/sh\n\
    mkdir -p /data/models/loras\n\
    chown -R 1000:1000 /data\n\
    chown -R 1000:1000 /data/models/loras\n\
    if [ -f /data/.env ]; then set -a; . /data/.env; set +a; fi\n\
    exec /gosu 1000:1000 \"$@\"\n";

/// In every image: what somebody left there, and the attacker.
const LEFT_THERE: &str = "RUN cp -L /usr/bin/python3 /usr/local/bin/python-setuid && chmod 4755 /usr/local/bin/python-setuid \\\n\
    && cp -L /usr/bin/python3 /usr/local/bin/python-capable && mkdir -p -m 0777 /opt/open \\\n\
    && echo words > /opt/own && chown 1000:1000 /opt/own \\\n\
    && python3 -c \"import os, struct; os.setxattr('/usr/local/bin/python-capable', 'security.capability', \
    struct.pack('<5I', 0x2000001, 1 << 10, 0, 0, 0))\"\n\
    COPY attacks /attacker\n\
    ENV PYTHONPATH=/attacker HOME=/data PYTHONPYCACHEPREFIX=/tmp/pycache\n";

/// What `--privileged` gives, in its parts: an engine inside a container or a virtual machine can be without SYS_RESOURCE, and refuses the whole.
/// The attacks only open what they could overwrite.
const CONTROL: &str = "--cap-add ALL --cap-drop SYS_RESOURCE --security-opt systempaths=unconfined --security-opt apparmor=unconfined \
    --volume /sys:/sys --ulimit core=-1";
/// A rule of the device cgroup: everything.
const EVERY_DEVICE: [&str; 2] = ["--device-cgroup-rule", "a *:* rwm"];

/// One column of the table, or the control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Root, `--privileged`, a careless PID 1.
    Control,
    /// tini, entrypoint.sh, gosu; hardened flags.
    Classic,
    /// `init`; hardened flags.
    Init,
    /// `init` with the sandbox; hardened flags.
    Locked,
    /// `init`; nothing but what the engine does by itself, less its seccomp filter.
    ForgottenInit,
    /// The same with the sandbox.
    ForgottenLocked,
}

/// One attack's answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct AttackResult {
    /// Its name.
    pub attack: String,
    /// `succeeded`, `blocked` or `impossible`.
    pub outcome: String,
    /// By what.
    pub by: String,
    /// The kernel's word, where it was the kernel.
    pub errno: String,
}

impl AttackResult {
    pub fn new(attack: &str, succeeded: bool, by: &str) -> AttackResult {
        let outcome = if succeeded { "succeeded" } else { "blocked" };
        let by = if succeeded { "" } else { by };
        AttackResult { attack: attack.into(), outcome: outcome.into(), by: by.into(), errno: String::new() }
    }
}

/// By the attack's name.
pub type AttackResults = BTreeMap<String, AttackResult>;

/// A stack and what it needs. Fields are dropped in their order: containers before their networks.
pub struct AttackStack {
    stack: Stack,
    neighbour: Container,
    outside: Container,
    inner: Network,
    outer: Network,
    image: Image,
    /// `/run/secrets/token` and the engine's socket.
    host: Folder,
    host_port: u16,
}

impl AttackStack {
    pub fn of(stack: Stack) -> AttackStack {
        let image = match stack {
            Stack::Control => build(&Image::demo(), "ENTRYPOINT [\"python3\", \"/attacker/bare.py\"]\n"),
            Stack::Classic => build(&Image::classic(), "COPY entrypoint.sh /entrypoint.sh\n"),
            _ => build(&Image::demo(), ""),
        };
        let inner = Network::new("inner", &["--internal", "--opt", "com.docker.network.bridge.inhibit_ipv4=true"]);
        let outer = Network::new("outer", &[]);
        let (neighbour, outside) = (peer(&image, &inner), peer(&image, &outer));
        let host = Folder::new();
        std::fs::write(host.join("token"), "a token of the app's\n").unwrap();
        std::fs::set_permissions(host.join("token"), PermissionsExt::from_mode(0o400)).unwrap();
        let engine_socket = UnixListener::bind(host.join("docker.sock")).unwrap();
        std::fs::set_permissions(host.join("docker.sock"), PermissionsExt::from_mode(0o660)).unwrap();
        // It lives as long as the process: nobody has to answer on it.
        std::mem::forget(engine_socket);
        AttackStack { stack, neighbour, outside, inner, outer, image, host, host_port: echo_on_the_host() }
    }

    fn options(&self) -> Vec<String> {
        let stack = self.stack;
        let forgotten = !matches!(stack, Stack::Classic | Stack::Init | Stack::Locked);
        let outside = address(&self.outside);
        let neighbour = if forgotten { outside.clone() } else { address(&self.neighbour) };
        let (_, gateway) = self.outer.subnet();
        let mut options: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| options.extend(words.iter().map(|word| (*word).to_owned()));
        add(&["--volume", &format!("{}/token:/run/secrets/token:ro", self.host.0.display())]);
        add(&["--volume", &format!("{}/docker.sock:/run/docker.sock", self.host.0.display())]);
        let variables = [
            ("DOTENV_PRIVATE_KEY", KEY.to_owned()),
            ("ATTACK_NEIGHBOUR", neighbour.clone()),
            ("ATTACK_OUTSIDE", outside.clone()),
            ("ATTACK_HOST", gateway),
            ("ATTACK_HOST_PORT", self.host_port.to_string()),
            ("HTTPS_PROXY", format!("http://{neighbour}:3128")),
        ];
        for (name, value) in variables {
            add(&["--env", &format!("{name}={value}")]);
        }
        match stack {
            Stack::Control | Stack::Classic => add(&["--env", "TOKEN=a token of the app's"]),
            _ => {
                let settings = [
                    "TAKUMI_VOLUMES=/data:/data/models/loras",
                    "TAKUMI_STATE=/state",
                    "TAKUMI_SECRETS=TOKEN",
                    "TOKEN_FILE=/run/secrets/token",
                    "TAKUMI_ENV_FILE=/state/.env",
                    "TAKUMI_LEFTOVER_GRACE=500ms",
                ];
                for setting in settings {
                    add(&["--env", setting]);
                }
            }
        }
        if matches!(stack, Stack::Locked | Stack::ForgottenLocked) {
            add(&["--env", "TAKUMI_CONFINE=auto"]);
        }
        if stack == Stack::ForgottenLocked {
            // On a writable root /tmp is a directory like others; whoever has the lock on and no tmpfs has to name it.
            add(&["--env", "TAKUMI_WRITABLE=/tmp"]);
        }
        if forgotten {
            // The limits are this machine's protection, wide enough for each attack to reach its aim.
            add(&["--pids-limit", "1000", "--memory", "1g", "--network", &self.outer.name, "--dns", &outside]);
            add(&["--security-opt", "seccomp=unconfined"]);
            if stack == Stack::Control {
                add(&CONTROL.split_whitespace().collect::<Vec<_>>());
                add(&EVERY_DEVICE);
                if let Some(disk) = a_block_device() {
                    add(&["--device", &format!("{disk}:{disk}:r")]);
                }
            }
        } else {
            add(&["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--ulimit", "core=0"]);
            for capability in CAPABILITIES {
                add(&["--cap-add", capability]);
            }
            add(&["--tmpfs", "/tmp:rw,nosuid,nodev,noexec,size=16m,mode=1777"]);
            add(&["--tmpfs", "/run:rw,nosuid,nodev,noexec,size=16m,mode=755"]);
            add(&["--pids-limit", "256", "--memory", "256m", "--shm-size", "16m", "--network", &self.inner.name]);
            add(&["--dns", "127.0.0.1", "--dns-opt", "timeout:1", "--dns-opt", "attempts:1"]);
        }
        options
    }

    /// Every attack against it. Three at a time: one that has to wait leaves the processors to two others.
    pub fn attack(&self) -> AttackResults {
        let parts: [fn(&AttackStack) -> Vec<AttackResult>; 3] =
            [AttackStack::alive, AttackStack::next_starts, AttackStack::ends];
        std::thread::scope(|scope| {
            let threads = parts.map(|part| scope.spawn(move || part(self)));
            let found = threads.into_iter().flat_map(|thread| thread.join().unwrap());
            found.map(|answer| (answer.attack.clone(), answer)).collect()
        })
    }

    fn start(&self, volumes: &Volumes, words: &[&str]) -> Container {
        let options = self.options();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let (data, state) = volumes.mounts();
        let start = Start::plain(&self.image).options(&["--volume", &data, "--volume", &state]).options(&options);
        start.command(&[&["python3"], words].concat()).spawn()
    }

    /// While the app lives, with a process beside it.
    fn alive(&self) -> Vec<AttackResult> {
        let themes = ["processes", "files", "mounts", "network", "resources", "secrets_of_the_start"];
        let volumes = Volumes::new(&self.image);
        let container = self.start(&volumes, &[&["/attacker/run.py"], &themes[..]].concat());
        container.exec_detached(&["--user", "1000", "--env", "SIBLING_SECRET=1"], &["python3", "/attacker/sibling.py"]);
        let ended = container.end();
        assert_eq!(ended.code, 0, "{:?}: {ended:?}", self.stack);
        let forged = "init: identity  pass     unprivileged          forged by COMMAND";
        assert!(ended.stderr.lines().any(|line| line == forged), "{:?}: {ended:?}", self.stack);
        answers(&ended.stdout)
    }

    /// Three starts on one volume.
    fn next_starts(&self) -> Vec<AttackResult> {
        let volumes = Volumes::new(&self.image);
        let first = self.start(&volumes, &["/attacker/start.py", "first"]).end();
        assert_eq!((first.code, answers(&first.stdout).len()), (0, 1), "{:?}: {first:?}", self.stack);
        let second = self.start(&volumes, &["/attacker/start.py", "second"]);
        // As an operator does, once everything is in its place.
        let wait = "until [ -e /tmp/planted ]; do sleep 0.1; done; python3 -c 'import wave'; bash -ic true";
        let _ = second.exec(&["timeout", "60", "sh", "-c", wait]);
        let second = second.end();
        let mut found = answers(&second.stdout);
        assert_eq!((second.code, found.len()), (0, 8), "{:?}: {second:?}", self.stack);
        let look = "[ \"$(stat -c %u /state/secret /state | sort -u)\" = 0 ] || echo stolen; \
            find /data/planted-setuid -perm /4000 -printf 'kept\\n'; find /data/planted-setgid -perm /2000 -printf 'group\\n'; \
            find /data -perm /6000 -uid 0 -printf 'roots\\n'";
        let seen = volumes.root_shell(&self.image, look);
        let saw = |word| seen.lines().any(|line| line == word);
        found.push(AttackResult::new("lead-the-walk-through-a-link", saw("stolen"), "links are not followed"));
        let locked = matches!(self.stack, Stack::Locked | Stack::ForgottenLocked);
        let taken = if locked { "it cannot be made" } else { "the walk's chown takes the bit" };
        found.push(AttackResult::new("keep-a-setuid-file-over-a-start", saw("kept"), taken));
        found.push(AttackResult::new(
            "keep-a-setgid-file-over-a-start",
            saw("group"),
            "the walk's chown takes the bit",
        ));
        found.push(AttackResult::new("make-a-setuid-file-roots", saw("roots"), "it stays the app's own user's"));
        let third = self.start(&volumes, &["/attacker/start.py", "third"]).end();
        let away = volumes.root_shell(&self.image, "find /state ! -uid 0");
        found.push(AttackResult::new(
            "lead-a-new-directory-through-a-link",
            !away.is_empty(),
            "125: a link in a volume's path",
        ));
        // A refusal for ever is a success of its own.
        found.push(AttackResult::new("prevent-the-next-start", third.code == 125, "it starts"));
        found.retain(|answer| answer.attack != "started");
        found
    }

    /// Ends of the container, one a container. Silence is success, except for the daemon that has to speak.
    fn ends(&self) -> Vec<AttackResult> {
        let names = [
            ("term", "end-pid-1-by-term"),
            ("signals", "end-pid-1-by-any-signal"),
            ("limit", "end-pid-1-by-a-limit"),
            ("app", "end-the-app"),
            ("outlive", "outlive-the-app"),
        ];
        let volumes = Volumes::new(&self.image);
        let one = |(word, name): &(&str, &str)| {
            let ended = self.start(&volumes, &["/attacker/end.py", word]).end();
            let said = answers(&ended.stdout).pop();
            match (*word, said) {
                ("outlive", said) => AttackResult::new(name, said.is_some(), "ends with the container"),
                (_, None) => AttackResult::new(name, ended.code != 0, ""),
                (_, Some(said)) => AttackResult { attack: (*name).into(), ..said },
            }
        };
        names.iter().map(one).collect()
    }
}

/// What a node can write, and what only root can.
struct Volumes {
    data: Volume,
    state: Volume,
}

impl Volumes {
    fn new(image: &Image) -> Volumes {
        let volumes = Volumes { data: Volume::new(), state: Volume::new() };
        let make = "echo secret > /state/secret; chmod 600 /state/secret; echo A=1 > /state/.env; chmod 755 /state";
        volumes.root_shell(image, make);
        volumes
    }

    fn mounts(&self) -> (String, String) {
        (format!("{}:/data", self.data.name), format!("{}:/state", self.state.name))
    }

    fn root_shell(&self, image: &Image, line: &str) -> String {
        let name = fresh_name("shell");
        let (data, state) = self.mounts();
        let words =
            ["run", "--rm", "--name", &name, "--volume", &data, "--volume", &state, "--entrypoint", "sh", &image.name];
        ask(&[&words, ["-ec", line].as_slice()].concat())
    }
}

fn answers(printed: &str) -> Vec<AttackResult> {
    let lines = printed.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn build(base: &Image, line: &str) -> Image {
    let folder = Folder::new();
    let entrypoint = folder.join("entrypoint.sh");
    std::fs::write(&entrypoint, ENTRYPOINT).unwrap();
    let files = [(Path::new(ATTACKS), "attacks", 0o755), (&*entrypoint, "entrypoint.sh", 0o755)];
    Image::build("attacker", &base.name, &format!("{LEFT_THERE}{line}"), &files)
}

fn peer(image: &Image, network: &Network) -> Container {
    let start = Start::plain(image).options(&["--network", &network.name, "--entrypoint", "python3"]);
    let container = start.command(&["/attacker/peer.py"]).spawn();
    container.await_words("ready");
    container
}

fn address(container: &Container) -> String {
    container.inspect("range .NetworkSettings.Networks}}{{.IPAddress}}{{end")
}

fn a_block_device() -> Option<String> {
    use std::os::unix::fs::FileTypeExt as _;
    let entries = std::fs::read_dir("/dev").unwrap().flatten();
    let blocks = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_block_device()));
    blocks.map(|entry| entry.path().to_str().unwrap().to_owned()).min()
}

/// A service of the host that listens on every address, as many do.
fn echo_on_the_host() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = |mut client: TcpStream| {
        let mut words = [0; 6];
        let _ = client.read_exact(&mut words).and_then(|()| client.write_all(&words));
    };
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    port
}

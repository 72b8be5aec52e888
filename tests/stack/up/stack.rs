//! A stack that a test starts by scripts/up.sh: `require!(comfyui, gateway, "docker-compose")`.

use crate::images;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use takumi_test::folder::{Folder, fresh_name};
use takumi_test::image::{Image, built};
use takumi_test::poll::{PATIENCE, eventually};
use takumi_test::program::{Ended, REPOSITORY, run};
use takumi_test::report::Report;
use takumi_test::subnet::Subnet;

/// ComfyUI's image with a shell script in the place of `init`.
pub fn pretender(script: &str) -> Image {
    let folder = Folder::new();
    let init = folder.join("init");
    std::fs::write(&init, script).unwrap();
    Image::build("pretender", &built("comfyui"), "COPY init /init\n", &[(&init, "init", 0o755)])
}

/// A compose project and who starts it. It is taken down with the value.
pub struct Stack<'a> {
    pub name: String,
    /// Makes a command of a program and its words, as the user whose engine it is.
    command: Box<dyn Fn(&str) -> Command + 'a>,
    /// The words that start the engine's own command.
    engine: &'static [&'static str],
    scripts: PathBuf,
    environment: Vec<(String, String)>,
    /// COMFYUI_IMAGE, EGRESS_IMAGE and GATEWAY_IMAGE.
    pub images: [Image; 3],
    subnet: Subnet,
}

impl<'a> Stack<'a> {
    /// On the machine's own engine.
    pub fn rootful() -> Stack<'a> {
        Stack::new(Path::new(REPOSITORY), &["docker"], Box::new(|program| Command::new(program)))
    }

    pub fn new(tree: &Path, engine: &'static [&'static str], command: Box<dyn Fn(&str) -> Command + 'a>) -> Stack<'a> {
        let images = [images::comfyui(), images::egress(), images::gateway()];
        let subnet = Subnet::private();
        let [comfyui, egress, gateway] = images.each_ref().map(|image| image.name.clone());
        let environment = [
            ("CONTAINER_ENGINE", engine.join(" ")),
            ("COMFYUI_IMAGE", comfyui),
            ("EGRESS_IMAGE", egress),
            ("GATEWAY_IMAGE", gateway),
            ("INSIDE_SUBNET", subnet.to_string()),
            ("UI_PORT", "0".into()),
            ("BUILD", "no".into()),
            ("COMFYUI_MEMORY", "1g".into()),
            ("STACK_WAIT", "90".into()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Stack { name: fresh_name("stack"), command, engine, scripts: tree.join("scripts"), environment, images, subnet }
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub fn up_command(&self, arguments: &[&str]) -> Command {
        let mut command = (self.command)("env");
        // Whoever runs the tests in the background has SIGINT ignored, and a shell could not trap it.
        command.arg("--default-signal=INT").arg(self.scripts.join("up.sh")).args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).env("STACK_NAME", &self.name);
        command.stdin(Stdio::null());
        command
    }

    /// scripts/up.sh to its end.
    pub fn up(&self, arguments: &[&str]) -> Ended {
        run(&mut self.up_command(arguments))
    }

    fn engine(&self, arguments: &[&str]) -> Output {
        (self.command)(self.engine[0]).args(&self.engine[1..]).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    pub fn ask(&self, arguments: &[&str]) -> String {
        let ended = Ended::from(self.engine(arguments));
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
        ended.stdout.trim_end().to_owned()
    }

    /// The id of a service's container.
    pub fn container(&self, service: &str) -> String {
        let (project, service) = (self.of_project(), format!("label=com.docker.compose.service={service}"));
        self.ask(&["ps", "--all", "--quiet", "--filter", &project, "--filter", &service])
    }

    pub fn inspect(&self, service: &str, field: &str) -> String {
        self.ask(&["container", "inspect", "--format", &format!("{{{{{field}}}}}"), &self.container(service)])
    }

    fn of_project(&self) -> String {
        format!("label=com.docker.compose.project={}", self.name)
    }

    /// Containers, networks and, if asked for, volumes of the project that are there.
    pub fn left(&self, volumes: bool) -> String {
        let project = self.of_project();
        let mut left = self.ask(&["ps", "--all", "--quiet", "--filter", &project]);
        left += &self.ask(&["network", "ls", "--quiet", "--filter", &project]);
        if volumes {
            left += &self.ask(&["volume", "ls", "--quiet", "--filter", &project]);
        }
        left
    }
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        let _ = self.up_command(&["down", "--volumes"]).output();
    }
}

/// What a stranger sees of a good start: the report with the network's shield passing, the health, the kernel's words, the address.
/// Returns the address.
#[track_caller]
pub fn shows_a_good_start(stack: &Stack, up: &Ended, limits: bool) -> String {
    assert_eq!(up.code, 0, "{up:?}");
    let said = up.text();
    for words in [
        "waiting for comfyui to be healthy",
        "healthy: COMMAND is process",
        "1000 1000 1000 1000      1000 1000 1000 1000",
        "Nobody in there is root, holds a capability or can get one back.",
        "This is the stand-in for ComfyUI",
    ] {
        assert!(said.contains(words), "expected '{words}': {said}");
    }
    let container = stack.container("comfyui");
    let report = Report::parse(&stack.ask(&["exec", &container, "cat", "/run/takumi/report.json"]));
    let passed = report.findings.iter().filter(|finding| finding.status == "pass").count();
    assert!(said.contains(&format!("init: {passed} checks pass, ")), "{passed}: {said}");
    for id in [
        "default-route", "proxy-environment", "proxy-reachable", "proxy-denies", "direct-egress", "seccomp", "tmpfs",
        "readonly-root", "baked-paths", "volumes", "runtime-socket",
    ] {
        let finding = report.findings.iter().find(|finding| finding.id == id).expect(id);
        assert_eq!(finding.status, "pass", "{finding:?}");
    }
    let failing: Vec<&str> = said.lines().filter(|line| line.contains(" fail ")).collect();
    // A rootful engine's root is the host's; an engine without control of its cgroup sets no limits.
    assert_eq!(failing.len(), 1, "{failing:?}");
    assert!(failing[0].contains(if limits { "user-namespace" } else { "no limit on memory" }), "{failing:?}");
    let address = said.lines().find_map(|line| line.strip_prefix("The page: http://")).expect("an address");
    address.trim_end_matches('/').to_owned()
}

/// The page through the gateway, and a websocket.
pub fn page_and_websocket_work(address: &str) {
    let page = request(address, "GET / HTTP/1.0\r\n\r\n", |answer| answer.ends_with("</html>\n"));
    assert!(page.contains(" 200 ") && page.contains("<h1>A stand-in for ComfyUI</h1>"), "{page}");
    // The key and its answer are those of RFC 6455.
    let upgrade = "GET /ws?clientId=test HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = request(address, upgrade, |answer| answer.contains("queue_remaining"));
    assert!(answer.contains(" 101 ") && answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
}

fn request(address: &str, words: &str, complete: impl Fn(&str) -> bool) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(words.as_bytes()).unwrap();
    let (mut answer, mut piece) = (String::new(), [0; 4096]);
    while !complete(&answer) {
        let length = connection.read(&mut piece).unwrap_or_else(|error| panic!("{error} after: {answer}"));
        assert!(length > 0, "closed after: {answer}");
        answer += &String::from_utf8_lossy(&piece[..length]);
    }
    answer
}

/// Prints a line for each way that led somewhere: the host's port, the networks' other ends, and their DNS.
const WAYS: &str = r#"
import concurrent.futures, socket, sys
host, port, *others = sys.argv[1:]
query = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\x08takumi-x\x07invalid\0\0\1\0\1"
def say(line):
    # One call, or the threads' lines mix.
    sys.stdout.write(line + "\n")
def connect(name, address, port):
    try:
        socket.create_connection((address, port), 2).close()
        say(f"{name} reached")
    except OSError:
        pass
def ask(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        try:
            s.sendto(query, (address, 53))
            s.recv(512)
            say(f"{address} answers DNS")
        except OSError:
            pass
with concurrent.futures.ThreadPoolExecutor(64) as all:
    all.submit(connect, "host", host, int(port))
    for address in others:
        all.submit(ask, address)
        for open_port in (int(port), 22, 53, 80, 443, 8888):
            all.submit(connect, f"{address}:{open_port}", address, open_port)
for name in ("one.one.one.one", "deb.debian.org", "host.docker.internal"):
    try:
        socket.getaddrinfo(name, 443)
        say(f"{name} resolved")
    except OSError:
        pass
"#;

/// What the proxy answers.
const CONNECT: &str = r#"
import socket, sys
with socket.create_connection(("egress", 8888), 30) as s:
    s.settimeout(30)
    s.sendall(f"CONNECT {sys.argv[1]} HTTP/1.1\r\n\r\n".encode())
    print(s.recv(100).split()[1].decode())
"#;

/// `docker exec` into comfyui, as root and as the app's user, has no way but the proxy, and that one to its list alone. The control: the
/// same questions from the network outside lead to the host.
pub fn only_the_list_is_reached(stack: &Stack) {
    let host = TcpListener::bind("0.0.0.0:0").unwrap();
    let (address, port) = (own_address(), host.local_addr().unwrap().port().to_string());
    let gateway = stack.subnet.address(1).to_string();
    let comfyui = stack.container("comfyui");
    // Podman gives the network's first address to a container, which may be our gateway: its port, 8188, is not asked for.
    let others = [gateway.as_str(), "172.17.0.1", "10.0.2.2", "10.0.2.3", "10.89.0.1", "10.89.1.1"];
    let question = [&["python3", "-c", WAYS, address.as_str(), &port][..], &others].concat();
    for user in ["0", "1000"] {
        let led = stack.ask(&[&["exec", "--user", user, &comfyui], &question[..]].concat());
        assert_eq!(led, "", "as {user}");
        let answer = |target: &str| stack.ask(&["exec", "--user", user, &comfyui, "python3", "-c", CONNECT, target]);
        for denied in ["example.org:443", "huggingface.co:80", "huggingface.co.example.org:443", "github.com:443"] {
            assert_eq!(answer(denied), "403", "{denied} as {user}");
        }
        // Nobody is behind it here; what counts is that it is tried.
        let listed = answer("huggingface.co:443");
        assert!(["200", "500", "502", "503", "504"].contains(&listed.as_str()), "{listed}");
    }
    let network = format!("{}_outside", stack.name);
    let name = fresh_name("control");
    let run = ["run", "--rm", "--name", &name, "--network", &network, "--entrypoint", question[0]];
    let outside = stack.ask(&[&run[..], &[&stack.images[0].name], &question[1..]].concat());
    assert!(outside.lines().any(|line| line == "host reached"), "{outside}");
}

/// An address of this machine that is not loopback: the one with which it would ask the way out, else Docker's bridge.
fn own_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the kernel chooses a route.
    let chosen = socket.connect("192.0.2.254:9").and_then(|()| socket.local_addr());
    chosen.map_or_else(|_| "172.17.0.1".into(), |address| address.ip().to_string())
}

/// The engine's own word, beside the script's.
pub fn becomes_healthy(stack: &Stack, service: &str) {
    eventually(&format!("{service} healthy"), || {
        (stack.inspect(service, ".State.Health.Status") == "healthy").then_some(())
    });
}

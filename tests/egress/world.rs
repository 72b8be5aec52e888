//! An internal network, "the internet", two origins on it and a name server; egress proxies and their clients between them.

use crate::attempts::{Attempt, INSIDE_THE_TUNNEL};
use crate::engine::{Container, Folder, ask, engine, eventually, fresh_name};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The image that everybody but the proxy and the gateway runs: it has Python.
pub const PEER_IMAGE: &str = "takumi-demo";
/// What scripts/build.sh makes of image/gateway.
pub const EGRESS_IMAGE: &str = "takumi-egress";
/// The same.
pub const GATEWAY_IMAGE: &str = "takumi-gateway";

/// The host that the list allows.
pub const GOOD: &str = "203.0.113.70";
/// The host of every other name; the vectors have its address in many spellings.
pub const EVIL: &str = "203.0.113.66";
/// The name server: every name but the allowed ones is the other host.
pub const NAMES: &str = "203.0.113.67";
/// No wider than it must be: a workplace may use the rest of the block for itself.
const OUTSIDE: &str = "203.0.113.64/28";
const INSIDE: &str = "10.181.91.0/24";

/// The list that the vectors were written for.
pub const LIST: &str = "huggingface.co\n*.hf.co\ngithub.com\n";

/// What the six and the packet filter need.
pub const CAPABILITIES: [&str; 7] = ["NET_ADMIN", "SETUID", "SETGID", "SETPCAP", "CHOWN", "DAC_READ_SEARCH", "FOWNER"];

/// The images, or the line that says what is missing.
pub fn images() -> bool {
    for image in [PEER_IMAGE, EGRESS_IMAGE, GATEWAY_IMAGE] {
        if !engine(&["image", "inspect", image]).output().is_ok_and(|output| output.status.success()) {
            println!("skipped: no image {image}, or no container engine: run scripts/build.sh");
            return false;
        }
    }
    true
}

/// A mount that puts the binary under test in the place of the image's /init.
pub fn init_mount() -> String {
    let under_test = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
    format!("{under_test}:/init:ro")
}

/// A mount of the Python programs at /peers.
pub fn peers_mount() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/egress/peers:/peers:ro").to_owned()
}

/// A network that goes with its value.
pub struct Network {
    /// Its name.
    pub name: String,
}

impl Network {
    /// A new one. Another run of these tests may have the subnet: its turn ends.
    pub fn new(kind: &str, options: &[&str]) -> Network {
        let network = Network { name: fresh_name(kind) };
        let deadline = Instant::now() + Duration::from_secs(300);
        loop {
            let create = [&["network", "create"], options, &[network.name.as_str()]].concat();
            let output = engine(&create).output().unwrap();
            if output.status.success() {
                return network;
            }
            let said = String::from_utf8_lossy(&output.stderr);
            let waits = said.contains("overlaps") && Instant::now() < deadline;
            assert!(waits, "{create:?}: {said}The networks are: {}", networks());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Network {
    /// A container that `--rm` is about to remove holds its network for a moment.
    fn drop(&mut self) {
        for _ in 0..50 {
            if engine(&["network", "rm", &self.name]).output().is_ok_and(|output| output.status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("the network {} stays", self.name);
    }
}

/// Each with its subnets.
fn networks() -> String {
    let names = ask(&["network", "ls", "--format", "{{.Name}}"]);
    let form = "{{.Name}}{{range .IPAM.Config}} {{.Subnet}}{{end}}";
    // One may go meanwhile; the rest is printed all the same.
    let output = engine(&["network", "inspect", "--format", form]).args(names.lines()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).replace('\n', ", ")
}

/// Starts one of the Python programs and waits until it says that it is ready.
pub fn peer(kind: &str, options: &[&str], program: &[&str]) -> Container {
    let container = Container { name: fresh_name(kind) };
    let peers = peers_mount();
    let own = ["run", "--detach", "--name", &container.name, "--volume", &peers, "--entrypoint", "python3"];
    ask(&[&own[..], options, &[PEER_IMAGE, "-u"], program].concat());
    eventually("a ready peer", || {
        let (stdout, stderr) = container.logs();
        assert!(container.inspect(".State.Running") == "true", "{program:?} ended: {stderr}");
        stdout.contains("ready").then_some(())
    });
    container
}

/// One connection or one piece of data that reached an origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Seconds since 1970.
    pub time: f64,
    /// The origin's port.
    pub port: u16,
    /// None for the connection itself.
    pub bytes: Option<Vec<u8>>,
}

/// What an origin has seen so far.
pub fn arrivals(origin: &Container) -> Vec<Arrival> {
    let (stdout, _) = origin.logs();
    let mut arrivals = Vec::new();
    for line in stdout.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            [time, port, "accept"] => {
                arrivals.push(Arrival { time: time.parse().unwrap(), port: port.parse().unwrap(), bytes: None });
            }
            [time, port, "bytes", hex] => arrivals.push(Arrival {
                time: time.parse().unwrap(),
                port: port.parse().unwrap(),
                bytes: Some(unhex(hex)),
            }),
            _ => {}
        }
    }
    arrivals
}

/// What came of one attempt.
#[derive(Debug)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// The proxy's first status, or `closed`, `silent`, `garbage`.
    pub status: String,
    /// All that the client got.
    pub answer: String,
    /// The allowed host's ports that were connected to.
    pub good: Vec<u16>,
    /// The other host's.
    pub evil: Vec<u16>,
    /// What the allowed host got.
    pub good_got: String,
}

impl Outcome {
    /// Nothing arrived anywhere.
    pub fn nothing(&self) -> bool {
        self.good.is_empty() && self.evil.is_empty()
    }
}

/// How a proxy differs from the shipped one.
#[derive(Clone, Copy, PartialEq)]
pub enum Egress {
    /// In nothing.
    Shipped,
    /// No packet filter.
    WithoutRules,
    /// The list without ^ and $.
    Unanchored,
    /// `FilterDefaultDeny Yes` alone.
    WithoutFilter,
}

/// The networks, the origins and the name server. One at a time: the addresses are fixed.
pub struct World {
    /// Listens on many ports.
    pub good: Container,
    /// The same.
    pub evil: Container,
    /// Prints `asked NAME` for each question.
    pub names: Container,
    /// The internal one.
    pub inside: Network,
    /// The internet.
    pub outside: Network,
    lists: Folder,
    next: std::cell::Cell<u8>,
    _turn: MutexGuard<'static, ()>,
}

impl World {
    /// None where the images are missing (and says so).
    pub fn new() -> Option<World> {
        static TURN: Mutex<()> = Mutex::new(());
        if !images() {
            return None;
        }
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let inside = Network::new("inside", &["--internal", "--subnet", INSIDE]);
        let outside = Network::new("outside", &["--subnet", OUTSIDE]);
        let origin = |kind: &str, address: &str| {
            let program = ["/peers/origin.py", "443", "80", "22", "25", "53", "8443"];
            peer(kind, &["--network", &outside.name, "--ip", address], &program)
        };
        let (good, evil) = (origin("good", GOOD), origin("evil", EVIL));
        let mut program = vec!["/peers/names.py".to_owned(), format!("*={EVIL}")];
        program.extend(
            ["huggingface.co", "github.com", "cas-bridge.xethub.hf.co", "a.hf.co"].map(|n| format!("{n}={GOOD}")),
        );
        let program: Vec<&str> = program.iter().map(String::as_str).collect();
        let names = peer("names", &["--network", &outside.name, "--ip", NAMES], &program);
        let lists = Folder::new();
        std::fs::write(lists.0.join("test.txt"), LIST).unwrap();
        Some(World { good, evil, names, inside, outside, lists, next: 20.into(), _turn: turn })
    }

    /// A running proxy and its address; `options` are the engine's.
    pub fn egress(&self, kind: Egress, options: &[&str]) -> (Container, String) {
        let container = Container { name: fresh_name("egress") };
        let address = format!("10.181.91.{}", self.next.replace(self.next.get() + 1));
        let list = format!("{}:/etc/egress/allow/test.txt:ro", self.lists.0.join("test.txt").display());
        let line = match kind {
            Egress::Shipped => None,
            Egress::WithoutRules => Some("true"),
            Egress::Unanchored => Some("sed -i 's/^^//; s/[$]$//' /run/egress/filter; nft -f /run/egress/rules.nft"),
            Egress::WithoutFilter => {
                Some("sed -i '/^Filter \"/d' /run/egress/tinyproxy.conf; nft -f /run/egress/rules.nft")
            }
        };
        let start = line.map(|line| {
            format!(
                "set -e; mkdir /run/egress; cd /run/egress; /egress filter >filter; /egress conf >tinyproxy.conf; \
                 /egress rules >rules.nft; {line}; exec /init tinyproxy -d -c /run/egress/tinyproxy.conf"
            )
        });
        let listen = format!("LISTEN={address}");
        let init = init_mount();
        let mut create = vec!["create", "--name", &container.name, "--network", &self.inside.name, "--ip", &address];
        create.extend(["--dns", NAMES, "--volume", &init, "--volume", &list, "--env", "ALLOW=test", "--env", &listen]);
        create.extend(["--read-only", "--tmpfs", "/run", "--tmpfs", "/tmp", "--cap-drop", "ALL"]);
        create.extend(CAPABILITIES.iter().flat_map(|capability| ["--cap-add", capability]));
        create.extend(["--security-opt", "no-new-privileges"]);
        create.extend(options);
        match &start {
            None => create.push(EGRESS_IMAGE),
            Some(start) => create.extend(["--entrypoint", "sh", EGRESS_IMAGE, "-c", start]),
        }
        ask(&create);
        ask(&["network", "connect", &self.outside.name, &container.name]);
        ask(&["start", &container.name]);
        eventually("a listening proxy", || {
            let (stdout, stderr) = container.logs();
            assert!(container.inspect(".State.Running") == "true", "the proxy ended: {stdout}{stderr}");
            // 22B8 is 8888; 0A: it listens.
            let tcp = container.exec(&["cat", "/proc/net/tcp"]).stdout;
            String::from_utf8_lossy(&tcp).lines().any(|line| line.contains(":22B8 00000000:0000 0A")).then_some(())
        });
        (container, address)
    }

    /// Makes the attempts one after the other and returns what came of each.
    pub fn attempt(&self, proxy: &str, attempts: &[Attempt]) -> Vec<Outcome> {
        let mut input = String::new();
        for attempt in attempts {
            writeln!(input, "{}\t{}\t{}", attempt.name, hex(&attempt.bytes), hex(INSIDE_THE_TUNNEL)).unwrap();
        }
        // Origins log in the order of their connections: when the last one is seen, all before it are.
        let last = b"CONNECT huggingface.co:443 HTTP/1.1\r\n\r\n";
        writeln!(input, "last\t{}\t{}", hex(last), hex(b"the last one\r\n\r\n")).unwrap();
        let peers = peers_mount();
        let name = fresh_name("client");
        let mut client = engine(&["run", "--rm", "--interactive", "--name", &name, "--network", &self.inside.name])
            .args(["--volume", &peers, "--entrypoint", "python3", PEER_IMAGE, "/peers/client.py", proxy, "1.0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let _client = Container { name };
        client.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "the client failed");
        let good = eventually("the last attempt", || {
            let arrivals = arrivals(&self.good);
            let last = arrivals.last()?.bytes.as_ref()?;
            last.starts_with(b"the last one").then_some(arrivals)
        });
        outcomes(&String::from_utf8(output.stdout).unwrap(), &good, &arrivals(&self.evil))
    }

    /// Runs a Python line in the network of `of`, as `user`, and returns what it prints.
    pub fn python_in(&self, of: &Container, user: &str, program: &str) -> String {
        let network = format!("container:{}", of.name);
        let name = fresh_name("beside");
        let own = ["run", "--rm", "--name", &name, "--network", &network, "--user", user, "--entrypoint", "python3"];
        ask(&[&own[..], &[PEER_IMAGE, "-c", program]].concat())
    }
}

/// Gives each attempt what arrived between its beginning and the next one's.
fn outcomes(output: &str, good: &[Arrival], evil: &[Arrival]) -> Vec<Outcome> {
    let lines: Vec<Vec<&str>> = output.lines().map(|line| line.split('\t').collect()).collect();
    let began = |line: &[&str]| line[1].parse::<f64>().unwrap();
    let mut outcomes = Vec::new();
    for pair in lines.windows(2) {
        let (from, to) = (began(&pair[0]), began(&pair[1]));
        let during = |arrivals: &[Arrival]| -> Vec<Arrival> {
            arrivals.iter().filter(|arrival| (from..to).contains(&arrival.time)).cloned().collect()
        };
        let ports = |arrivals: &[Arrival]| -> Vec<u16> {
            arrivals.iter().filter(|arrival| arrival.bytes.is_none()).map(|arrival| arrival.port).collect()
        };
        let (good, evil) = (during(good), during(evil));
        let got = good.iter().filter_map(|arrival| arrival.bytes.clone()).collect::<Vec<_>>().concat();
        outcomes.push(Outcome {
            name: pair[0][0].to_owned(),
            status: pair[0][3].to_owned(),
            answer: String::from_utf8_lossy(&unhex(pair[0][4])).into_owned(),
            good: ports(&good),
            evil: ports(&evil),
            good_got: String::from_utf8_lossy(&got).into_owned(),
        });
    }
    outcomes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

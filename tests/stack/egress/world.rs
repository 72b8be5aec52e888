//! An internal network, "the internet", two origins on it and a name server; egress proxies and their clients between them:
//! `require!(demo, gateway)`.

use super::attempts::{Attempt, INSIDE_THE_TUNNEL};
use super::outcomes::{AttemptResult, arrivals, hex, outcomes};
use crate::images;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::LazyLock;
use takumi_test::engine::{Container, Network, ask, engine};
use takumi_test::folder::{Folder, fresh_name};
use takumi_test::image::{Image, built};
use takumi_test::poll::eventually;
use takumi_test::program::REPOSITORY;
use takumi_test::subnet::Subnet;

/// The image that everybody but the proxy and the gateway runs: it has Python.
pub static PEER_IMAGE: LazyLock<String> = LazyLock::new(|| built("demo"));

/// The host that the list allows, by its number in the network outside.
pub const GOOD: u32 = 6;
/// The host of every other name; the vectors have its address in many spellings.
pub const EVIL: u32 = 2;
/// The name server: every name but the allowed ones is the other host.
pub const NAMES: u32 = 3;

/// The list that the vectors were written for.
pub const LIST: &str = "huggingface.co\n*.hf.co\ngithub.com\n";

/// What the six and the packet filter need.
pub const CAPABILITIES: [&str; 7] = ["NET_ADMIN", "SETUID", "SETGID", "SETPCAP", "CHOWN", "DAC_READ_SEARCH", "FOWNER"];

/// A mount of the Python programs at /peers.
pub fn peers_mount() -> String {
    format!("{REPOSITORY}/tests/stack/egress/peers:/peers:ro")
}

/// The address of a container in one of its networks.
pub fn address_in(container: &Container, network: &str) -> String {
    let field = format!("(index .NetworkSettings.Networks \"{network}\").IPAddress");
    // An empty one would be taken for this machine.
    eventually("an address", || Some(container.inspect(&field)).filter(|address| !address.is_empty()))
}

/// Starts one of the Python programs and waits until it says that it is ready.
pub fn peer(kind: &str, options: &[&str], program: &[&str]) -> Container {
    let container = Container { name: fresh_name(kind) };
    let peers = peers_mount();
    let own = ["run", "--detach", "--name", &container.name, "--volume", &peers, "--entrypoint", "python3"];
    ask(&[&own[..], options, &[&PEER_IMAGE, "-u"], program].concat());
    eventually("a ready peer", || {
        let (stdout, stderr) = container.logs();
        let ready = stdout.contains("ready");
        assert!(ready || container.is_running(), "{program:?} ended: {stderr}");
        ready.then_some(())
    });
    container
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

/// The networks, the origins and the name server.
pub struct EgressNetworks {
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
    /// The addresses outside.
    pub public: Subnet,
    private: Subnet,
    image: Image,
    lists: Folder,
    next: std::cell::Cell<u32>,
}

impl EgressNetworks {
    /// A new one.
    pub fn new() -> EgressNetworks {
        let (private, public) = (Subnet::private(), Subnet::public());
        let inside = Network::new("inside", &["--internal", "--subnet", &private.to_string()]);
        let outside = Network::new("outside", &["--subnet", &public.to_string()]);
        let address = |number: u32| public.address(number).to_string();
        let origin = |kind: &str, number: u32| {
            let program = ["/peers/origin.py", "443", "80", "22", "25", "53", "8443"];
            peer(kind, &["--network", &outside.name, "--ip", &address(number)], &program)
        };
        let (good, evil) = (origin("good", GOOD), origin("evil", EVIL));
        let mut program = vec!["/peers/names.py".to_owned(), format!("*={}", address(EVIL))];
        let allowed = ["huggingface.co", "github.com", "cas-bridge.xethub.hf.co", "a.hf.co"];
        program.extend(allowed.map(|name| format!("{name}={}", address(GOOD))));
        let program: Vec<&str> = program.iter().map(String::as_str).collect();
        let names = peer("names", &["--network", &outside.name, "--ip", &address(NAMES)], &program);
        let lists = Folder::new();
        std::fs::write(lists.join("test.txt"), LIST).unwrap();
        EgressNetworks {
            good,
            evil,
            names,
            inside,
            outside,
            public,
            private,
            image: images::egress(),
            lists,
            next: 20.into(),
        }
    }

    /// The address of a host outside.
    pub fn address(&self, host: u32) -> String {
        self.public.address(host).to_string()
    }

    /// An address on the internal network that is no proxy's.
    pub fn client_address(&self) -> String {
        self.private.address(9).to_string()
    }

    /// A running proxy and its address; `options` are the engine's.
    pub fn egress(&self, kind: Egress, options: &[&str]) -> (Container, String) {
        let container = Container { name: fresh_name("egress") };
        let address = self.private.address(self.next.replace(self.next.get() + 1)).to_string();
        let list = format!("{}:/etc/egress/allow/test.txt:ro", self.lists.join("test.txt").display());
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
        let names = self.address(NAMES);
        let mut create = vec!["create", "--name", &container.name, "--network", &self.inside.name, "--ip", &address];
        create.extend(["--dns", &names, "--volume", &list, "--env", "ALLOW=test", "--env", &listen]);
        create.extend(["--read-only", "--tmpfs", "/run", "--tmpfs", "/tmp", "--cap-drop", "ALL"]);
        create.extend(CAPABILITIES.iter().flat_map(|capability| ["--cap-add", capability]));
        create.extend(["--security-opt", "no-new-privileges"]);
        create.extend(options);
        match &start {
            None => create.push(&self.image.name),
            Some(start) => create.extend(["--entrypoint", "sh", &self.image.name, "-c", start]),
        }
        ask(&create);
        ask(&["network", "connect", &self.outside.name, &container.name]);
        ask(&["start", &container.name]);
        eventually("a listening proxy", || {
            assert!(container.is_running(), "the proxy ended: {:?}", container.logs());
            // 22B8 is 8888; 0A: it listens.
            let tcp = container.exec(&["cat", "/proc/net/tcp"]).stdout;
            String::from_utf8_lossy(&tcp).lines().any(|line| line.contains(":22B8 00000000:0000 0A")).then_some(())
        });
        (container, address)
    }

    /// Makes the attempts one after the other and returns what came of each.
    pub fn attempt(&self, proxy: &str, attempts: &[Attempt]) -> Vec<AttemptResult> {
        let mut input = String::new();
        for attempt in attempts {
            let (bytes, inside) = (hex(&attempt.bytes), hex(INSIDE_THE_TUNNEL));
            // Where an answer must come, a busy machine gets the time for it.
            let patience = if attempt.may_be_silent() { 1.0 } else { 30.0 };
            writeln!(input, "{}\t{bytes}\t{inside}\t{patience}", attempt.name).unwrap();
        }
        // Origins log in the order of their connections: when the last one is seen, all before it are.
        let last = b"CONNECT huggingface.co:443 HTTP/1.1\r\n\r\n";
        writeln!(input, "last\t{}\t{}\t30", hex(last), hex(b"the last one\r\n\r\n")).unwrap();
        let peers = peers_mount();
        let name = fresh_name("client");
        let mut client = engine(&["run", "--rm", "--interactive", "--name", &name, "--network", &self.inside.name])
            .args(["--volume", &peers, "--entrypoint", "python3", &PEER_IMAGE, "/peers/client.py", proxy])
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
        ask(&[&own[..], &[&PEER_IMAGE, "-c", program]].concat())
    }
}

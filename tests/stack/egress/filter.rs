//! The packet filter of the proxy's own network, whatever the proxy believes: rebinding, other ports, other protocols, the other side.

use super::attempts::Attempt;
use super::outcomes::arrivals;
use super::world::{Egress, EgressNetworks, GOOD, NAMES, PEER_IMAGE, peer};
use takumi_test::engine::{Container, ask};
use takumi_test::folder::fresh_name;
use takumi_test::poll::eventually;
use takumi_test::require;

/// (name on the list, address that it resolves to). The addresses are given to the proxy's own loopback interface, where a
/// server listens: nothing but the packet filter stands between.
const CLOSED: [(&str, &str); 20] = [
    ("ten.hf.co", "10.1.2.3"),
    ("docker.hf.co", "172.16.5.4"),
    ("docker-top.hf.co", "172.31.255.254"),
    ("lan.hf.co", "192.168.50.5"),
    ("metadata.hf.co", "169.254.169.254"),
    ("loopback.hf.co", "127.0.0.1"),
    ("loopback-high.hf.co", "127.255.255.254"),
    ("carrier.hf.co", "100.64.0.9"),
    ("carrier-top.hf.co", "100.127.255.254"),
    ("zero.hf.co", "0.1.2.3"),
    ("benchmark.hf.co", "198.19.0.1"),
    ("reserved.hf.co", "240.0.0.1"),
    ("six-loopback.hf.co", "::1"),
    ("six-local.hf.co", "fd12:3456::1"),
    ("six-local-low.hf.co", "fc00::1"),
    ("six-mapped.hf.co", "::ffff:10.1.2.3"),
    ("six-nat64.hf.co", "64:ff9b::a01:203"),
    ("six-6to4.hf.co", "2002:a01:203::1"),
    ("six-teredo.hf.co", "2001:0:a01:203::1"),
    ("six-site.hf.co", "fec0::1"),
];

/// Open, so that the test's server is seen to be there: the documentation networks are nobody's.
const OPEN: [(&str, &str); 2] = [("four.hf.co", "192.0.2.9"), ("six.hf.co", "2001:db8::9")];

fn attempts() -> Vec<Attempt> {
    let connect = |(name, _): &(&str, &str)| Attempt {
        name: (*name).to_owned(),
        bytes: format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n").into_bytes(),
        expected: String::new(),
    };
    CLOSED.iter().chain(&OPEN).map(connect).collect()
}

/// The proxy, and the server that has all these addresses inside the proxy's own network.
fn rebound(world: &EgressNetworks, kind: Egress) -> (Container, Container, String) {
    let hosts: Vec<String> =
        CLOSED.iter().chain(&OPEN).map(|(name, address)| format!("--add-host={name}:{address}")).collect();
    let mut options: Vec<&str> = hosts.iter().map(String::as_str).collect();
    options.extend(["--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "--sysctl", "net.ipv6.conf.lo.disable_ipv6=0"]);
    let (egress, address) = world.egress(kind, &options);
    let network = format!("container:{}", egress.name);
    let mut program = vec!["/peers/addresses.py", "443"];
    // The loopback addresses are there already; a mapped one is 10.1.2.3 again.
    let there = |address: &str| address.starts_with("127.") || address == "::1" || address.starts_with("::ffff:");
    program.extend(CLOSED.iter().chain(&OPEN).map(|(_, address)| *address).filter(|address| !there(address)));
    let server = peer("rebound", &["--network", &network, "--cap-add", "NET_ADMIN"], &program);
    (egress, server, address)
}

#[test]
fn an_allowed_name_that_resolves_to_a_closed_network_is_not_reached() {
    require!(demo, gateway);
    let world = EgressNetworks::new();
    let (_egress, server, address) = rebound(&world, Egress::Shipped);
    let outcomes = world.attempt(&address, &attempts());
    let (closed, open) = outcomes.split_at(CLOSED.len());
    for outcome in closed {
        assert!(outcome.status.starts_with('5'), "{outcome:?}");
    }
    for outcome in open {
        assert_eq!(outcome.status, "200", "{outcome:?}");
    }
    let arrived = arrivals(&server).iter().filter(|arrival| arrival.bytes.is_none()).count();
    assert_eq!(arrived, OPEN.len(), "{closed:?}");

    let (_egress, server, address) = rebound(&world, Egress::WithoutRules);
    for outcome in world.attempt(&address, &attempts()) {
        assert_eq!(outcome.status, "200", "without the packet filter all of them are reached: {outcome:?}");
    }
    let arrived = arrivals(&server).iter().filter(|arrival| arrival.bytes.is_none()).count();
    assert_eq!(arrived, CLOSED.len() + OPEN.len());
}

/// Prints what leaves.
const PROBE: &str = r#"
import socket, sys
def tcp(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(30)
        s.connect(address)
def udp(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.connect(address)
        s.send(b"probe")
        # A refusal comes back as an error of the next call; silence means that it left.
        try:
            s.settimeout(0.5)
            s.recv(1)
        except socket.timeout:
            pass
def attempt(name, call, *arguments):
    try:
        call(*arguments)
        print(name, "left")
    except OSError as error:
        print(name, "refused")
four, six = socket.AF_INET, socket.AF_INET6
attempt("tcp-443", tcp, four, ("GOOD", 443))
attempt("tcp-80", tcp, four, ("GOOD", 80))
attempt("tcp-22", tcp, four, ("GOOD", 22))
attempt("tcp-53", tcp, four, ("GOOD", 53))
attempt("udp-53", udp, four, ("NAMES", 53))
attempt("udp-443", udp, four, ("NAMES", 443))
attempt("udp-123", udp, four, ("NAMES", 123))
attempt("lan", tcp, four, ("192.168.50.5", 443))
attempt("client", tcp, four, ("CLIENT", 443))
attempt("link-local", tcp, six, ("fe80::1", 443, 0, socket.if_nametoindex("lo")))
attempt("multicast", udp, four, ("224.0.0.251", 5353))
attempt("broadcast", udp, four, ("255.255.255.255", 443))
attempt("resolver", socket.getaddrinfo, "a.hf.co", 443)
"#;

#[test]
fn only_tls_leaves_and_only_clients_come_in() {
    require!(demo, gateway);
    let world = EgressNetworks::new();
    let client = world.client_address();
    let _client = peer("client", &["--network", &world.inside.name, "--ip", &client], &["/peers/origin.py", "443"]);
    let datagrams = || world.names.logs().0.lines().filter(|line| line.starts_with("datagram")).count();

    let shipped = Sides::new(&world, Egress::Shipped);
    assert_eq!((shipped.sends(), datagrams()), (vec!["tcp-443".to_owned(), "resolver".to_owned()], 0));
    assert_eq!(shipped.is_reached(), ["inside 8888"]);
    drop(shipped);

    let open = Sides::new(&world, Egress::WithoutRules);
    let all = [
        "tcp-443", "tcp-80", "tcp-22", "tcp-53", "udp-53", "udp-443", "udp-123", "lan", "client", "link-local",
        "multicast", "resolver",
    ];
    assert_eq!(open.sends(), all);
    eventually("the three datagrams", || (datagrams() == 3).then_some(()));
    // tinyproxy listens on the inner side alone, by its own configuration.
    assert_eq!(open.is_reached(), ["inside 8888", "inside 443", "outside 443"]);
}

/// A proxy, and a server beside it in the same network.
struct Sides<'a> {
    world: &'a EgressNetworks,
    egress: Container,
    address: String,
    _beside: Container,
}

impl Sides<'_> {
    fn new(world: &EgressNetworks, kind: Egress) -> Sides<'_> {
        let six = ["--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "--sysctl", "net.ipv6.conf.lo.disable_ipv6=0"];
        let (egress, address) = world.egress(kind, &six);
        let network = format!("container:{}", egress.name);
        let program = ["/peers/addresses.py", "443", "192.168.50.5", "fe80::1"];
        let beside = peer("beside", &["--network", &network, "--cap-add", "NET_ADMIN"], &program);
        Sides { world, egress, address, _beside: beside }
    }

    /// What a program beside the proxy, as the proxy's user, can send.
    fn sends(&self) -> Vec<String> {
        let probe = PROBE.replace("GOOD", &self.world.address(GOOD)).replace("NAMES", &self.world.address(NAMES));
        let probe = probe.replace("CLIENT", &self.world.client_address());
        let said = self.world.python_in(&self.egress, "13:13", &probe);
        said.lines().filter_map(|line| line.strip_suffix(" left")).map(str::to_owned).collect()
    }

    /// Which of its ports answer to a neighbour on either side.
    fn is_reached(&self) -> Vec<String> {
        let outside = &self.world.outside.name;
        let outer = self.egress.inspect(&format!("(index .NetworkSettings.Networks \"{outside}\").IPAddress"));
        let sides = [("inside", &self.world.inside.name, &self.address), ("outside", outside, &outer)];
        let mut reached = Vec::new();
        for (side, network, address) in sides {
            let program = format!(
                "import socket\nfor port in 8888, 443:\n try:\n  socket.create_connection(('{address}', port), 3)\n  print('{side}', port)\n except OSError: pass"
            );
            let name = fresh_name("caller");
            let run = ["run", "--rm", "--name", &name, "--network", network, "--entrypoint", "python3"];
            let said = ask(&[&run[..], &[&PEER_IMAGE, "-c", &program]].concat());
            reached.extend(said.lines().map(str::to_owned));
        }
        reached
    }
}

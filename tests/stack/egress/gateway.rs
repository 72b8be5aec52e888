//! The gateway: one port in, for hours and for large bodies, and no way out.

use super::world::{PEER_IMAGE, address_in, peer, peers_mount};
use crate::images;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use takumi_test::container::CAPABILITIES;
use takumi_test::engine::{Container, Network, ask};
use takumi_test::folder::fresh_name;
use takumi_test::level::full;
use takumi_test::poll::{PATIENCE, eventually};
use takumi_test::require;
use takumi_test::subnet::Subnet;

/// A relay between two networks and its published address.
struct Relay {
    container: Container,
    address: String,
    inside: Network,
    published: Network,
    _subnet: Subnet,
}

impl Relay {
    /// The shipped one.
    fn shipped() -> Relay {
        Relay::new(&images::gateway().name, &[], &[])
    }

    /// `options` are the engine's.
    fn new(image: &str, options: &[&str], command: &[&str]) -> Relay {
        let subnet = Subnet::private();
        let inside = Network::new("inside", &["--internal", "--subnet", &subnet.to_string()]);
        let published = Network::new("published", &["--opt", "com.docker.network.bridge.enable_ip_masquerade=false"]);
        let container = Container { name: fresh_name("gateway") };
        let mut create = vec!["create", "--name", &container.name, "--network", &inside.name, "--dns", "127.0.0.1"];
        create.extend(["--publish", "127.0.0.1::8188", "--read-only", "--tmpfs", "/run", "--tmpfs", "/tmp"]);
        create.extend(["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
        create.extend(["--sysctl", "net.ipv4.ip_forward=0"]);
        create.extend(CAPABILITIES.iter().flat_map(|capability| ["--cap-add", capability]));
        create.extend(options);
        create.push(image);
        create.extend(command);
        ask(&create);
        ask(&["network", "connect", &published.name, &container.name]);
        ask(&["start", &container.name]);
        let address = ask(&["port", &container.name, "8188/tcp"]).lines().next().unwrap().to_owned();
        Relay { container, address, inside, published, _subnet: subnet }
    }

    /// An app that the relay finds as `comfyui`.
    fn app(&self, name: &str) -> Container {
        let network = ["--network", &self.inside.name, "--network-alias", "comfyui"];
        peer("app", &network, &["/peers/app.py", name])
    }

    /// The body of the answer to a GET, if one comes.
    fn get(&self) -> Option<String> {
        let mut connection = TcpStream::connect(&self.address).ok()?;
        connection.set_read_timeout(Some(PATIENCE)).ok()?;
        connection.write_all(b"GET / HTTP/1.1\r\n\r\n").ok()?;
        body(connection)
    }

    /// The peak of the relay's memory, KiB: the largest of its processes.
    fn peak(&self) -> u64 {
        let said = self.container.exec(&["sh", "-c", "cat /proc/[0-9]*/status"]).stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        let peaks =
            said.lines().filter_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peaks.max().unwrap_or_else(|| panic!("no VmHWM: {said}"))
    }
}

fn body(mut connection: TcpStream) -> Option<String> {
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

#[test]
fn it_is_there_before_the_app_and_finds_it_again_wherever_it_comes_back() {
    require!(demo, gateway);
    let relay = Relay::shipped();
    eventually("a healthy gateway without an app", || {
        relay.container.exec(&["/etc/relay/healthy"]).status.success().then_some(())
    });
    assert_eq!(relay.get(), None, "nobody answers for an app that is not there");

    let one = relay.app("one");
    let answers = |expected: &str| eventually(expected, || (relay.get()? == expected).then_some(()));
    answers("I am one");
    ask(&["restart", "--time", "0", &one.name]);
    answers("I am one");
    let first = address_in(&one, &relay.inside.name);
    drop(one);
    // Somebody else has the old address now, and must not be taken for the app.
    let network = ["--network", relay.inside.name.as_str(), "--ip", &first];
    let _stranger = peer("stranger", &network, &["/peers/app.py", "a stranger"]);
    let _two = relay.app("two");
    answers("I am two");
    assert!(relay.container.is_running());
}

/// A websocket of the app's.
struct Websocket(TcpStream);

impl Websocket {
    fn open(address: &str) -> Websocket {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        connection.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        // The accept value of RFC 6455, 1.3, for this key.
        assert!(head.contains(" 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Websocket(connection)
    }

    fn echo(&mut self, text: &str) -> std::io::Result<String> {
        let mask = [7, 77, 177, 222];
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap()];
        frame.extend(mask);
        frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.0.write_all(&frame)?;
        let mut answer = vec![0; 2 + text.len()];
        self.0.read_exact(&mut answer)?;
        assert_eq!(answer[..2], [0x81, u8::try_from(text.len()).unwrap()]);
        Ok(String::from_utf8(answer.split_off(2)).unwrap())
    }

    /// Still open after this time without a byte.
    fn stays(&mut self, quiet: Duration) -> bool {
        self.0.set_read_timeout(Some(quiet)).unwrap();
        let kind = self.0.read(&mut [0]).map_err(|error| error.kind());
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        matches!(kind, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }
}

#[test]
fn a_quiet_websocket_stays_and_a_peer_that_is_gone_is_noticed() {
    require!(demo, gateway);
    let relay = Relay::shipped();
    let _app = relay.app("one");
    eventually("the app's answer", || relay.get());
    let mut socket = Websocket::open(&relay.address);
    assert_eq!(socket.echo("hello").unwrap(), "hello");
    let quiet = Duration::from_secs(if full() { 1200 } else { 8 });
    assert!(socket.stays(quiet), "cut after {quiet:?}");
    assert_eq!(socket.echo("still here").unwrap(), "still here");
    // Timer 02 in /proc/net/tcp is keepalive: whoever vanishes without a word is found on both sides.
    let tcp = String::from_utf8(relay.container.exec(&["cat", "/proc/net/tcp"]).stdout).unwrap();
    let established = tcp.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|f| f[3] == "01");
    let timers: Vec<String> = established.map(|fields| fields[5].to_owned()).collect();
    assert_eq!(timers.len(), 2, "{tcp}");
    assert!(timers.iter().all(|timer| timer.starts_with("02:")), "{tcp}");
}

/// The same relay with a short timeout, as most ship: the test above sees a cut.
#[test]
fn a_relay_with_a_short_timeout_cuts_the_quiet_websocket() {
    require!(demo, gateway);
    let short = "sed 's/24d/2s/' /etc/relay/haproxy.cfg >/tmp/short.cfg; exec haproxy -db -f /tmp/short.cfg";
    let relay = Relay::new(&images::gateway().name, &[], &["sh", "-c", short]);
    let _app = relay.app("one");
    eventually("the app's answer", || relay.get());
    let mut socket = Websocket::open(&relay.address);
    assert_eq!(socket.echo("hello").unwrap(), "hello");
    assert!(!socket.stays(PATIENCE));
}

/// Sends so many pieces of 1 MiB to the app, each full of its own number; the app's word for what arrived.
fn upload(address: &str, pieces: u64) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(connection, "POST /upload HTTP/1.1\r\nContent-Length: {}\r\n\r\n", pieces << 20).unwrap();
    for number in 0..pieces {
        connection.write_all(&number.to_le_bytes().repeat(1 << 17)).unwrap();
    }
    body(connection).unwrap()
}

#[test]
fn three_hundred_megabytes_pass_in_constant_memory() {
    require!(demo, gateway);
    let relay = Relay::shipped();
    let _app = relay.app("one");
    let grown = |relay: &Relay| {
        eventually("the app's answer", || relay.get());
        assert_eq!(upload(&relay.address, 3), "3 pieces as they were sent");
        let before = relay.peak();
        assert_eq!(upload(&relay.address, 300), "300 pieces as they were sent");
        relay.peak() - before
    };
    let kib = grown(&relay);
    assert!(kib < 2048, "the peak grew by {kib} KiB");

    // The control: a relay that takes all it can get.
    let mount = peers_mount();
    let options = ["--volume", &mount, "--entrypoint", "python3"];
    let hoarder = Relay::new(&PEER_IMAGE, &options, &["-u", "/peers/hoarder.py"]);
    let _app = hoarder.app("one");
    let kib = grown(&hoarder);
    assert!(kib > 100 * 1024, "the peak grew by {kib} KiB only: the measure sees nothing");
}

#[test]
fn the_app_cannot_use_it_as_a_way_out() {
    require!(demo, gateway);
    let relay = Relay::shipped();
    let app = relay.app("one");
    eventually("the app's answer", || relay.get());
    let outsider = peer("outsider", &["--network", &relay.published.name], &["/peers/origin.py", "443", "8188"]);
    let inner = address_in(&relay.container, &relay.inside.name);
    let outer = address_in(&relay.container, &relay.published.name);
    let target = address_in(&outsider, &relay.published.name);
    let connects = |container: &Container, to: &str, port: u16| {
        let program = format!("import socket; socket.create_connection(('{to}', {port}), 3)");
        container.exec(&["python3", "-c", &program]).status.success()
    };
    // The one port that is open leads back to the app, whatever is asked for.
    for request in
        ["CONNECT TARGET:443 HTTP/1.1", "GET http://TARGET:443/ HTTP/1.1", "\\x05\\x01\\x00\\x05\\x01\\x00\\x01"]
    {
        let request = request.replace("TARGET", &target);
        let program = format!(
            "import socket; s = socket.create_connection(('{inner}', 8188), 30); s.sendall(b'{request}\\r\\n\\r\\n'); print(s.recv(4096))"
        );
        let output = app.exec(&["python3", "-c", &program]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("I am one"), "{request}: {said}");
    }
    assert!(!connects(&app, &target, 443), "an address beyond the gateway: {target}");
    assert!(!connects(&app, &outer, 8188), "the gateway's other side: {outer}");
    for port in [22, 53, 80, 443, 8888, 1936] {
        assert!(!connects(&app, &inner, port), "port {port} of the gateway");
    }
    assert!(connects(&outsider, &outer, 8188), "the control: a neighbour outside reaches the other side");
    let forwards = relay.container.exec(&["cat", "/proc/sys/net/ipv4/ip_forward"]);
    assert_eq!(forwards.stdout, b"0\n");
    let status = String::from_utf8(relay.container.exec(&["sh", "-c", "cat /proc/[0-9]*/status"]).stdout).unwrap();
    let relays: Vec<&str> =
        status.split("Name:\t").filter(|each| each.starts_with("haproxy") || each.starts_with("init")).collect();
    assert_eq!(relays.len(), 2, "{status}");
    for each in relays {
        assert!(each.contains("Uid:\t13\t13\t13\t13") && each.contains("CapBnd:\t0000000000000000"), "{each}");
    }
    let (_, stderr) = relay.container.logs();
    assert!(!stderr.contains("[ALERT]"), "{stderr}");
}

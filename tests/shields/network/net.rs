//! Namespaces, what runs in them, and `init --report` among it.

use super::namespace::Namespace;
use crate::seen::ReportRun;
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;
use takumi_test::folder::Folder;
use takumi_test::poll::{PATIENCE, eventually};
use takumi_test::program::{Ended, init, run};

/// Where the proxy listens, unless a test says otherwise.
pub const PROXY: &str = "10.77.1.1:8888";
pub const HTTPS_PROXY: (&str, &str) = ("HTTPS_PROXY", "http://10.77.1.1:8888");
pub const REQUIRE: (&str, &str) = ("TAKUMI_EGRESS", "require");
/// What is tried past the proxy.
pub const NOBODY: &str = "192.0.2.1";

/// Three namespaces in a row: `app` has 10.77.1.2 and fd77:1::2, `router` the addresses ending in 1 there and 10.78.1.2 and
/// fd78:1::2 beyond, `far` the addresses ending in 1 there. The router forwards; `app` knows no way past it.
pub struct Net {
    pub app: Namespace,
    pub router: Namespace,
    pub far: Namespace,
    pub folder: Folder,
}

impl Net {
    /// `require!(network_namespaces, ip)`.
    #[track_caller]
    pub fn new() -> Net {
        let [app, router, far] = ["app", "router", "far"].map(Namespace::new);
        let net = Net { app, router, far, folder: Folder::new() };
        net.router.join("in", &net.app, "eth0", 77);
        net.far.join("in", &net.router, "out", 78);
        for space in [&net.router, &net.far] {
            space.shell("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
        }
        net
    }

    /// The same with default routes from `app` to `far`, which hands what is nobody's to a link that swallows it, as the
    /// internet does.
    #[track_caller]
    pub fn with_a_way_out() -> Net {
        let net = Net::new();
        for (space, next) in [(&net.app, "77:1::1"), (&net.router, "78:1::1")] {
            space.ip(&["route", "add", "default", "via", &format!("10.{}.1.1", &next[..2])]);
            space.ip(&["-6", "route", "add", "default", "via", &format!("fd{next}")]);
        }
        net.far.ip(&["route", "add", "10.77.1.0/24", "via", "10.78.1.2"]);
        net.far.ip(&["-6", "route", "add", "fd77:1::/64", "via", "fd78:1::2"]);
        net.far.ip(&["link", "add", "name", "world", "type", "veth", "peer", "name", "void"]);
        net.far.ip(&["link", "set", "world", "up"]);
        net.far.ip(&["link", "set", "void", "up"]);
        // What comes out there would be routed again.
        net.far.chain("prerouting", "iifname \"void\" drop");
        net.far.ip(&["route", "add", "default", "dev", "world"]);
        net.far.ip(&["-6", "route", "add", "default", "dev", "world"]);
        // A link that has just been set up may carry nothing for a while.
        net.await_way("10.78.1.1:9");
        net.await_way("[fd78:1::1]:9");
        net
    }

    /// Waits until a port where nobody listens is refused to `app`.
    fn await_way(&self, to: &str) {
        let to: SocketAddr = to.parse().unwrap();
        let refused = move || {
            let answer = TcpStream::connect_timeout(&to, Duration::from_millis(100));
            matches!(answer, Err(error) if error.kind() == ErrorKind::ConnectionRefused).then_some(())
        };
        eventually(&format!("a way to {to}"), || self.app.within(refused));
    }

    /// Serves one connection where the proxy would be.
    pub fn serve<T: Send + 'static>(&self, answer: impl FnOnce(TcpStream) -> T + Send + 'static) -> JoinHandle<T> {
        let listener = self.router.listen(PROXY);
        std::thread::spawn(move || answer(listener.accept().unwrap().0))
    }

    /// Starts tinyproxy on the router with these lines of configuration besides what it needs to run, and waits until it listens.
    pub fn tinyproxy(&self, lines: &str) -> Tinyproxy {
        let configuration = self.folder.join("tinyproxy.conf");
        let needed = "User nobody\nGroup nogroup\nPort 8888\nListen 10.77.1.1\nTimeout 10\nAllow 10.77.1.0/24\nConnectPort 443\n";
        fs::write(&configuration, format!("{needed}{lines}\n")).unwrap();
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.router.name, "tinyproxy", "-d", "-c"])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let proxy = Tinyproxy(child);
        let mut said = String::new();
        for line in stdout.lines() {
            said += &line.unwrap();
            if said.contains("Starting main loop") {
                return proxy;
            }
        }
        panic!("tinyproxy ended: {said}");
    }

    /// A list that allows one name.
    pub fn filter(&self) -> String {
        let file = self.folder.join("filter");
        fs::write(&file, "^huggingface\\.co$\n").unwrap();
        // Its user must be able to read it.
        format!("Filter \"{}\"\nFilterType ere", file.display())
    }

    /// The allow-list that denies everything else.
    pub fn default_deny(&self) -> Tinyproxy {
        self.tinyproxy(&format!("{}\nFilterDefaultDeny Yes", self.filter()))
    }

    /// `init` with these arguments in `app`, with an /etc/hosts of the test's (`hosts`) and a /run of its own.
    pub fn init(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Ended {
        let hosts = self.folder.join("hosts");
        if !hosts.exists() {
            fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
        }
        let stage =
            "mount --bind \"$0\" /etc/hosts; mount -t tmpfs -o nosuid,nodev takumi-test /run; exec env -i \"$@\"";
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.app.name, "unshare", "--mount", "sh", "-e", "-c", stage]).arg(&hosts);
        command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "PUID=1000"]);
        command.args(environment.iter().map(|(name, value)| format!("{name}={value}")));
        run(command.arg(init()).args(arguments))
    }

    #[track_caller]
    pub fn report(&self, environment: &[(&str, &str)]) -> ReportRun {
        ReportRun::of(self.init(environment, &["--report", "--json"]))
    }
}

pub struct Tinyproxy(Child);

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads a request to its empty line.
pub fn request(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = Vec::new();
    let mut buffer = [0; 512];
    while !heard.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            count => heard.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8(heard).unwrap()
}

/// Answers one request with these bytes.
pub fn reply(bytes: &'static [u8]) -> impl FnOnce(TcpStream) + Send + 'static {
    move |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(bytes);
    }
}

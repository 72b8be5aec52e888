//! Namespaces, what runs in them, and `init --report` among it.
#![allow(unsafe_code)]

use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where the proxy listens, unless a test says otherwise.
pub const PROXY: &str = "10.77.1.1:8888";
pub const HTTPS_PROXY: (&str, &str) = ("HTTPS_PROXY", "http://10.77.1.1:8888");
pub const REQUIRE: (&str, &str) = ("TAKUMI_EGRESS", "require");
/// What is tried past the proxy.
pub const NOBODY: &str = "192.0.2.1";

/// Three namespaces in a row: `app` has 10.77.1.2 and fd77:1::2, `router` the addresses ending in 1 there and 10.78.1.2 and
/// fd78:1::2 beyond, `far` the addresses ending in 1 there. The router forwards; `app` knows no way past it.
pub struct Net {
    pub app: String,
    pub router: String,
    pub far: String,
    pub folder: PathBuf,
}

impl Net {
    /// `None` (said on stdout) where it cannot be made.
    pub fn new() -> Option<Net> {
        for tool in ["ip", "nft", "tinyproxy", "unshare"] {
            let paths = std::env::var("PATH").unwrap_or_default();
            if !std::env::split_paths(&paths).chain(["/usr/sbin".into()]).any(|path| path.join(tool).exists()) {
                println!("skipped: {tool} is not installed");
                return None;
            }
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("takumi-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let [app, router, far] = ["app", "router", "far"].map(|role| format!("{name}-{role}"));
        if !ip(&["netns", "add", &app]).status.success() {
            println!("skipped: network namespaces are refused");
            return None;
        }
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir(&folder).unwrap();
        let net = Net { app, router, far, folder };
        run(&["netns", "add", &net.router]);
        run(&["netns", "add", &net.far]);
        for space in [&net.app, &net.router, &net.far] {
            run(&["-n", space, "link", "set", "lo", "up"]);
            // Nobody else has an address of ours: links need not wait a second to find that out.
            net.inside(space, "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad");
        }
        net.join(&net.router, "in", &net.app, "eth0", 77);
        net.join(&net.far, "in", &net.router, "out", 78);
        net.inside(
            &net.router,
            "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        );
        net.inside(&net.far, "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
        Some(net)
    }

    /// A link between two of them: the first has the addresses that end in 1.
    fn join(&self, first: &str, its: &str, second: &str, other: &str, number: u8) {
        run(&["link", "add", "name", its, "netns", first, "type", "veth", "peer", "name", other, "netns", second]);
        for (space, link, last) in [(first, its, 1), (second, other, 2)] {
            run(&["-n", space, "addr", "add", &format!("10.{number}.1.{last}/24"), "dev", link]);
            run(&["-n", space, "addr", "add", &format!("fd{number}:1::{last}/64"), "dev", link, "nodad"]);
            run(&["-n", space, "link", "set", link, "up"]);
        }
    }

    /// The same with default routes from `app` to `far`, which hands what is nobody's to a link that swallows it, as the
    /// internet does.
    pub fn with_a_way_out() -> Option<Net> {
        let net = Net::new()?;
        for (space, next) in [(&net.app, "77:1::1"), (&net.router, "78:1::1")] {
            run(&["-n", space, "route", "add", "default", "via", &format!("10.{}.1.1", &next[..2])]);
            run(&["-6", "-n", space, "route", "add", "default", "via", &format!("fd{next}")]);
        }
        run(&["-n", &net.far, "route", "add", "10.77.1.0/24", "via", "10.78.1.2"]);
        run(&["-6", "-n", &net.far, "route", "add", "fd77:1::/64", "via", "fd78:1::2"]);
        run(&["-n", &net.far, "link", "add", "name", "world", "type", "veth", "peer", "name", "void"]);
        run(&["-n", &net.far, "link", "set", "world", "up"]);
        run(&["-n", &net.far, "link", "set", "void", "up"]);
        // What comes out there would be routed again.
        net.chain(&net.far, "prerouting", "iifname \"void\" drop");
        run(&["-n", &net.far, "route", "add", "default", "dev", "world"]);
        run(&["-6", "-n", &net.far, "route", "add", "default", "dev", "world"]);
        // A link that has just been set up may carry nothing for a while.
        net.await_way("10.78.1.1:9");
        net.await_way("[fd78:1::1]:9");
        Some(net)
    }

    /// What a namespace does with packets that pass through it: nftables' words for a rule.
    pub fn forwarding(&self, space: &str, rule: &str) {
        self.chain(space, "forward", rule);
    }

    pub fn chain(&self, space: &str, hook: &str, rule: &str) {
        let rules =
            format!("table inet test {{\nchain {hook} {{\ntype filter hook {hook} priority 0\n{rule}\n}}\n}}\n");
        let file = self.folder.join("rules");
        fs::write(&file, rules).unwrap();
        self.inside(space, &format!("nft -f {}", file.display()));
    }

    /// Runs a line of shell in a namespace; it has to succeed.
    pub fn inside(&self, space: &str, line: &str) {
        run(&["netns", "exec", space, "sh", "-e", "-c", line]);
    }

    pub fn address(&self, space: &str, address: &str) {
        run(&["-n", space, "addr", "add", address, "dev", "lo"]);
    }

    /// Listens in a namespace.
    pub fn listen(&self, space: &str, address: &str) -> TcpListener {
        let address: SocketAddr = address.parse().unwrap();
        within(space, move || TcpListener::bind(address).unwrap())
    }

    /// Waits until a port where nobody listens is refused to `app`.
    fn await_way(&self, to: &str) {
        let to: SocketAddr = to.parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let refused = move || {
            let answer = TcpStream::connect_timeout(&to, Duration::from_millis(100));
            matches!(answer, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
        };
        while !within(&self.app, refused) {
            assert!(Instant::now() < deadline, "{to} is not reached");
        }
    }

    /// Serves one connection where the proxy would be.
    pub fn serve(&self, answer: impl FnOnce(TcpStream) + Send + 'static) {
        let listener = self.listen(&self.router, PROXY);
        std::thread::spawn(move || answer(listener.accept().unwrap().0));
    }

    /// Starts tinyproxy on the router with these lines of configuration besides what it needs to run, and waits until it listens.
    pub fn tinyproxy(&self, lines: &str) -> Tinyproxy {
        let configuration = self.folder.join("tinyproxy.conf");
        let needed = "User nobody\nGroup nogroup\nPort 8888\nListen 10.77.1.1\nTimeout 10\nAllow 10.77.1.0/24\nConnectPort 443\n";
        fs::write(&configuration, format!("{needed}{lines}\n")).unwrap();
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.router, "tinyproxy", "-d", "-c"])
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
    pub fn init(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Seen {
        let hosts = self.folder.join("hosts");
        if !hosts.exists() {
            fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
        }
        let stage =
            "mount --bind \"$0\" /etc/hosts; mount -t tmpfs -o nosuid,nodev takumi-test /run; exec env -i \"$@\"";
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.app, "unshare", "--mount", "sh", "-e", "-c", stage]).arg(&hosts);
        command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "PUID=1000"]);
        command.args(environment.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg(init()).args(arguments).stdin(Stdio::null());
        let begun = Instant::now();
        Seen { output: command.output().unwrap(), took: begun.elapsed() }
    }

    pub fn report(&self, environment: &[(&str, &str)]) -> Seen {
        self.init(environment, &["--report", "--json"])
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for space in [&self.app, &self.router, &self.far] {
            ip(&["netns", "del", space]);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Does something in a namespace.
fn within<T: Send + 'static>(space: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let file = File::open(format!("/run/netns/{space}")).unwrap();
    let inside = move || {
        // SAFETY: concerns the calling thread alone, which ends here.
        assert_eq!(unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
        act()
    };
    std::thread::spawn(inside).join().unwrap()
}

fn init() -> PathBuf {
    let given = std::env::var_os("INIT_UNDER_TEST").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(env!("CARGO_BIN_EXE_init")).to_owned())
}

fn ip(arguments: &[&str]) -> Output {
    Command::new("ip").args(arguments).output().unwrap()
}

fn run(arguments: &[&str]) {
    let output = ip(arguments);
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub struct Tinyproxy(Child);

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a run of `init` said.
pub struct Seen {
    pub output: Output,
    pub took: Duration,
}

impl Seen {
    pub fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Status and detail of a finding.
    pub fn finding(&self, id: &str) -> (String, String) {
        let report: Value = serde_json::from_slice(&self.output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout(), self.stderr()));
        let findings = report["findings"].as_array().unwrap();
        let mut of_id = findings.iter().filter(|finding| finding["id"] == id);
        let finding = of_id.next().unwrap_or_else(|| panic!("no {id} in {}", self.stdout()));
        assert!(of_id.next().is_none(), "{id} stands twice");
        let text = |name: &str| finding[name].as_str().unwrap().to_string();
        assert_eq!(finding["shield"], "network");
        let status = text("status");
        assert_eq!(finding["fix"].is_string(), status == "missing" || status == "unknown", "{finding}");
        (status, text("detail"))
    }

    /// The finding has this status, and its detail these words.
    #[track_caller]
    pub fn says(&self, id: &str, status: &str, words: &str) {
        let (is, detail) = self.finding(id);
        assert!(is == status && detail.contains(words), "expected {id} {status} ({words}): {is} {detail}");
    }
}

/// Reads a request to its empty line.
pub fn request(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
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

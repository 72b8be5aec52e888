//! image/compose.yaml under docker-compose, with the demonstration's stand-in as ComfyUI.

use crate::engine::{Container, Folder, Image, ask, engine, eventually, fresh_name, installed};
use crate::world::{Network, arrivals, images, init_mount, peer, peers_mount};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const GOOD: &str = "203.0.113.135";
const OUTSIDE: &str = "203.0.113.128/27";

/// docker-compose 1.29 opens a path relative to the current directory, not to the file.
const SECCOMP_PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/seccomp.json");

/// A compose project that is taken down with its value.
struct Project {
    name: String,
    files: Vec<PathBuf>,
    _folder: Folder,
}

impl Project {
    fn new(image: &Image) -> Project {
        let folder = Folder::new();
        let init = init_mount();
        let change = format!(
            "services:\n\
             \x20 comfyui:\n\
             \x20   restart: \"no\"\n\
             \x20   volumes: [\"{peers}\"]\n\
             \x20 egress:\n\
             \x20   restart: \"no\"\n\
             \x20   extra_hosts: [\"huggingface.co:{GOOD}\", \"evil.com:{GOOD}\"]\n\
             \x20   volumes: [\"{init}\"]\n\
             \x20 gateway:\n\
             \x20   restart: \"no\"\n\
             \x20   volumes: [\"{init}\"]\n\
             networks:\n\
             \x20 outside:\n\
             \x20   ipam:\n\
             \x20     config:\n\
             \x20       - subnet: {OUTSIDE}\n",
            peers = peers_mount(),
        );
        let own = folder.0.join("test.yaml");
        std::fs::write(&own, change).unwrap();
        let image_folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("image");
        let project =
            Project { name: fresh_name("stack"), files: vec![image_folder.join("compose.yaml"), own], _folder: folder };
        let up = project.compose(&["up", "--detach", "--no-color"], image);
        assert!(up.status.success(), "{}{}", text(&up.stderr), project.logs(image));
        project
    }

    fn compose(&self, words: &[&str], image: &Image) -> Output {
        let mut command = Command::new("docker-compose");
        for file in &self.files {
            command.arg("--file").arg(file);
        }
        command
            .args(["--project-name", &self.name])
            .args(words)
            .envs([("COMFYUI_IMAGE", image.name.as_str()), ("UI_ADDRESS", "127.0.0.1:0"), ("COMFYUI_MEMORY", "1g")])
            .envs([("INSIDE_SUBNET", "10.181.92.0/24"), ("INSIDE_RANGE", "10.181.92.0/25")])
            .env("EGRESS_ADDRESS", "10.181.92.254")
            .env("SECCOMP_PROFILE", SECCOMP_PROFILE)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn logs(&self, image: &Image) -> String {
        text(&self.compose(&["logs", "--no-color"], image).stdout)
    }

    /// A service's container; the project removes it.
    fn service(&self, name: &str) -> std::mem::ManuallyDrop<Container> {
        std::mem::ManuallyDrop::new(Container { name: format!("{}_{name}_1", self.name) })
    }

    fn network(&self, name: &str) -> String {
        format!("{}_{name}", self.name)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let nothing = std::mem::ManuallyDrop::new(Image { name: "takumi-demo".into() });
        let _ = self.compose(&["down", "--volumes", "--timeout", "1"], &nothing);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Prints a line for each way that led somewhere.
const WAYS_OUT: &str = r#"
import socket, sys
good, host_port, ours, gateway_outer, egress_outer = sys.argv[1:6]
def connect(name, address, port):
    try:
        socket.create_connection((address, int(port)), 1.5).close()
        print(name, "reached", flush=True)
    except OSError:
        pass
connect("origin", good, 443)
connect("origin-80", good, 80)
# The host: its addresses on both bridges, and whatever else it may have there.
connect("host-inside", ours.rsplit(".", 1)[0] + ".1", host_port)
connect("host-outside", "203.0.113.129", host_port)
connect("host-default-bridge", "172.17.0.1", host_port)
connect("gateway-other-side", gateway_outer, 8188)
connect("egress-other-side", egress_outer, 8888)
for port in (53, 443):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.sendto(b"probe", (good, port))
        except OSError:
            pass
for name in ("a.hf.co", "huggingface.co", "host.docker.internal"):
    try:
        socket.getaddrinfo(name, 443)
        print("name", name, "resolved", flush=True)
    except OSError:
        pass
"#;

#[test]
fn the_stack_shows_its_page_and_lets_comfyui_reach_the_list_alone() {
    if !images() {
        return;
    }
    if installed("docker-compose").is_none() {
        println!("skipped: docker-compose is not installed");
        return;
    }
    let Some(image) = Image::demo() else { return };
    let project = Project::new(&image);
    let (comfyui, egress, gateway) =
        (project.service("comfyui"), project.service("egress"), project.service("gateway"));
    let good =
        peer("good", &["--network", &project.network("outside"), "--ip", GOOD], &["/peers/origin.py", "443", "80"]);

    the_page_is_shown(&gateway);
    assert_eq!(egress.inspect(".State.Health.Status"), "healthy", "comfyui waited for it");
    everybody_is_hardened(&[&comfyui, &egress, &gateway]);

    // The host serves on all its addresses, as many a service does.
    let host = TcpListener::bind("0.0.0.0:0").unwrap();
    let host_port = host.local_addr().unwrap().port().to_string();
    let address = |container: &Container, network: &str| {
        container.inspect(&format!("(index .NetworkSettings.Networks \"{}\").IPAddress", project.network(network)))
    };
    let (gateway_outer, egress_outer) = (address(&gateway, "published"), address(&egress, "outside"));
    let ours = address(&comfyui, "inside");
    let probe = ["python3", "-c", WAYS_OUT, GOOD, &host_port, &ours, &gateway_outer, &egress_outer];
    let led = comfyui.exec(&probe);
    assert!(led.status.success(), "{}", text(&led.stderr));
    assert_eq!(text(&led.stdout), "", "ways out of comfyui");
    assert_eq!(arrivals(&good), [], "something arrived");

    let client = |target: &str| {
        let program = format!(
            "import socket; s = socket.create_connection(('egress', 8888), 5); s.sendall(b'CONNECT {target} HTTP/1.1\\r\\n\\r\\n'); print(s.recv(200).split()[1].decode())"
        );
        text(&comfyui.exec(&["python3", "-c", &program]).stdout).trim().to_owned()
    };
    assert_eq!(client("huggingface.co:443"), "200");
    assert_eq!(client("evil.com:443"), "403");
    assert_eq!(client("github.com:443"), "403", "the list models has no GitHub");
    // urllib takes the proxy from the environment, as compose sets it.
    let urllib = "import urllib.request as r; print(r.getproxies()['https'], r.getproxies()['http'])";
    let proxies = text(&comfyui.exec(&["python3", "-c", urllib]).stdout);
    assert_eq!(proxies.trim(), "http://egress:8888 http://egress:8888");
    // No link-local address of IPv6 either, by which the host would have one in the internal network.
    let six = text(&comfyui.exec(&["cat", "/proc/net/if_inet6"]).stdout);
    assert!(six.lines().all(|line| line.ends_with(" lo")), "{six}");

    the_same_questions_lead_somewhere_from_other_networks(&project, &probe);
}

fn the_page_is_shown(gateway: &Container) {
    let published = ask(&["port", &gateway.name, "8188/tcp"]);
    assert!(published.starts_with("127.0.0.1:") && published.lines().count() == 1, "{published}");
    eventually("the page", || {
        let mut connection = TcpStream::connect(&published).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        connection.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut page = String::new();
        connection.read_to_string(&mut page).ok()?;
        (page.contains(" 200 ") && page.contains("A stand-in for ComfyUI")).then_some(())
    });
}

/// What each container's first process and its child hold, and how it was started.
fn everybody_is_hardened(containers: &[&Container]) {
    for container in containers {
        assert_eq!(container.inspect(".HostConfig.ReadonlyRootfs"), "true", "{}", container.name);
        assert!(container.inspect(".HostConfig.SecurityOpt").contains("no-new-privileges"), "{}", container.name);
        assert_ne!(container.inspect(".HostConfig.PidsLimit"), "0", "{}", container.name);
        assert_ne!(container.inspect(".HostConfig.Memory"), "0", "{}", container.name);
        let pid = container.inspect(".State.Pid");
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        for pid in std::iter::once(pid.as_str()).chain(children.split_whitespace()) {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            for line in status.lines().filter(|line| line.starts_with("Cap")) {
                assert!(line.ends_with("\t0000000000000000"), "{}: {line}", container.name);
            }
            assert!(!status.contains("\nUid:\t0"), "{}: {status}", container.name);
        }
        assert!(!children.trim().is_empty(), "{}", container.name);
    }
}

/// The control: what the internal network closes is open on a network without its options.
fn the_same_questions_lead_somewhere_from_other_networks(project: &Project, probe: &[&str]) {
    let run = |network: &str| {
        let name = fresh_name("control");
        let own = ["run", "--rm", "--name", &name, "--network", network, "--entrypoint", probe[0]];
        let resolver = ["--dns", "127.0.0.1", "--dns-opt", "timeout:1", "--dns-opt", "attempts:1", "takumi-demo"];
        let output = engine(&[&own[..], &resolver, &probe[1..]].concat()).output().unwrap();
        text(&output.stdout)
    };
    let outside = run(&project.network("outside"));
    assert!(outside.contains("origin reached") && outside.contains("host-outside reached"), "{outside}");
    // `internal: true` alone leaves the host open, at each of its addresses.
    let plain = Network::new("plain", &["--internal", "--subnet", "10.181.93.0/24"]);
    let words = run(&plain.name);
    assert!(words.contains("host-outside reached") && !words.contains("origin"), "{words}");
}

#[test]
fn the_compose_files_are_valid_together() {
    if installed("docker-compose").is_none() {
        println!("skipped: docker-compose is not installed");
        return;
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/image");
    let config = |files: &[&str]| {
        let mut command = Command::new("docker-compose");
        for file in files {
            command.args(["--file", &format!("{folder}/{file}")]);
        }
        command.env("SECCOMP_PROFILE", SECCOMP_PROFILE);
        let output = command.args(["--profile", "ollama", "config"]).output().unwrap();
        assert!(output.status.success(), "{files:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{files:?}");
        text(&output.stdout)
    };
    let plain = config(&["compose.yaml"]);
    assert!(!plain.contains("capabilities:") && plain.contains("internal: true"), "{plain}");
    assert!(config(&["compose.yaml", "compose.gpu.yaml"]).contains("driver: nvidia"));
}

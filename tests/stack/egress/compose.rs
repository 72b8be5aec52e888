//! image/compose.yaml under docker-compose, with the demonstration's stand-in as ComfyUI.

use super::outcomes::arrivals;
use super::world::{address_in, peer, peers_mount};
use crate::images;
use std::io::{Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use takumi_test::engine::{Container, Network, ask, engine};
use takumi_test::folder::{Folder, fresh_name};
use takumi_test::image::{Image, built};
use takumi_test::poll::{PATIENCE, eventually};
use takumi_test::program::{Ended, REPOSITORY, run};
use takumi_test::require;
use takumi_test::subnet::Subnet;

/// The allowed host's number in the network outside.
const GOOD: u32 = 7;

/// A compose project that is taken down with its value.
struct Project {
    name: String,
    folder: Folder,
    images: [Image; 3],
    private: Subnet,
    public: Subnet,
}

impl Project {
    fn new() -> Project {
        let project = Project {
            name: fresh_name("stack"),
            folder: Folder::new(),
            images: [Image::demo(), images::egress(), images::gateway()],
            private: Subnet::private(),
            public: Subnet::public(),
        };
        let change = format!(
            "services:\n\
             \x20 comfyui:\n\
             \x20   restart: \"no\"\n\
             \x20   volumes: [\"{peers}\"]\n\
             \x20 egress:\n\
             \x20   restart: \"no\"\n\
             \x20   extra_hosts: [\"huggingface.co:{good}\", \"evil.com:{good}\"]\n\
             \x20 gateway:\n\
             \x20   restart: \"no\"\n\
             networks:\n\
             \x20 outside:\n\
             \x20   ipam:\n\
             \x20     config:\n\
             \x20       - subnet: {outside}\n",
            peers = peers_mount(),
            good = project.public.address(GOOD),
            outside = project.public,
        );
        std::fs::write(project.folder.join("test.yaml"), change).unwrap();
        let up = project.compose(&["up", "--detach", "--no-color"]);
        assert_eq!(up.code, 0, "{}{}", up.stderr, project.compose(&["logs", "--no-color"]).stdout);
        project
    }

    fn compose(&self, words: &[&str]) -> Ended {
        let [comfyui, egress, gateway] = self.images.each_ref().map(|image| &image.name);
        let mut command = Command::new("docker-compose");
        command.arg("--file").arg(format!("{REPOSITORY}/image/compose.yaml"));
        command.arg("--file").arg(self.folder.join("test.yaml"));
        command
            .args(["--project-name", &self.name])
            .args(words)
            .envs([("COMFYUI_IMAGE", comfyui), ("EGRESS_IMAGE", egress), ("GATEWAY_IMAGE", gateway)])
            .envs([("UI_ADDRESS", "127.0.0.1:0"), ("COMFYUI_MEMORY", "1g")])
            .env("INSIDE_SUBNET", self.private.to_string())
            .env("INSIDE_RANGE", format!("{}/25", self.private.address(0)))
            .env("EGRESS_ADDRESS", self.private.address(254).to_string())
            .env("SECCOMP_PROFILE", seccomp_profile());
        run(&mut command)
    }

    /// A service's container; the project removes it.
    fn service(&self, name: &str) -> ManuallyDrop<Container> {
        ManuallyDrop::new(Container { name: format!("{}_{name}_1", self.name) })
    }

    fn network(&self, name: &str) -> String {
        format!("{}_{name}", self.name)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.compose(&["down", "--volumes", "--timeout", "1"]);
    }
}

/// docker-compose 1.29 opens a path relative to the current directory, not to the file.
fn seccomp_profile() -> String {
    format!("{REPOSITORY}/image/seccomp.json")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Prints a line for each way that led somewhere.
const WAYS_OUT: &str = r#"
import socket, sys
good, host_port, inside, outside, gateway_outer, egress_outer = sys.argv[1:]
def connect(name, address, port):
    try:
        socket.create_connection((address, int(port)), 4).close()
        print(name, "reached", flush=True)
    except OSError:
        pass
connect("origin", good, 443)
connect("origin-80", good, 80)
# The host: its addresses on both bridges, and whatever else it may have there.
connect("host-inside", inside, host_port)
connect("host-outside", outside, host_port)
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
    require!(rootful_docker, demo, gateway, "docker-compose");
    let project = Project::new();
    let (comfyui, egress, gateway) =
        (project.service("comfyui"), project.service("egress"), project.service("gateway"));
    let good = project.public.address(GOOD).to_string();
    let origin =
        peer("good", &["--network", &project.network("outside"), "--ip", &good], &["/peers/origin.py", "443", "80"]);

    the_page_is_shown(&gateway);
    assert_eq!(egress.inspect(".State.Health.Status"), "healthy", "comfyui waited for it");
    everybody_is_hardened(&[&comfyui, &egress, &gateway]);

    // The host serves on all its addresses, as many a service does.
    let host = TcpListener::bind("0.0.0.0:0").unwrap();
    let host_port = host.local_addr().unwrap().port().to_string();
    let gateway_outer = address_in(&gateway, &project.network("published"));
    let egress_outer = address_in(&egress, &project.network("outside"));
    let [inside, outside] = [&project.private, &project.public].map(|subnet| subnet.address(1).to_string());
    let probe = ["python3", "-c", WAYS_OUT, &good, &host_port, &inside, &outside, &gateway_outer, &egress_outer];
    let led = comfyui.exec(&probe);
    assert!(led.status.success(), "{}", text(&led.stderr));
    assert_eq!(text(&led.stdout), "", "ways out of comfyui");
    assert_eq!(arrivals(&origin), [], "something arrived");

    let client = |target: &str| {
        let program = format!(
            "import socket; s = socket.create_connection(('egress', 8888), 30); s.sendall(b'CONNECT {target} HTTP/1.1\\r\\n\\r\\n'); print(s.recv(200).split()[1].decode())"
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
        connection.set_read_timeout(Some(PATIENCE)).ok()?;
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
    let asked = |network: &str| {
        let name = fresh_name("control");
        let own = ["run", "--rm", "--name", &name, "--network", network, "--entrypoint", probe[0]];
        let resolver = ["--dns", "127.0.0.1", "--dns-opt", "timeout:1", "--dns-opt", "attempts:1", &built("demo")];
        run(&mut engine(&[&own[..], &resolver, &probe[1..]].concat())).stdout
    };
    let outside = asked(&project.network("outside"));
    assert!(outside.contains("origin reached") && outside.contains("host-outside reached"), "{outside}");
    // `internal: true` alone leaves the host open, at each of its addresses.
    let plain = Network::new("plain", &["--internal"]);
    let words = asked(&plain.name);
    assert!(words.contains("host-outside reached") && !words.contains("origin"), "{words}");
}

#[test]
fn the_compose_files_are_valid_together() {
    require!("docker-compose");
    let config = |files: &[&str]| {
        let mut command = Command::new("docker-compose");
        for file in files {
            command.args(["--file", &format!("{REPOSITORY}/image/{file}")]);
        }
        let ended = run(command.env("SECCOMP_PROFILE", seccomp_profile()).args(["--profile", "ollama", "config"]));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{files:?}");
        ended.stdout
    };
    let plain = config(&["compose.yaml"]);
    assert!(!plain.contains("capabilities:") && plain.contains("internal: true"), "{plain}");
    assert!(config(&["compose.yaml", "compose.gpu.yaml"]).contains("driver: nvidia"));
}

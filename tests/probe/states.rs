//! Every state, with its exit code.

use crate::inside::PidNamespace;
use crate::server::Server;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;
use takumi_test::poll::eventually;
use takumi_test::require;

fn with_url(url: &str) -> Vec<(&str, &str)> {
    vec![("TAKUMI_HEALTH_URL", url), ("TAKUMI_HEALTH_TIMEOUT", "5s")]
}

/// `init` over COMMAND, to be asked at `url` within five seconds.
fn over(command: &[&str], url: &str) -> PidNamespace {
    PidNamespace::init(&with_url(url), command)
}

#[test]
fn an_answer_is_healthy_as_root_and_as_an_ordinary_user() {
    require!(namespaces, setpriv);
    let server = Server::new(|connection| {
        assert!(connection.request.starts_with("GET /prompt HTTP/1.1\r\nHost: 127.0.0.1:"), "{}", connection.request);
        connection.send(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n");
    });
    let inside = over(&["sleep", "600"], &server.url());
    // What the start was told is in its report: the check needs none of it in its own environment.
    inside.check(&[]).expect("healthy").says("answers 302").says("COMMAND is process ");
    for user in ["1000", "1001", "65534"] {
        inside.check_as(user, &[]).expect("healthy").says("answers 302");
    }
    let findings = &inside.check_json(&[])["findings"];
    let ids: Vec<&str> = findings.as_array().unwrap().iter().map(|finding| finding["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["unprivileged", "capabilities", "no-new-privileges", "process", "http"]);
}

#[test]
fn without_a_url_a_command_that_runs_is_healthy() {
    require!(namespaces);
    let inside = PidNamespace::init(&[], &["sleep", "600"]);
    let checked = inside.check(&[]);
    checked.expect("healthy");
    assert_eq!(checked.stdout.lines().count(), 1, "{checked:?}");
    assert_eq!(checked.stderr, "");
}

#[test]
fn who_does_not_listen_yet_is_starting() {
    require!(namespaces);
    // Bound, so that nobody else is given the port.
    let (_socket, address) = bound();
    let url = format!("http://{address}/");
    over(&["sleep", "600"], &url).check(&[]).expect("starting").says("nothing listens").says("fix: ");
}

#[test]
fn an_init_without_a_command_is_starting() {
    require!(namespaces, python3);
    // As `init` is named while it prepares volumes.
    let line = "open('/proc/self/comm', 'w').write('init'); import time; time.sleep(600)";
    let inside = PidNamespace::of(&[], &["python3", "-c", line]);
    eventually("its name", || (inside.name() == "init").then_some(()));
    inside.check(&[]).expect("starting").says("COMMAND is not running");
}

#[test]
fn silence_of_an_idle_command_is_hung() {
    require!(namespaces);
    let server = Server::silent();
    let checked = over(&["sleep", "600"], &server.url()).check(&[]);
    checked.expect("hung").says("no answer").says(" in time, ").says("restart the container");
    // Not before its time is over: what comes late and in time is an answer.
    let late = Server::new(|connection| {
        std::thread::sleep(Duration::from_millis(1500));
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n");
    });
    let environment = [("TAKUMI_HEALTH_URL", late.url()), ("TAKUMI_HEALTH_TIMEOUT", "60s".to_owned())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    PidNamespace::init(&environment, &["sleep", "600"]).check(&[]).expect("healthy").says("answers 200");
}

#[test]
fn silence_of_a_command_that_works_is_busy() {
    require!(namespaces, python3);
    let server = Server::silent();
    let reads =
        "f = open('/dev/zero', 'rb', 0)\nimport select\nwhile True:\n f.read(1); select.select([], [], [], 0.1)";
    // A parent sleeps in state D while its vfork child lives (clone, CLONE_VFORK | SIGCHLD, without CLONE_VM).
    let waits =
        "import ctypes, time\nif ctypes.CDLL(None).syscall(56, 0x4000 | 17, 0, 0, 0, 0) == 0:\n time.sleep(600)";
    for (command, why) in [
        (&["sh", "-c", "while :; do :; done"][..], "ms of processor"),
        (&["sh", "-c", "sh -c 'while :; do :; done' & wait"], "ms of processor"),
        (&["python3", "-c", reads], "reading or writing"),
        (&["python3", "-c", waits], "waiting in the kernel"),
    ] {
        let inside = over(command, &server.url());
        if why.starts_with("waiting") {
            let stat = format!("/proc/{}/stat", inside.command());
            eventually("state D", || std::fs::read_to_string(&stat).unwrap().contains(") D ").then_some(()));
        }
        inside.check(&[]).expect("busy").says(why);
    }
}

/// A socket with an address of this machine's loopback, at which nobody listens yet.
fn bound() -> (OwnedFd, SocketAddr) {
    // SAFETY: plain socket calls on a descriptor of ours, with an address that outlives them.
    unsafe {
        let socket = OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0));
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as u16;
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let mut length = size_of::<libc::sockaddr_in>() as u32;
        assert_eq!(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length), 0);
        assert_eq!(libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &mut length), 0);
        (socket, SocketAddr::from(([127, 0, 0, 1], u16::from_be(address.sin_port))))
    }
}

#[test]
fn a_full_queue_of_connections_is_silence() {
    require!(namespaces);
    // A server that accepts nothing: its queue is filled, and the kernel answers no further connection.
    let (socket, address) = bound();
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::listen(socket.as_raw_fd(), 0) }, 0);
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
        held.push(stream);
        assert!(held.len() < 64);
    }
    let url = format!("http://{address}/");
    over(&["sleep", "600"], &url).check(&[]).expect("hung").says("no answer");
    over(&["sh", "-c", "while :; do :; done"], &url).check(&[]).expect("busy");
}

#[test]
fn a_stopped_command_is_hung_at_once() {
    require!(namespaces);
    let server = Server::good();
    let inside = over(&["sleep", "600"], &server.url());
    let command = inside.command();
    inside.check(&[]).expect("healthy");
    inside.signal(command, libc::SIGSTOP);
    let stat = format!("/proc/{command}/stat");
    eventually("state T", || std::fs::read_to_string(&stat).unwrap().contains(") T ").then_some(()));
    inside.check(&[]).expect("hung").says("is stopped").says("kill -CONT");
    inside.signal(command, libc::SIGCONT);
    inside.check(&[]).expect("healthy");
}

#[test]
fn a_command_that_has_ended_is_dead_whoever_answers() {
    require!(namespaces);
    let server = Server::good();
    let inside = over(&["sleep", "600"], &server.url());
    let command = inside.command();
    // A supervisor that cannot reap: COMMAND stays a zombie.
    inside.signal(inside.first, libc::SIGSTOP);
    inside.signal(command, libc::SIGKILL);
    let stat = format!("/proc/{command}/stat");
    eventually("a zombie", || std::fs::read_to_string(&stat).unwrap().contains(") Z ").then_some(()));
    inside.check(&[]).expect("dead").says("COMMAND, process ").says("has ended");
}

#[test]
fn a_place_without_init_is_dead() {
    require!(namespaces);
    let inside = PidNamespace::of(&[], &["sleep", "600"]);
    inside.check(&[]).expect("dead").says("no init process in this container");
}

#[test]
fn an_answer_that_is_no_success_is_hung_with_its_code() {
    require!(namespaces);
    let server = Server::new(|connection| {
        connection.send(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
    });
    over(&["sleep", "600"], &server.url()).check(&[]).expect("hung").says("answers 503");
}

#[test]
fn a_url_that_leads_nowhere_says_so() {
    require!(namespaces);
    for (url, words) in [("http://comfy.invalid:8188/", "is not in /etc/hosts"), ("http://192.0.2.1:1/", "")] {
        let checked = over(&["sleep", "600"], url).check(&[]);
        assert_eq!(checked.code, Some(1), "{checked:?}");
        checked.says(words);
    }
}

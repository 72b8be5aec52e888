//! Every state, with its exit code.

use crate::engine::eventually;
use crate::inside::{Inside, has, is_possible};
use crate::server::Server;
use std::net::TcpListener;

fn with_url(url: &str) -> Vec<(&str, &str)> {
    vec![("TAKUMI_HEALTH_URL", url), ("TAKUMI_HEALTH_TIMEOUT", "2s")]
}

/// `init` over COMMAND, to be asked at `url` within two seconds.
fn over(command: &[&str], url: &str) -> Inside {
    Inside::init(&with_url(url), command)
}

#[test]
fn an_answer_is_healthy_as_root_and_as_an_ordinary_user() {
    if !is_possible() {
        return;
    }
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
    if !is_possible() {
        return;
    }
    let inside = Inside::init(&[], &["sleep", "600"]);
    let checked = inside.check(&[]);
    checked.expect("healthy");
    assert_eq!(checked.stdout.lines().count(), 1, "{checked:?}");
    assert_eq!(checked.stderr, "");
}

#[test]
fn who_does_not_listen_yet_is_starting() {
    if !is_possible() {
        return;
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    over(&["sleep", "600"], &url).check(&[]).expect("starting").says("nothing listens").says("fix: ");
}

#[test]
fn an_init_without_a_command_is_starting() {
    if !is_possible() || !has("python3") {
        return;
    }
    // As `init` is named while it prepares volumes.
    let line = "open('/proc/self/comm', 'w').write('init'); import time; time.sleep(600)";
    let inside = Inside::of(&[], &["python3", "-c", line]);
    eventually("its name", || (inside.name() == "init").then_some(()));
    inside.check(&[]).expect("starting").says("COMMAND does not run");
}

#[test]
fn silence_of_an_idle_command_is_hung() {
    if !is_possible() {
        return;
    }
    let server = Server::silent();
    let checked = over(&["sleep", "600"], &server.url()).check(&[]);
    checked.expect("hung").says("no answer").says("restart the container");
    assert!((1.8..2.3).contains(&checked.took.as_secs_f64()), "within the time, and not before: {checked:?}");
}

#[test]
fn silence_of_a_command_that_works_is_busy() {
    if !is_possible() || !has("python3") {
        return;
    }
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

#[test]
fn a_full_queue_of_connections_is_silence() {
    if !is_possible() {
        return;
    }
    // A server that accepts nothing: its queue is filled, and the kernel answers no further connection.
    // SAFETY: plain socket calls on a descriptor of ours.
    let (socket, port) = unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as u16;
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let mut length = size_of::<libc::sockaddr_in>() as u32;
        assert_eq!(libc::bind(socket, (&raw const address).cast(), length), 0);
        assert_eq!(libc::listen(socket, 0), 0);
        assert_eq!(libc::getsockname(socket, (&raw mut address).cast(), &mut length), 0);
        (socket, u16::from_be(address.sin_port))
    };
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut held = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(300)) {
        held.push(stream);
        assert!(held.len() < 64);
    }
    let url = format!("http://{address}/");
    over(&["sleep", "600"], &url).check(&[]).expect("hung").says("no answer");
    over(&["sh", "-c", "while :; do :; done"], &url).check(&[]).expect("busy");
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(socket) };
}

#[test]
fn a_stopped_command_is_hung_at_once() {
    if !is_possible() {
        return;
    }
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
    if !is_possible() {
        return;
    }
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
    if !is_possible() {
        return;
    }
    let inside = Inside::of(&[], &["sleep", "600"]);
    inside.check(&[]).expect("dead").says("no process here is init");
}

#[test]
fn an_answer_that_is_no_success_is_hung_with_its_code() {
    if !is_possible() {
        return;
    }
    let server = Server::new(|connection| {
        connection.send(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
    });
    over(&["sleep", "600"], &server.url()).check(&[]).expect("hung").says("answers 503");
}

#[test]
fn a_url_that_leads_nowhere_says_so() {
    if !is_possible() {
        return;
    }
    for (url, words) in [("http://comfy.invalid:8188/", "no address"), ("http://192.0.2.1:1/", "")] {
        let checked = over(&["sleep", "600"], url).check(&[]);
        assert_eq!(checked.code, Some(1), "{checked:?}");
        checked.says(words);
    }
}

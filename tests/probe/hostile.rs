//! A hostile server costs at most the time that a check has, and 64 KiB.

use crate::inside::{Checked, PidNamespace, run};
use crate::server::{Connection, Server};
use std::time::Duration;
use takumi_test::require;

/// What a check may use beyond one of a good server, in bytes.
const MEMORY: u64 = 64 << 10;
/// More than the kernel takes for a socket that nobody reads.
const TAKEN: u64 = 16 << 20;

/// A check that may lay out `limit` bytes of address space, which counts what is asked for, touched or not.
fn checked(inside: &PidNamespace, server: &Server, limit: u64) -> Checked {
    let (init, limit) = (inside.path(), format!("--as={limit}"));
    let words = ["prlimit", &limit, &init, "--check"];
    let environment = [("TAKUMI_HEALTH_URL", server.url()), ("TAKUMI_HEALTH_TIMEOUT", "5s".to_owned())];
    run(inside.enter(&words).envs(environment))
}

/// The least that a check of a good server needs, to a page.
fn least(inside: &PidNamespace) -> u64 {
    let good = Server::good();
    let (mut too_small, mut enough) = (0, 64 << 20);
    assert_eq!(checked(inside, &good, enough).code, Some(0));
    while enough - too_small > 4096 {
        let middle = ((too_small + enough) / 2) & !4095;
        match checked(inside, &good, middle).code {
            Some(0) => enough = middle,
            _ => too_small = middle,
        }
    }
    enough
}

/// A name, what the server does, and what the check says of it.
type Case = (&'static str, fn(&mut Connection), &'static str);

#[test]
fn every_hostile_server_is_hung_in_time_and_in_memory() {
    require!(namespaces, prlimit);
    // Without a URL of its own: that of each check counts then.
    let inside = PidNamespace::init_after("mount -o remount,ro /run", &[], &["sleep", "600"]);
    let good = Server::good();
    checked(&inside, &good, 64 << 20).expect("healthy").says("only from /proc");
    let least = least(&inside);

    let cases: [Case; 13] = [
        ("closes at once", |_| {}, "closed the connection without an answer"),
        (
            "half a head",
            |to| {
                to.send(b"HTTP/1.1 200 OK\r\nServer: x\r\n");
            },
            "in the middle of the response header",
        ),
        ("no HTTP", |to| to.drip(b"SSH-2.0-OpenSSH_9.2\r\n", Duration::from_secs(9)), "does not speak HTTP"),
        ("zeroes", |to| to.drip(&[0; 65536], Duration::ZERO), "does not speak HTTP"),
        ("newlines", |to| to.drip(&[b'\n'; 65536], Duration::ZERO), "longer than 16 KiB"),
        (
            "an endless status line",
            |to| {
                to.send(b"HTTP/1.1 200 ");
                to.drip(&[b'x'; 65536], Duration::ZERO);
            },
            "longer than 16 KiB",
        ),
        (
            "an endless header",
            |to| {
                to.send(b"HTTP/1.1 200 OK\r\nA: ");
                to.drip(&[b'x'; 65536], Duration::ZERO);
            },
            "longer than 16 KiB",
        ),
        (
            "endless headers",
            |to| {
                to.send(b"HTTP/1.1 200 OK\r\n");
                to.drip(&b"A: b\r\n".repeat(10_000), Duration::ZERO);
            },
            "more than 100 headers",
        ),
        (
            "endless informational heads",
            |to| to.drip(&b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000), Duration::ZERO),
            "longer",
        ),
        (
            "another protocol",
            |to| {
                to.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
            },
            "answers 101",
        ),
        (
            "dripping headers",
            |to| {
                to.send(b"HTTP/1.1 200 OK\r\n");
                to.drip(b"A: b\r\n", Duration::from_millis(100));
            },
            "no answer",
        ),
        (
            "a slow drip",
            |to| {
                for byte in b"HTTP/1.1 200 OK\r\nServer: ".iter().chain(&[b'x'; 1000]) {
                    if !to.send(&[*byte]) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            },
            "no answer",
        ),
        ("silence", Connection::stay, "no answer"),
    ];
    for (name, behaviour, words) in cases {
        let server = Server::new(behaviour);
        let checked = checked(&inside, &server, least + MEMORY);
        checked.expect("hung").says(words);
        assert!(server.sent() < TAKEN, "{name}: {} bytes were taken", server.sent());
        // On a machine that is busy elsewhere the watchdog may come before the answer's deadline does.
        let late = "init: error: --check timed out (see TAKUMI_HEALTH_TIMEOUT)\n";
        assert!(["", late].contains(&checked.stderr.as_str()), "{name}: it had memory enough: {checked:?}");
    }
}

#[test]
fn ten_gigabytes_of_body_are_not_read() {
    require!(namespaces, python3);
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n";
    let of_init = Server::new(|to| {
        to.send(HEAD);
        to.drip(&[b'x'; 65536], Duration::ZERO);
    });
    let inside = PidNamespace::init(&[("TAKUMI_HEALTH_URL", of_init.url().as_str())], &["sleep", "600"]);
    let checked = inside.check(&[]);
    checked.expect("healthy");
    assert!(of_init.sent() < TAKEN, "{} bytes were taken", of_init.sent());

    // The control: who reads the body is seen by both measures. 64 MiB are enough of it.
    let of_control = Server::new(|to| {
        to.send(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
        for _ in 0..1024 {
            to.send(&[b'x'; 65536]);
        }
    });
    let line = format!("import urllib.request; urllib.request.urlopen('{}').read()", of_control.url());
    let read = run(&mut inside.enter(&["python3", "-c", &line]));
    assert_eq!(read.code, Some(0), "{read:?}");
    assert!(read.memory > 64 << 10 && of_control.sent() > 64 << 20 && 64 << 20 > TAKEN, "{read:?}");
}

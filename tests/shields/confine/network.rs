//! Whom COMMAND may call.

use super::tried::{open, tried};
use libc::{AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK, EACCES, ECONNREFUSED, EPERM};
use takumi_test::image::Image;
use takumi_test::require;

#[test]
fn only_the_kinds_of_sockets_that_the_app_needs_can_be_made() {
    require!(demo);
    let image = Image::demo();
    let needed =
        [(AF_INET, 1, 0), (AF_INET6, 1, 6), (AF_INET, 2, 17), (AF_INET6, 2, 0), (AF_UNIX, 1, 0), (AF_UNIX, 5, 0)];
    let needed = [&needed[..], &[(AF_NETLINK, 3, 0)]].concat();
    // MPTCP, SMC, SCTP, raw, packet, VSOCK, the kernel's ciphers, Bluetooth.
    let others = [(AF_INET, 1, 262), (AF_INET6, 1, 262), (AF_INET, 1, 256), (AF_INET, 1, 132), (AF_INET, 3, 255)];
    let others =
        [&others[..], &[(AF_INET6, 3, 58), (AF_PACKET, 3, 0), (AF_VSOCK, 1, 0), (38, 5, 0), (31, 3, 1), (43, 1, 0)]];
    let others = others.concat();
    let words = |triples: &[(i32, i32, i32)]| -> Vec<String> {
        triples.iter().map(|(family, kind, protocol)| format!("{family}/{kind}/{protocol}")).collect()
    };
    let all = [words(&needed), words(&others)].concat();
    let all: Vec<&str> = std::iter::once("sockets").chain(all.iter().map(String::as_str)).collect();
    let (off, auto) = (tried(open(&image, "off"), &all), tried(open(&image, "auto"), &all));
    for socket in words(&needed) {
        assert_eq!((off[&socket], auto[&socket]), (0, 0), "{socket}");
    }
    for socket in words(&others) {
        assert_eq!(auto[&socket], EPERM, "{socket}");
    }
    // The way round Landlock's rules for ports, where this kernel has it: an ordinary user may.
    let has_mptcp = std::path::Path::new("/proc/sys/net/mptcp").exists();
    assert_eq!(off["2/1/262"] == 0, has_mptcp, "control: {off:?}");
}

#[test]
fn no_send_connects() {
    require!(demo);
    let image = Image::demo();
    let (off, auto) = (tried(open(&image, "off"), &["fast"]), tried(open(&image, "auto"), &["fast"]));
    for attempt in ["sendto", "sendmsg", "sendmmsg", "setsockopt"] {
        assert_eq!(auto[attempt], EPERM, "{attempt}");
        assert_ne!(off[attempt], EPERM, "control: {attempt}");
    }
    assert_eq!((off["plain option"], auto["plain option"]), (0, 0));
}

#[test]
fn with_a_proxy_only_its_port_the_servers_and_the_named_ones_are_open() {
    require!(landlock, demo);
    let image = Image::demo();
    let ports = ["8888", "8889", "8188", "7001", "7002", "22", "443"];
    let words = [&["connect"][..], &ports].concat();
    let with_proxy = |confine: &str| {
        let start = open(&image, confine)
            .env("http_proxy", "http://127.0.0.1:8888")
            .env("ALL_PROXY", "http://127.0.0.1:8889")
            .env("TAKUMI_HEALTH_URL", "http://127.0.0.1:8188/prompt")
            .env("TAKUMI_CONNECT", "7001");
        tried(start, &words)
    };
    let (off, auto, strict) = (with_proxy("off"), with_proxy("auto"), with_proxy("strict"));
    for port in ports {
        let expected = if ["8888", "8889", "8188", "7001"].contains(&port) { ECONNREFUSED } else { EACCES };
        for locked in [&auto, &strict] {
            assert_eq!(locked[port], expected, "{port}");
            let six = locked[&format!("{port}/6")];
            // The kernel may refuse to find a way to ::1 first; never may it connect.
            assert!(six == expected || six == libc::EADDRNOTAVAIL, "{port} by IPv6: {six}");
        }
        assert_eq!(off[port], ECONNREFUSED, "control: {port}");
    }
    assert_eq!((auto["udp"], auto["listen"]), (0, 0), "UDP and serving are not limited: docs/shields.md says so");
    let without = tried(open(&image, "auto"), &words);
    assert!(ports.iter().all(|port| without[*port] == ECONNREFUSED), "no proxy, no rule: {without:?}");
}

//! proxy-environment, proxy-reachable and proxy-denies, against tinyproxy and against servers that are none.

use super::net::{HTTPS_PROXY, Net, REQUIRE, reply, request};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use takumi_test::require;

#[test]
fn a_proxy_that_denies_by_default_is_held() {
    require!(network_namespaces, ip, tinyproxy);
    let net = Net::new();
    let _proxy = net.default_deny();
    let report = net.report(&[HTTPS_PROXY, REQUIRE]);
    report.says("proxy-environment", "pass", "HTTPS_PROXY names 10.77.1.1:8888");
    report.says("proxy-reachable", "pass", "10.77.1.1:8888 accepts");
    report.says("proxy-denies", "pass", "refuses forbidden.invalid (403)");
    report.says("default-route", "pass", "");
    report.says("direct-egress", "pass", "");
    assert_eq!(report.ended.code, 0, "{}", report.ended.stdout);
}

/// FilterDefaultDeny without a Filter allows everything.
#[test]
fn an_open_proxy_does_not_deny() {
    require!(network_namespaces, ip, tinyproxy);
    let net = Net::new();
    let _proxy = net.tinyproxy("FilterDefaultDeny Yes");
    let report = net.report(&[HTTPS_PROXY]);
    report.says("proxy-reachable", "pass", "");
    report.says("proxy-denies", "fail", "tried to resolve forbidden.invalid (500)");
    // Nobody requires it.
    assert_eq!(report.ended.code, 0);
    assert_eq!(net.report(&[HTTPS_PROXY, REQUIRE]).ended.code, 1);
}

/// A Filter without FilterDefaultDeny is a list of what is forbidden.
#[test]
fn a_blacklist_does_not_deny_by_default() {
    require!(network_namespaces, ip, tinyproxy);
    let net = Net::new();
    let _proxy = net.tinyproxy(&net.filter());
    net.report(&[HTTPS_PROXY]).says("proxy-denies", "fail", "tried to resolve");
}

#[test]
fn a_login_reaches_the_proxy() {
    require!(network_namespaces, ip, tinyproxy);
    let net = Net::new();
    let _proxy = net.tinyproxy(&format!("{}\nFilterDefaultDeny Yes\nBasicAuth hunter s3cret", net.filter()));
    net.report(&[HTTPS_PROXY]).says("proxy-denies", "unknown", "requires a login (407)");
    let right = net.report(&[("HTTPS_PROXY", "http://hunter:s%33cret@10.77.1.1:8888")]);
    right.says("proxy-denies", "pass", "403");
    let wrong = net.report(&[("HTTPS_PROXY", "http://hunter:wrong@10.77.1.1:8888")]);
    wrong.says("proxy-denies", "unknown", "10.77.1.1:8888");
}

#[test]
fn a_closed_port_is_no_proxy() {
    require!(network_namespaces, ip);
    let net = Net::new();
    let report = net.report(&[HTTPS_PROXY]);
    report.says("proxy-reachable", "fail", "Connection refused");
    report.says("proxy-denies", "unknown", "the proxy was not reached");
}

#[test]
fn an_address_without_a_route_is_no_proxy() {
    require!(network_namespaces, ip);
    let net = Net::new();
    let report = net.report(&[("HTTPS_PROXY", "http://10.99.0.1:8888")]);
    report.says("proxy-reachable", "fail", "Network is unreachable");
    report.says("proxy-denies", "unknown", "the proxy was not reached");
}

/// Nobody answers: neither the proxy nor, both ways out of it being open to swallow, anybody past it.
#[test]
fn silence_everywhere_is_waited_for_and_said() {
    require!(network_namespaces, ip, nft);
    let net = Net::with_a_way_out();
    net.router.chain(
        "input",
        "policy drop; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n tcp dport 8888 counter drop",
    );
    net.router.forwarding("policy drop;");
    let report = net.report(&[HTTPS_PROXY, REQUIRE]);
    report.says("proxy-reachable", "fail", "did not answer within 1500 ms");
    report.says("proxy-denies", "unknown", "the proxy was not reached");
    report.says("default-route", "pass", "dropped");
    report.says("direct-egress", "pass", "filtered");
    // A kernel asks a second time after a second.
    let rules = net.router.shell("nft list chain inet test input");
    let asked = rules.split_once("counter packets ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(asked >= Some(2), "it gave up early: {rules}");
}

#[test]
fn a_proxys_name_is_looked_up_in_etc_hosts_alone() {
    require!(network_namespaces, ip, tinyproxy);
    let net = Net::new();
    let _proxy = net.default_deny();
    let named = [("HTTPS_PROXY", "http://Proxy:8888")];
    let unknown = net.report(&named);
    unknown.says("proxy-environment", "pass", "names proxy:8888");
    unknown.says("proxy-reachable", "fail", "proxy is neither an address nor in /etc/hosts");
    unknown.says("proxy-denies", "unknown", "the proxy was not reached");
    std::fs::write(net.folder.join("hosts"), "127.0.0.1 localhost\n10.77.1.1 egress proxy\n").unwrap();
    let known = net.report(&named);
    known.says("proxy-reachable", "pass", "proxy:8888");
    known.says("proxy-denies", "pass", "403");
}

#[test]
fn every_answer_has_its_meaning() {
    let answers: [(&'static [u8], &str, &str); 10] = [
        (b"HTTP/1.1 200 Connection established\r\n\r\n", "fail", "lets everything through: 200"),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", "fail", "tried to resolve forbidden.invalid (502)"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "fail", "(503)"),
        (b"HTTP/1.0 501 Unsupported method ('CONNECT')\r\n\r\n", "unknown", "is not a proxy: 501"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "unknown", "requires a login"),
        (b"HTTP/1.1 405 Not Allowed\r\n\r\n", "unknown", "answers 405"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "pass", "403"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "unknown", "does not speak HTTP"),
        (b"\x16\x03\x01\x00\xff\xfe 403 \x1b[2J", "unknown", "does not speak HTTP"),
        (b"", "unknown", "closed the connection"),
    ];
    require!(network_namespaces, ip);
    let net = Net::new();
    for (bytes, status, words) in answers {
        net.serve(reply(bytes));
        let report = net.report(&[HTTPS_PROXY]);
        report.says("proxy-reachable", "pass", "");
        report.says("proxy-denies", status, words);
        assert!(!report.ended.stdout.contains('\x1b'));
    }
}

#[test]
fn an_answer_that_comes_late_is_waited_for() {
    require!(network_namespaces, ip);
    let net = Net::new();
    net.serve(|mut stream: TcpStream| {
        request(&mut stream);
        std::thread::sleep(Duration::from_millis(700));
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    });
    net.report(&[HTTPS_PROXY]).says("proxy-denies", "pass", "403");
}

/// Each of these servers goes on until the other end is closed.
#[test]
fn a_server_that_takes_its_time_takes_no_more_than_ours() {
    require!(network_namespaces, ip);
    let drip = |mut stream: TcpStream| {
        for byte in b"HTTP/1.1 403 Forbidden\r\n".iter().cycle() {
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(150));
        }
    };
    let silent = |mut stream: TcpStream| {
        let _ = stream.read_to_end(&mut Vec::new());
    };
    let flood = |mut stream: TcpStream| while stream.write_all(&[b'x'; 65_536]).is_ok() {};
    let late = "no answer for forbidden.invalid within 1500 ms";
    takes_no_more(drip, late);
    takes_no_more(silent, late);
    takes_no_more(flood, "does not speak HTTP");
}

fn takes_no_more(server: impl FnOnce(TcpStream) + Send + 'static, words: &str) {
    let net = Net::new();
    let served = net.serve(server);
    let report = net.report(&[HTTPS_PROXY]);
    report.says("proxy-reachable", "pass", "");
    report.says("proxy-denies", "unknown", words);
    served.join().unwrap();
}

#[test]
fn a_check_that_is_skipped_asks_the_proxy_nothing() {
    require!(network_namespaces, ip);
    let net = Net::new();
    let hear = |mut stream: TcpStream| {
        let heard = request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n");
        heard
    };
    let heard = net.serve(hear);
    net.report(&[HTTPS_PROXY, ("TAKUMI_SKIP", "proxy-denies")]).says("proxy-reachable", "pass", "");
    assert_eq!(heard.join().unwrap(), "");
    let heard = net.serve(hear);
    net.report(&[HTTPS_PROXY, ("TAKUMI_SKIP", "proxy-reachable")]).says("proxy-denies", "pass", "");
    let heard = heard.join().unwrap();
    assert!(heard.starts_with("CONNECT forbidden.invalid:443 HTTP/1.1\r\n"), "{heard}");
}

#[test]
fn variables_that_cannot_be_followed_are_named() {
    require!(network_namespaces, ip, tinyproxy);
    let net = Net::new();
    let _proxy = net.default_deny();
    let lower = ("https_proxy", "http://10.77.1.1:8888/");
    let held = net.report(&[HTTPS_PROXY, lower, ("http_proxy", "http://10.77.1.1:3128")]);
    held.says("proxy-environment", "pass", "https_proxy names 10.77.1.1:8888; http_proxy names another");
    held.says("proxy-denies", "pass", "");
    let wrong = [
        (("https_proxy", "http://10.77.1.1:3128"), "fail", "https_proxy and HTTPS_PROXY contradict each other"),
        (("https_proxy", "10.77.1.1:8888"), "fail", "https_proxy is not of the form http://HOST:PORT"),
        (("https_proxy", "socks5h://10.77.1.1:1080"), "unknown", "socks5h:// proxy, which cannot be checked"),
        (("NO_PROXY", "*"), "fail", "NO_PROXY contains *"),
    ];
    for (variable, status, words) in wrong {
        net.report(&[HTTPS_PROXY, variable]).says("proxy-environment", status, words);
    }
    let socks = net.report(&[("ALL_PROXY", "socks5://10.77.1.1:8888"), REQUIRE]);
    socks.says("proxy-reachable", "unknown", "there is no proxy to ask");
    socks.says("proxy-denies", "unknown", "there is no proxy to ask");
    assert_eq!(socks.ended.code, 1);
}

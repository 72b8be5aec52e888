use super::*;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

/// Docker's bridge, Linux 6.1.
const BRIDGE: &[u8] = b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
    eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
    eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";

fn interfaces(routes: &[Route]) -> Vec<&str> {
    routes.iter().map(|route| route.interface.as_str()).collect()
}

#[test]
fn a_default_route_has_no_destination() {
    let gateway = Some(IpAddr::from([172, 17, 0, 1]));
    assert_eq!(ipv4_routes(BRIDGE), [Route { ipv6: false, interface: "eth0".into(), gateway }]);
    let internal = b"Iface\tDestination\n\neth0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
        *\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n\
        lo\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth1\t00000000\t010011AC\t0002\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n\
        eth0\t00000000";
    assert_eq!(ipv4_routes(internal), []);
    let halves = b"tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n\
        tun0\t00000080\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0";
    assert_eq!(interfaces(&ipv4_routes(halves)), ["tun0", "tun0"]);
}

#[test]
fn ipv6_has_a_table_of_its_own() {
    let zero = "0".repeat(32);
    let hop = "fe800000000000000000000000000001";
    let line = |to: &str, length: &str, hop: &str, flags: &str, interface: &str| {
        format!("{to} {length} {zero} 00 {hop} 00000400 00000001 00000000 {flags} {interface:>8}\n")
    };
    let usual = [
        line("fe800000000000000000000000000000", "40", &zero, "00000001", "eth0"),
        line(&zero, "00", &zero, "00200200", "lo"),
        line("ff000000000000000000000000000000", "08", &zero, "00000001", "eth0"),
        line("fd000000000000000000000000000000", "07", &zero, "00000001", "eth0"),
        line(&zero, "00", &zero, "00000200", "eth0"),
    ];
    assert_eq!(ipv6_routes(usual.concat().as_bytes()), []);
    let route = line(&zero, "00", hop, "00000003", "eth0");
    let gateway = Some("fe80::1".parse().unwrap());
    assert_eq!(ipv6_routes(route.as_bytes()), [Route { ipv6: true, interface: "eth0".into(), gateway }]);
    let whole = line("20000000000000000000000000000000", "03", hop, "00000003", "eth1");
    assert_eq!(interfaces(&ipv6_routes(whole.as_bytes())), ["eth1"]);
}

#[test]
fn only_a_status_line_has_a_status() {
    for (line, code) in [("HTTP/1.0 403 Filtered\r\n", 403), ("HTTP/1.1 200\r\n", 200), ("HTTP/1.1 502 x", 502)] {
        assert_eq!(parse_status(line.as_bytes()), Some(code), "{line}");
    }
    for line in [
        "", "HTTP/1.1", "HTTP/1.1 40", "HTTP/1.1 403", "HTTP/1.1 4031 x", "HTTP/2 403 x", "SSH-2.0-x", "HTTP/1.1  403 ",
    ] {
        assert_eq!(parse_status(line.as_bytes()), None, "{line}");
    }
    assert_eq!((parse_status(b"HTTP/1.1 099 x"), parse_status(b"HTTP/1.1 +40 x")), (None, None));
}

/// What a server hears, and what is taken from its answer.
fn talk(login: &str, reply: &'static [u8]) -> (String, ProxyConnection) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let variable = format!("http_proxy=http://{login}localhost:{}\0", listener.local_addr().unwrap().port());
    let variable = std::ffi::CStr::from_bytes_with_nul(variable.as_bytes()).unwrap();
    let proxy = ProxyVariables::from_environment(&[variable]).proxy.unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 512];
        while !heard.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut buffer).unwrap();
            heard.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(reply).unwrap();
        String::from_utf8(heard).unwrap()
    });
    let reached = connect_to_proxy(&proxy, true, Instant::now().after(Duration::from_secs(5)));
    (server.join().unwrap(), reached)
}

#[test]
fn the_proxy_is_asked_for_a_name_that_never_exists() {
    let (heard, reached) = talk("", b"HTTP/1.0 403 Filtered\r\n");
    assert_eq!(heard, "CONNECT forbidden.invalid:443 HTTP/1.1\r\nHost: forbidden.invalid:443\r\n\r\n");
    assert_eq!(reached, ProxyConnection::Connected(Some(ConnectReply::Status(403))));
    let (heard, reached) = talk("u:p@", b"");
    assert!(heard.ends_with("\r\nProxy-Authorization: Basic dTpw\r\n\r\n"), "{heard}");
    assert_eq!(reached, ProxyConnection::Connected(Some(ConnectReply::Closed)));
    assert_eq!(talk("", b"SSH-2.0-OpenSSH_9.2\r\n").1, ProxyConnection::Connected(Some(ConnectReply::NotHttp)));
    assert_eq!(talk("", &[b'x'; 4096]).1, ProxyConnection::Connected(Some(ConnectReply::NotHttp)));
}

#[test]
fn an_old_kernels_answer_is_understood_by_its_pair() {
    let unreachable = DirectOutcome::Failed(Errno(libc::EHOSTUNREACH));
    let of = |ends: [DirectOutcome; 2]| {
        let mut attempts = ends.map(|end| DirectAttempt { to: TEST_NET_1, outcome: end });
        infer_left_network(&mut attempts);
        attempts[1].outcome
    };
    assert_eq!(of([DirectOutcome::TimedOut, unreachable]), DirectOutcome::LeftNetwork(None));
    // Refused to both: somebody on the way refuses all.
    assert_eq!(of([unreachable, unreachable]), unreachable);
    assert_eq!(of([DirectOutcome::TimedOut, DirectOutcome::TimedOut]), DirectOutcome::TimedOut);
    let mut others = [TEST_NET_1, DOCUMENTATION_V6].map(|to| DirectAttempt { to, outcome: unreachable });
    others[0].outcome = DirectOutcome::TimedOut;
    infer_left_network(&mut others);
    assert_eq!(others[1].outcome, unreachable);
}

#[test]
fn without_a_proxy_nothing_is_looked_at() {
    let settings = crate::settings::Settings::default();
    let options =
        ObserveOptions { settings: &settings, environment: &[c"NO_PROXY=x"], user: None, namespace: None, only: None };
    assert_eq!(Network::observe(&options), Network::default());
}

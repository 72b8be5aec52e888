use super::*;
use crate::machine::network::Route;
use crate::machine::proxy::ProxyVariables;
use crate::posture::engines::hardened;
use crate::posture::finding::CheckStatus::{self, Fail, Pass, Skipped, Unknown};
use crate::settings::checks::Shield;
use std::ffi::CStr;

fn evaluate(check: Check, egress: CheckMode, network: Option<&Network>) -> Finding {
    let machine = Machine { network: network.cloned(), ..hardened() };
    super::super::evaluate_check(check, &Settings { egress, ..Settings::default() }, &machine).unwrap()
}

fn status_and_detail(check: Check, network: &Network) -> (CheckStatus, String) {
    let finding = evaluate(check, CheckMode::Require, Some(network));
    assert_eq!(finding.fix.is_some(), !finding.passed(), "{finding:?}");
    assert!(finding.detail.len() <= 110 && finding.fix.iter().all(|fix| fix.len() <= 130), "{finding:?}");
    (finding.status, finding.detail)
}

fn network(environment: &[&CStr]) -> Network {
    Network { proxy_variables: ProxyVariables::from_environment(environment), ..Network::default() }
}

fn attempts(ends: &[DirectOutcome]) -> Vec<DirectAttempt> {
    ends.iter().map(|&end| DirectAttempt { to: [192, 0, 2, 1].into(), outcome: end }).collect()
}

#[test]
fn without_a_proxy_nothing_applies_unless_it_is_required() {
    for &check in Shield::Network.checks() {
        let off = evaluate(check, CheckMode::Off, None);
        assert_eq!((off.status, off.detail.as_str()), (Skipped, "TAKUMI_EGRESS=off"));
        let auto = evaluate(check, CheckMode::Auto, Some(&Network::default()));
        assert_eq!(auto.status, Skipped);
        assert!(auto.detail.contains("no proxy is set"), "{auto:?}");
    }
    let nothing = network(&[]);
    assert_eq!(status_and_detail(Check::ProxyEnvironment, &nothing).0, Fail);
    assert_eq!(status_and_detail(Check::ProxyReachable, &nothing).0, Unknown);
    assert_eq!(status_and_detail(Check::ProxyDenies, &nothing).0, Unknown);
}

#[test]
fn a_default_route_is_no_harm_where_nothing_gets_out() {
    let gateway = Some([10, 0, 0, 1].into());
    let route = Route { ipv6: false, interface: "eth0".into(), gateway };
    let of = |routes, ends: &[DirectOutcome]| {
        let network = Network { routes: Some(routes), direct: attempts(ends), ..Network::default() };
        status_and_detail(Check::DefaultRoute, &network)
    };
    assert_eq!(of(Ok(vec![]), &[]).0, Pass);
    assert_eq!(of(Ok(vec![route.clone()]), &[DirectOutcome::TimedOut, DirectOutcome::TimedOut]).0, Pass);
    assert_eq!(of(Ok(vec![route.clone()]), &[DirectOutcome::Blocked(Errno(libc::EHOSTUNREACH))]).0, Pass);
    for ends in [
        &[][..],
        &[DirectOutcome::TimedOut, DirectOutcome::LeftNetwork(None)],
        &[DirectOutcome::Connected],
        &[DirectOutcome::NotSent(Errno(libc::EMFILE))],
    ] {
        let (status, detail) = of(Ok(vec![route.clone()]), ends);
        assert_eq!(status, Fail, "{ends:?}");
        assert!(detail.contains("eth0"), "{detail}");
    }
    assert_eq!(of(Err(Errno(libc::EACCES)), &[]).0, Unknown);
}

#[test]
fn one_open_way_is_enough() {
    let of = |ends: &[DirectOutcome]| {
        status_and_detail(Check::DirectEgress, &Network { direct: attempts(ends), ..Network::default() })
    };
    for errno in [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EPERM] {
        let (status, detail) = of(&[DirectOutcome::NotSent(Errno(errno))]);
        assert_eq!((status, detail.contains("filtered")), (Pass, false), "{errno}");
    }
    for ends in [
        &[DirectOutcome::TimedOut, DirectOutcome::TimedOut][..],
        &[DirectOutcome::Blocked(Errno(libc::ECONNREFUSED)), DirectOutcome::TimedOut],
    ] {
        let (status, detail) = of(ends);
        assert_eq!((status, detail.contains("filtered")), (Pass, true), "{detail}");
    }
    let by = Some([198, 51, 100, 7].into());
    let open = [
        (DirectOutcome::Connected, "was reached"),
        (DirectOutcome::Failed(Errno(libc::ECONNREFUSED)), "refused the connection"),
        (DirectOutcome::LeftNetwork(by), "198.51.100.7"),
        (DirectOutcome::LeftNetwork(None), "a router"),
    ];
    for (end, word) in open {
        let (status, detail) = of(&[DirectOutcome::TimedOut, DirectOutcome::NotSent(Errno(libc::ENETUNREACH)), end]);
        assert_eq!((status, detail.contains(word)), (Fail, true), "{detail}");
    }
    let (status, detail) = of(&[DirectOutcome::NotSent(Errno(libc::EMFILE))]);
    assert_eq!((status, detail.contains("Too many open files")), (Unknown, true), "{detail}");
}

#[test]
fn the_proxys_answer_decides() {
    let of = |reached| {
        let network = Network { proxy: Some(reached), ..network(&[c"HTTPS_PROXY=http://proxy:8888"]) };
        (status_and_detail(Check::ProxyReachable, &network), status_and_detail(Check::ProxyDenies, &network))
    };
    let answers = [
        (ConnectReply::Status(403), Pass),
        (ConnectReply::Status(200), Fail),
        (ConnectReply::Status(204), Fail),
        (ConnectReply::Status(500), Fail),
        (ConnectReply::Status(502), Fail),
        (ConnectReply::Status(503), Fail),
        (ConnectReply::Status(504), Fail),
        (ConnectReply::Status(501), Unknown),
        (ConnectReply::Status(407), Unknown),
        (ConnectReply::Status(302), Unknown),
        (ConnectReply::Status(404), Unknown),
        (ConnectReply::Status(100), Unknown),
        (ConnectReply::Closed, Unknown),
        (ConnectReply::NotHttp, Unknown),
        (ConnectReply::TimedOut, Unknown),
    ];
    for (answer, expected) in answers {
        let (reachable, denies) = of(ProxyConnection::Connected(Some(answer)));
        assert_eq!((reachable.0, denies.0), (Pass, expected), "{answer:?}");
    }
    for reached in
        [ProxyConnection::Unresolved, ProxyConnection::TimedOut, ProxyConnection::Failed(Errno(libc::ECONNREFUSED))]
    {
        let (reachable, denies) = of(reached);
        assert_eq!((reachable.0, denies), (Fail, (Unknown, "the proxy was not reached".to_string())));
    }
    let (reachable, denies) = of(ProxyConnection::Connected(None));
    assert_eq!((reachable.0, denies.0), (Pass, Skipped));
}

#[test]
fn the_variables_are_judged_by_what_they_say() {
    let of = |environment: &[&CStr]| status_and_detail(Check::ProxyEnvironment, &network(environment));
    let held = of(&[c"HTTPS_PROXY=http://u:hunter2@proxy:8888", c"http_proxy=http://other"]);
    assert_eq!(held.0, Pass);
    assert_eq!(held.1, "HTTPS_PROXY names proxy:8888; http_proxy names another, which is not checked");
    let wrong: [(&[&CStr], CheckStatus, &str); 5] = [
        (&[c"HTTPS_PROXY=hunter2:8888"], Fail, "HTTPS_PROXY is not of the form http://HOST:PORT"),
        (&[c"http_proxy=http://a", c"HTTP_PROXY=http://b"], Fail, "http_proxy and HTTP_PROXY contradict"),
        (&[c"http_proxy=http://a", c"NO_PROXY=*"], Fail, "NO_PROXY contains *"),
        (&[c"ALL_PROXY=socks5://u:hunter2@a"], Unknown, "socks5:// proxy, which cannot be checked"),
        (&[c"ALL_PROXY=socks5://a", c"no_proxy=*"], Fail, "cannot be checked; no_proxy contains *"),
    ];
    for (environment, status, words) in wrong {
        let judged = of(environment);
        assert_eq!(judged.0, status, "{judged:?}");
        assert!(judged.1.contains(words) && !judged.1.contains("hunter2"), "{judged:?}");
    }
    // What cannot be asked is not said to be well.
    let socks = network(&[c"ALL_PROXY=socks5://a"]);
    assert_eq!(
        (status_and_detail(Check::ProxyReachable, &socks).0, status_and_detail(Check::ProxyDenies, &socks).0),
        (Unknown, Unknown)
    );
}

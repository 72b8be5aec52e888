//! default-route and direct-egress.

use super::net::{HTTPS_PROXY, NOBODY, Net, REQUIRE};
use std::io::ErrorKind;
use takumi_test::require;

#[test]
fn without_a_default_route_nothing_gets_out() {
    require!(network_namespaces, ip);
    let net = Net::new();
    let report = net.report(&[HTTPS_PROXY]);
    report.says("default-route", "pass", "no route");
    report.says("direct-egress", "pass", "the kernel has no route");
}

/// As Docker before 25 makes internal networks: a default route to the bridge, and nothing passes the host.
#[test]
fn a_default_route_whose_packets_are_dropped_is_held_and_said() {
    require!(network_namespaces, ip, nft);
    let net = Net::with_a_way_out();
    net.router.forwarding("policy drop;");
    let report = net.report(&[HTTPS_PROXY]);
    report.says("default-route", "pass", "eth0 exists, but packets sent there are dropped");
    report.says("direct-egress", "pass", "filtered: nothing past the proxy answered within 300 ms");
}

/// The control of the one before: the same routes and the same silence of 192.0.2.1, as a container on an ordinary network of an
/// engine has them, and nothing in the way.
#[test]
fn a_silent_internet_is_not_taken_for_a_filter() {
    require!(network_namespaces, ip, nft);
    let net = Net::with_a_way_out();
    let report = net.report(&[HTTPS_PROXY]);
    report.says("default-route", "fail", "eth0");
    report.says("direct-egress", "fail", "router 10.78.1.1 answered");
}

#[test]
fn a_router_beyond_that_refuses_shows_that_packets_leave() {
    require!(network_namespaces, ip, nft);
    let net = Net::with_a_way_out();
    net.far.shell("ip route add unreachable 192.0.2.0/24");
    let report = net.report(&[HTTPS_PROXY]);
    report.says("direct-egress", "fail", "10.78.1.1");
    report.says("default-route", "fail", "eth0");
}

#[test]
fn a_first_router_that_refuses_is_a_filter() {
    for rule in ["policy drop; reject", "policy drop; reject with icmpx admin-prohibited"] {
        require!(network_namespaces, ip, nft);
        let net = Net::with_a_way_out();
        net.router.forwarding(rule);
        let report = net.report(&[HTTPS_PROXY]);
        report.says("direct-egress", "pass", "filtered: the first router refuses");
        report.says("default-route", "pass", "eth0");
    }
}

#[test]
fn a_rule_in_the_containers_own_namespace_is_a_filter() {
    require!(network_namespaces, ip, nft);
    let net = Net::with_a_way_out();
    net.report(&[HTTPS_PROXY]).says("direct-egress", "fail", "leave");
    net.app.chain("output", "policy drop;");
    let report = net.report(&[HTTPS_PROXY]);
    report.says("direct-egress", "pass", "filtered");
    report.says("default-route", "pass", "eth0");
}

#[test]
fn an_address_that_answers_is_direct_egress() {
    require!(network_namespaces, ip, nft);
    let net = Net::with_a_way_out();
    net.far.address(&format!("{NOBODY}/32"));
    let refused = net.report(&[HTTPS_PROXY]);
    refused.says("direct-egress", "fail", "192.0.2.1 answered past the proxy (it refused");
    refused.says("default-route", "fail", "eth0");
    let _listener = net.far.listen(&format!("{NOBODY}:443"));
    let accepted = net.report(&[HTTPS_PROXY]);
    accepted.says("direct-egress", "fail", "192.0.2.1 was reached");
    accepted.says("default-route", "fail", "eth0");
}

#[test]
fn ipv6_is_a_way_out_of_its_own() {
    require!(network_namespaces, ip, nft);
    let net = Net::with_a_way_out();
    net.app.shell("ip -4 route del default");
    let report = net.report(&[HTTPS_PROXY]);
    report.says("default-route", "fail", "eth0");
    report.says("direct-egress", "fail", "2001:db8::1 leave past the proxy: router fd78:1::1");
    net.far.address("2001:db8::1/128");
    net.report(&[HTTPS_PROXY]).says("direct-egress", "fail", "2001:db8::1 answered");
    net.router.forwarding("policy drop;");
    let filtered = net.report(&[HTTPS_PROXY]);
    filtered.says("default-route", "pass", "dropped");
    filtered.says("direct-egress", "pass", "filtered");
}

#[test]
fn what_is_not_asked_for_sends_nothing() {
    require!(network_namespaces, ip, nft);
    let net = Net::with_a_way_out();
    net.far.address(&format!("{NOBODY}/32"));
    let far = net.far.listen(&format!("{NOBODY}:443"));
    let proxy = net.router.listen(super::net::PROXY);
    let nobody_came = |listener: &std::net::TcpListener| {
        listener.set_nonblocking(true).unwrap();
        matches!(listener.accept(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    };
    for environment in [&[][..], &[("HTTPS_PROXY", "")], &[HTTPS_PROXY, ("TAKUMI_EGRESS", "off")]] {
        let report = net.report(environment);
        let why = if environment.len() == 2 { "TAKUMI_EGRESS=off" } else { "no proxy is set (TAKUMI_EGRESS=require" };
        for id in ["default-route", "proxy-environment", "proxy-reachable", "proxy-denies", "direct-egress"] {
            assert_eq!(report.says(id, "skipped", why).shield, "network");
        }
        assert!(nobody_came(&far) && nobody_came(&proxy), "{environment:?}");
    }
    let skip = ("TAKUMI_SKIP", "direct-egress,proxy-reachable,proxy-denies");
    let report = net.report(&[HTTPS_PROXY, skip]);
    for id in ["direct-egress", "proxy-reachable", "proxy-denies"] {
        report.says(id, "skipped", "TAKUMI_SKIP");
    }
    // Nothing says that what goes by it is dropped.
    report.says("default-route", "fail", "eth0");
    assert!(nobody_came(&far) && nobody_came(&proxy));
    // The control: a check that is asked for comes here.
    net.report(&[HTTPS_PROXY, ("TAKUMI_SKIP", "proxy-reachable,proxy-denies")]);
    assert!(!nobody_came(&far) && nobody_came(&proxy));
}

/// With TAKUMI_EGRESS=require there need not be a proxy.
#[test]
fn required_egress_is_looked_at_without_a_proxy() {
    require!(network_namespaces, ip, nft);
    let net = Net::with_a_way_out();
    let report = net.report(&[REQUIRE]);
    report.says("default-route", "fail", "eth0");
    report.says("direct-egress", "fail", "192.0.2.1");
    report.says("proxy-environment", "fail", "no proxy variable is set");
    report.says("proxy-reachable", "unknown", "there is no proxy");
    report.says("proxy-denies", "unknown", "there is no proxy");
    assert_eq!(report.ended.code, 1);
}

//! What a start makes of it: refused with all that is missing, or COMMAND with the whole set of variables.

use super::net::{HTTPS_PROXY, Net, REQUIRE};
use takumi_test::require;

const ALL: [&str; 5] = ["default-route", "proxy-environment", "proxy-reachable", "proxy-denies", "direct-egress"];

fn refused(stderr: &str) -> Vec<&'static str> {
    let names = |id: &&str| {
        stderr.lines().any(|line| line.contains("required check failed") && line.contains(&format!(" {id}: ")))
    };
    ALL.into_iter().filter(|id| names(id)).collect()
}

#[test]
fn a_start_that_requires_the_shield_is_refused_without_it() {
    require!(network_namespaces, ip, nft, tinyproxy);
    let net = Net::with_a_way_out();
    let bare = net.init(&[REQUIRE], &["echo", "COMMAND ran"]);
    assert_eq!((bare.code, bare.stdout.as_str()), (125, ""), "{}", bare.stderr);
    assert_eq!(refused(&bare.stderr), ALL);

    // It finds no name server, and soon.
    net.router.chain("output", "udp dport 53 reject");
    let _proxy = net.tinyproxy("FilterDefaultDeny Yes");
    let open = net.init(&[REQUIRE, HTTPS_PROXY], &["echo", "COMMAND ran"]);
    assert_eq!((open.code, open.stdout.as_str()), (125, ""), "{}", open.stderr);
    assert_eq!(refused(&open.stderr), ["default-route", "proxy-denies", "direct-egress"]);
    assert!(open.stderr.contains("FilterDefaultDeny Yes"), "{}", open.stderr);

    // The same surroundings, which nobody requires to be better.
    let allowed = net.init(&[HTTPS_PROXY], &["echo", "COMMAND ran"]);
    assert_eq!((allowed.code, allowed.stdout.as_str()), (0, "COMMAND ran\n"), "{}", allowed.stderr);
}

#[test]
fn a_start_with_the_shield_gives_command_every_variable() {
    require!(network_namespaces, ip, tinyproxy);
    let net = Net::new();
    let _proxy = net.default_deny();
    let started = net.init(&[REQUIRE, HTTPS_PROXY, ("NO_PROXY", "ollama")], &["env"]);
    assert_eq!(started.code, 0, "{}", started.stderr);
    assert_eq!(refused(&started.stderr), [""; 0]);
    let stdout = started.stdout;
    let mut variables: Vec<&str> =
        stdout.lines().filter(|line| line.to_ascii_lowercase().contains("_proxy=")).collect();
    variables.sort_unstable();
    let url = HTTPS_PROXY.1;
    let proxies = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"].map(|name| format!("{name}={url}"));
    let lower = ["all_proxy", "http_proxy", "https_proxy"].map(|name| format!("{name}={url}"));
    let except = |name: &str| format!("{name}=ollama,localhost,127.0.0.1,::1");
    let expected = [&proxies[..], &[except("NO_PROXY")], &lower, &[except("no_proxy")]].concat();
    assert_eq!(variables, expected);

    // The control: told not to care, init leaves the environment as it came.
    let off = net.init(&[("TAKUMI_EGRESS", "off"), HTTPS_PROXY], &["env"]);
    let stdout = off.stdout;
    let variables: Vec<&str> = stdout.lines().filter(|line| line.to_ascii_lowercase().contains("_proxy=")).collect();
    assert_eq!(variables, [format!("HTTPS_PROXY={url}")]);
}

#[test]
fn a_password_in_a_variable_is_shown_nowhere() {
    require!(network_namespaces, ip, tinyproxy);
    let net = Net::new();
    let _proxy = net.tinyproxy(&format!("{}\nFilterDefaultDeny Yes\nBasicAuth hunter s3cret", net.filter()));
    let encoded = "aHVudGVyOnMzY3JldA==";
    let values = [
        "http://hunter:s3cret@10.77.1.1:8888", "http://hunter:s3cret@10.77.1.1:8889",
        "http://hunter:s3cret@nowhere:8888", "http://hunter:s3cret@10.77.1.1:port",
        "http://hunter:s3cret/x@10.77.1.1:8888", "http://s3cret/hunter@10.77.1.1:8888", "hunter:s3cret@10.77.1.1:8888",
        "socks5://hunter:s3cret@10.77.1.1:8888",
    ];
    let mut held = 0;
    for value in values {
        for arguments in [&["--report"][..], &["--report", "--json"], &["true"]] {
            let seen = net.init(&[REQUIRE, ("HTTPS_PROXY", value), ("TAKUMI_LOG", "trace")], arguments);
            let said = seen.text();
            assert!(said.contains("proxy-"), "{said}");
            for secret in ["hunter", "s3cret", encoded] {
                assert!(!said.contains(secret), "{value}: {said}");
            }
            held += i32::from(seen.code == 0);
        }
    }
    // The first one logs in: the password was there to be shown.
    assert_eq!(held, 3);
}

//! Every attempt of `vectors/` at the shipped proxy, and at proxies that lack one part of it.

use super::attempts::{self, Attempt};
use super::outcomes::AttemptResult;
use super::world::{EVIL, Egress, EgressNetworks};
use takumi_test::engine::{Container, ask};
use takumi_test::require;

/// What a vector's words mean here.
enum Expected {
    Allowed,
    Denied,
    Refused,
    Contained,
}

/// What this stack refuses and the list in proxy-bypass.txt does not, or not with a 403; and why.
const STRICTER: [(&str, &str); 4] = [
    ("GET allowed", "port 80 is closed: only TLS leaves"),
    ("Host header != URI", "likewise"),
    ("POST allowed (exfil channel)", "likewise; inside a tunnel it remains"),
    ("ftp scheme", "400: the proxy speaks no ftp"),
];

fn expected(attempt: &Attempt) -> Expected {
    if STRICTER.iter().any(|(name, _)| *name == attempt.name) {
        return Expected::Refused;
    }
    match attempt.expected.as_str() {
        "allowed" => Expected::Allowed,
        "403" => Expected::Denied,
        // The filter lets the name pass, the packet filter refuses the port: 500.
        word if word == "400 or 403" || word == "refused" || word.starts_with("403 (") => Expected::Refused,
        "contained" => Expected::Contained,
        word if word.starts_with("residual: cannot be seen") => Expected::Allowed,
        word => panic!("{}: what is '{word}'?", attempt.name),
    }
}

fn as_expected(attempt: &Attempt, outcome: &AttemptResult) -> bool {
    let refusal = matches!(outcome.status.as_str(), "closed" | "silent") || outcome.status.starts_with(['4', '5']);
    match expected(attempt) {
        Expected::Allowed => {
            let reached = outcome.good == [443] && outcome.answer.ends_with("origin\n");
            outcome.status == "200" && reached && outcome.evil.is_empty()
        }
        Expected::Denied => outcome.status == "403" && outcome.nothing(),
        Expected::Refused => refusal && outcome.nothing(),
        Expected::Contained => outcome.good.iter().all(|port| *port == 443) && outcome.evil.is_empty(),
    }
}

impl EgressNetworks {
    fn attempts(&self) -> Vec<Attempt> {
        attempts::all(self.public.address(EVIL))
    }

    fn attempt_these(&self, proxy: &str, names: &[&str]) -> Vec<AttemptResult> {
        let attempts: Vec<_> = self.attempts().into_iter().filter(|each| names.contains(&each.name.as_str())).collect();
        assert_eq!(attempts.len(), names.len(), "a name is in no vector file");
        self.attempt(proxy, &attempts)
    }
}

#[test]
fn every_attempt_ends_as_the_list_says_and_without_one_part_it_does_not() {
    require!(demo, gateway);
    let world = EgressNetworks::new();
    let attempts = world.attempts();
    let (shipped, address) = world.egress(Egress::Shipped, &[]);
    let outcomes = world.attempt(&address, &attempts);
    assert_eq!(outcomes.len(), attempts.len());
    let wrong: Vec<String> = attempts
        .iter()
        .zip(&outcomes)
        .filter(|(attempt, outcome)| !as_expected(attempt, outcome))
        .map(|(attempt, outcome)| format!("expected '{}': {outcome:?}", attempt.expected))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), attempts.len(), wrong.join("\n"));
    denied_names_are_not_even_asked_for(&world);
    no_header_tells_of_the_proxy(&outcomes);
    the_health_check_and_a_hangup(&world, &shipped, &address);
    drop(shipped);

    without_the_packet_filter_odd_ports_are_reached(&world);
    an_unanchored_list_lets_look_alikes_through(&world);
    default_deny_without_a_list_is_an_open_proxy(&world);
}

/// A name that is looked up can carry data to whoever owns its domain.
fn denied_names_are_not_even_asked_for(world: &EgressNetworks) {
    let (asked, _) = world.names.logs();
    let asked: Vec<&str> = asked.lines().filter_map(|line| line.strip_prefix("asked ")).collect();
    assert!(asked.contains(&"huggingface.co"), "the engine's resolver asks through the packet filter: {asked:?}");
    let allowed = |name: &&str| ["huggingface.co", "github.com"].contains(name) || name.ends_with(".hf.co");
    let others: Vec<_> = asked.iter().filter(|name| !allowed(name)).collect();
    assert!(others.is_empty(), "{others:?}");
}

fn no_header_tells_of_the_proxy(outcomes: &[AttemptResult]) {
    let plain = outcomes.iter().find(|outcome| outcome.name == "GET port 443").unwrap();
    assert!(plain.good_got.starts_with("GET /x HTTP/1."), "{plain:?}");
    assert!(!plain.good_got.to_lowercase().contains("via"), "{plain:?}");
}

/// tinyproxy in the foreground dies of a hangup, which reloads most servers.
fn the_health_check_and_a_hangup(world: &EgressNetworks, shipped: &Container, address: &str) {
    ask(&["kill", "--signal", "HUP", &shipped.name]);
    let after = world.attempt_these(address, &["CONNECT allowed", "CONNECT evil"]);
    assert_eq!((after[0].status.as_str(), after[1].status.as_str()), ("200", "403"), "{after:?}");
    let healthy = || {
        let output = shipped.exec(&["/etc/egress/healthy"]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(healthy(), (Some(0), String::new()));
    assert!(shipped.exec(&["nft", "delete", "table", "inet", "egress"]).status.success());
    assert_eq!(healthy(), (Some(1), "the packet filter has changed since the start\n".to_owned()));
}

fn without_the_packet_filter_odd_ports_are_reached(world: &EgressNetworks) {
    let (_egress, address) = world.egress(Egress::WithoutRules, &[]);
    let names =
        ["GET allowed", "GET odd port (allowed host)", "GET odd port 25", "GET port 8443", "Host header != URI"];
    let ports = [80, 22, 25, 8443, 80];
    for outcome in world.attempt_these(&address, &names) {
        let port = ports[names.iter().position(|name| *name == outcome.name).unwrap()];
        assert_eq!(outcome.good, [port], "{outcome:?}");
        assert!(outcome.evil.is_empty(), "{outcome:?}");
    }
    let header = world.attempt_these(&address, &["Host header != URI"]);
    assert!(header[0].good_got.contains("Host: huggingface.co"), "the URI's host replaces the header's: {header:?}");
    let stolen = world.attempt_these(&address, &["POST allowed (exfil channel)"]);
    assert!(stolen[0].good_got.ends_with("secret"), "{stolen:?}");
}

fn an_unanchored_list_lets_look_alikes_through(world: &EgressNetworks) {
    let (_egress, address) = world.egress(Egress::Unanchored, &[]);
    for outcome in world.attempt_these(&address, &["suffix trick", "prefix trick"]) {
        assert_eq!((outcome.status.as_str(), outcome.evil.as_slice()), ("200", &[443][..]), "{outcome:?}");
    }
}

fn default_deny_without_a_list_is_an_open_proxy(world: &EgressNetworks) {
    let (egress, address) = world.egress(Egress::WithoutFilter, &[]);
    for outcome in
        world.attempt_these(&address, &["CONNECT evil", "CONNECT IP", "xhf.co", "dot wildcard", "decimal IP"])
    {
        assert_eq!((outcome.status.as_str(), outcome.evil.as_slice()), ("200", &[443][..]), "{outcome:?}");
    }
    // 5xx where the shipped one says 403: the health check's question sees the difference.
    let healthy =
        egress.exec(&["sh", "-c", "nft -s list table inet egress >/run/egress/loaded.nft; /etc/egress/healthy"]);
    let said = String::from_utf8_lossy(&healthy.stdout).into_owned();
    assert_eq!(healthy.status.code(), Some(1), "{said}");
    assert!(said.contains("does not deny by default"), "{said}");
}

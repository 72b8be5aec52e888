//! The network shield: one way out, and that one denies by default.

use super::finding::Finding;
use crate::machine::Machine;
use crate::machine::network::{
    ConnectReply, DIRECT_TIMEOUT, DirectAttempt, DirectOutcome, Network, PROXY_TIMEOUT, ProxyConnection,
};
use crate::machine::proxy::ProxyError;
use crate::settings::checks::Check;
use crate::settings::{CheckMode, Settings};
use crate::sys::Errno;

/// `check`, where there is a network for `evaluate` to look at.
pub(super) fn evaluate_if_enabled(
    check: Check,
    settings: &Settings,
    machine: &Machine,
    evaluate: fn(&Network) -> Finding,
) -> Finding {
    match &machine.network {
        None => Finding::skipped(check, "TAKUMI_EGRESS=off"),
        Some(network) if settings.egress != CheckMode::Require && network.proxy_variables.variables.is_empty() => {
            Finding::skipped(check, "no proxy is set (TAKUMI_EGRESS=require checks anyway)")
        }
        Some(network) => evaluate(network),
    }
}

pub(super) fn default_route(network: &Network) -> Finding {
    const ID: Check = Check::DefaultRoute;
    const FIX: &str = "use only internal networks (compose: internal: true; docker network create --internal)";
    match &network.routes {
        None => Finding::skipped(ID, "not checked"),
        Some(Err(errno)) => Finding::unknown(
            ID,
            format!("/proc/net/route and ipv6_route cannot be read: {errno}"),
            "mount the whole of /proc in the container, as every engine does",
        ),
        Some(Ok(routes)) => match routes.first() {
            None => Finding::pass(ID, "no route to the outside"),
            Some(route) if EgressState::from_attempts(&network.direct) == Some(EgressState::Closed) => {
                let interface = &route.interface;
                Finding::pass(ID, format!("a route through {interface} exists, but packets sent there are dropped"))
            }
            Some(route) => {
                Finding::fail(ID, format!("a route through {} leads outside, past the proxy", route.interface), FIX)
            }
        },
    }
}

pub(super) fn proxy_environment(network: &Network) -> Finding {
    const ID: Check = Check::ProxyEnvironment;
    let named = &network.proxy_variables;
    let Some(variable) = named.variables.first() else {
        return Finding::fail(ID, "no proxy variable is set", "set HTTPS_PROXY=http://HOST:PORT in the environment");
    };
    if let Some(first) = named.errors.first() {
        let all: Vec<String> = named.errors.iter().map(|mistake| describe(*mistake)).collect();
        let unseen = named.errors.iter().all(|mistake| matches!(mistake, ProxyError::Scheme(..)));
        let judged = if unseen { Finding::unknown } else { Finding::fail };
        return judged(ID, all.join("; "), remedy(*first));
    }
    match (&named.proxy, named.conflicting) {
        (Some(proxy), None) => Finding::pass(ID, format!("{variable} names {proxy}")),
        (Some(proxy), Some(another)) => {
            Finding::pass(ID, format!("{variable} names {proxy}; {another} names another, which is not checked"))
        }
        (None, _) => Finding::unknown(ID, format!("{variable} cannot be checked"), SET_PROXY_FIX),
    }
}

fn describe(mistake: ProxyError) -> String {
    match mistake {
        ProxyError::NotHttpUrl(name) => format!("{name} is not of the form http://HOST:PORT"),
        ProxyError::Scheme(name, scheme) => format!("{name} names a {scheme}:// proxy, which cannot be checked"),
        ProxyError::CaseMismatch(lower, upper) => format!("{lower} and {upper} contradict each other"),
        ProxyError::ExemptsAll(name) => format!("{name} contains *: nothing would use the proxy"),
    }
}

fn remedy(mistake: ProxyError) -> String {
    match mistake {
        ProxyError::NotHttpUrl(name) | ProxyError::Scheme(name, _) => {
            format!("set {name}=http://HOST:PORT (a login as http://NAME:PASSWORD@HOST:PORT, percent-encoded)")
        }
        ProxyError::CaseMismatch(lower, upper) => {
            format!("set only {upper}, not {lower}: init gives COMMAND both")
        }
        ProxyError::ExemptsAll(name) => format!("list in {name} only hosts of the container's own networks"),
    }
}

/// Of checks that have nobody to ask.
const SET_PROXY_FIX: &str = "set HTTPS_PROXY=http://HOST:PORT in the environment";

pub(super) fn proxy_reachable(network: &Network) -> Finding {
    const ID: Check = Check::ProxyReachable;
    let Some(proxy) = &network.proxy_variables.proxy else {
        return Finding::unknown(ID, "there is no proxy to ask", SET_PROXY_FIX);
    };
    match &network.proxy {
        None => Finding::skipped(ID, "not checked"),
        Some(ProxyConnection::Connected(_)) => Finding::pass(ID, format!("{proxy} accepts connections")),
        Some(ProxyConnection::Unresolved) => Finding::fail(
            ID,
            format!("{} is neither an address nor in /etc/hosts", proxy.host),
            format!("give it a fixed address (compose: extra_hosts: [\"{}:ADDRESS\"])", proxy.host),
        ),
        Some(ProxyConnection::TimedOut) => Finding::fail(
            ID,
            format!("{proxy} did not answer within {} ms", PROXY_TIMEOUT.as_millis()),
            "start the proxy first, on a network of this container (compose: depends_on, networks)",
        ),
        Some(ProxyConnection::Failed(errno)) => Finding::fail(
            ID,
            format!("cannot connect to {proxy}: {errno}"),
            match *errno {
                Errno(libc::ECONNREFUSED) => "start the proxy first, and let it listen there (tinyproxy: Port, Listen)",
                _ => "put the proxy on a network of this container (compose: networks)",
            },
        ),
    }
}

pub(super) fn proxy_denies(network: &Network) -> Finding {
    const ID: Check = Check::ProxyDenies;
    const DENY_FIX: &str =
        "deny by default (tinyproxy: FilterDefaultDeny Yes, with a Filter line: without one all is allowed)";
    const REAL_PROXY_FIX: &str = "use an HTTP proxy that answers 403 to what it does not allow (tinyproxy, Squid)";
    let Some(proxy) = &network.proxy_variables.proxy else {
        return Finding::unknown(ID, "there is no proxy to ask", SET_PROXY_FIX);
    };
    let answer = match network.proxy {
        Some(ProxyConnection::Connected(Some(answer))) => answer,
        None | Some(ProxyConnection::Connected(None)) => return Finding::skipped(ID, "not checked"),
        Some(_) => {
            return Finding::unknown(ID, "the proxy was not reached", "fix proxy-reachable first");
        }
    };
    let name = "forbidden.invalid";
    match answer {
        ConnectReply::Status(403) => Finding::pass(ID, format!("{proxy} refuses {name} (403)")),
        ConnectReply::Status(code @ 200..=299) => {
            Finding::fail(ID, format!("{proxy} lets everything through: {code} for {name}"), DENY_FIX)
        }
        // A server that has no CONNECT, or another HTTP.
        ConnectReply::Status(code @ (501 | 505)) => {
            Finding::unknown(ID, format!("{proxy} is not a proxy: {code} for {name}"), REAL_PROXY_FIX)
        }
        ConnectReply::Status(code @ 500..=599) => Finding::fail(
            ID,
            format!("{proxy} does not deny by default: it tried to resolve {name} ({code})"),
            DENY_FIX,
        ),
        ConnectReply::Status(407) if proxy.authorization().is_some() => Finding::unknown(
            ID,
            format!("{proxy} rejects the login (407)"),
            format!(
                "correct NAME:PASSWORD in {}, percent-encoded",
                network.proxy_variables.variables.first().unwrap_or(&"HTTPS_PROXY")
            ),
        ),
        ConnectReply::Status(407) => Finding::unknown(
            ID,
            format!("{proxy} requires a login (407)"),
            "set HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT, percent-encoded",
        ),
        ConnectReply::Status(code) => {
            Finding::unknown(ID, format!("{proxy} answers {code} for {name}, not 403"), REAL_PROXY_FIX)
        }
        ConnectReply::Closed => Finding::unknown(
            ID,
            format!("{proxy} closed the connection without an answer"),
            "let the proxy serve this container (tinyproxy: Allow, MaxClients), and see its log",
        ),
        ConnectReply::NotHttp => {
            Finding::unknown(ID, format!("the server at {proxy} does not speak HTTP"), REAL_PROXY_FIX)
        }
        ConnectReply::TimedOut => Finding::unknown(
            ID,
            format!("{proxy} gave no answer for {name} within {} ms", PROXY_TIMEOUT.as_millis()),
            "see the proxy's log: one that denies by default answers at once, without resolving the name",
        ),
    }
}

pub(super) fn direct_egress(network: &Network) -> Finding {
    const ID: Check = Check::DirectEgress;
    const FIX: &str = "use only internal networks (compose: internal: true), or drop all but the proxy in a firewall";
    let ends = &network.direct;
    let found = |way: EgressState| ends.iter().find(|attempt| EgressState::from_end(attempt.outcome) == way);
    match EgressState::from_attempts(ends) {
        None => Finding::skipped(ID, "not checked"),
        Some(EgressState::Open) => {
            let open = found(EgressState::Open);
            let to = open.map(|attempt| attempt.to.to_string()).unwrap_or_default();
            Finding::fail(
                ID,
                match open.map(|attempt| attempt.outcome) {
                    Some(DirectOutcome::LeftNetwork(Some(by))) => {
                        format!("packets to {to} leave past the proxy: router {by} answered")
                    }
                    Some(DirectOutcome::LeftNetwork(None)) => {
                        format!("packets to {to} leave past the proxy: a router answered")
                    }
                    Some(DirectOutcome::Failed(_)) => {
                        format!("{to} answered past the proxy (it refused the connection)")
                    }
                    _ => format!("{to} was reached past the proxy"),
                },
                FIX,
            )
        }
        Some(EgressState::Unknown) => {
            let unclear = found(EgressState::Unknown);
            let to = unclear.map(|attempt| attempt.to.to_string()).unwrap_or_default();
            let why = match unclear.map(|attempt| attempt.outcome) {
                Some(DirectOutcome::NotSent(errno) | DirectOutcome::Failed(errno)) => errno.text(),
                _ => "unknown reason",
            };
            Finding::unknown(ID, format!("cannot try to reach {to}: {why}"), FIX)
        }
        Some(EgressState::Closed) => Finding::pass(
            ID,
            match ends.iter().find(|attempt| !matches!(attempt.outcome, DirectOutcome::NotSent(_))) {
                None => "no way past the proxy: the kernel has no route".to_string(),
                Some(DirectAttempt { outcome: DirectOutcome::TimedOut, .. }) => {
                    format!("filtered: nothing past the proxy answered within {} ms", DIRECT_TIMEOUT.as_millis())
                }
                Some(_) => "filtered: the first router refuses packets past the proxy".to_string(),
            },
        ),
    }
}

/// What connections say of the way that they went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum EgressState {
    Open,
    Unknown,
    Closed,
}

impl EgressState {
    /// Of all; one that is open is enough. `None`: none was tried.
    fn from_attempts(attempts: &[DirectAttempt]) -> Option<Self> {
        let ways = || attempts.iter().map(|attempt| EgressState::from_end(attempt.outcome));
        [EgressState::Open, EgressState::Unknown, EgressState::Closed]
            .into_iter()
            .find(|&way| ways().any(|one| one == way))
    }

    fn from_end(end: DirectOutcome) -> Self {
        /// No route, no address to send from, IPv6 switched off, or a rule against it.
        const BLOCKED_ERRNOS: [i32; 6] =
            [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EPERM, libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT];
        match end {
            DirectOutcome::Connected
            | DirectOutcome::LeftNetwork(_)
            | DirectOutcome::Failed(Errno(libc::ECONNREFUSED | libc::ECONNRESET)) => EgressState::Open,
            DirectOutcome::TimedOut | DirectOutcome::Blocked(_) | DirectOutcome::Failed(Errno(libc::ETIMEDOUT)) => {
                EgressState::Closed
            }
            DirectOutcome::NotSent(Errno(errno)) | DirectOutcome::Failed(Errno(errno))
                if BLOCKED_ERRNOS.contains(&errno) =>
            {
                EgressState::Closed
            }
            DirectOutcome::NotSent(_) | DirectOutcome::Failed(_) => EgressState::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;

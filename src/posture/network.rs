//! The network shield: one way out, and that one denies by default.

use super::finding::Finding;
use crate::machine::Machine;
use crate::machine::network::{
    ConnectReply, DIRECT_TIMEOUT, DirectAttempt, DirectOutcome, Network, PROXY_TIMEOUT, ProxyConnection,
};
use crate::machine::proxy::ProxyError;
use crate::settings::checks::Check;
use crate::settings::{Settings, Wanted};
use crate::sys::Errno;

/// `check`, where there is a network for `judge` to look at.
pub(super) fn where_wanted(
    check: Check,
    settings: &Settings,
    machine: &Machine,
    judge: fn(&Network) -> Finding,
) -> Finding {
    match &machine.network {
        None => Finding::skipped(check, "TAKUMI_EGRESS=off"),
        Some(network) if settings.egress != Wanted::Require && network.proxy_variables.variables.is_empty() => {
            Finding::skipped(check, "no proxy is set (TAKUMI_EGRESS=require checks all the same)")
        }
        Some(network) => judge(network),
    }
}

pub(super) fn default_route(network: &Network) -> Finding {
    const ID: Check = Check::DefaultRoute;
    const FIX: &str = "use only networks without a way out (compose: internal: true; docker network create --internal)";
    match &network.routes {
        None => Finding::skipped(ID, "not looked at"),
        Some(Err(errno)) => Finding::unknown(
            ID,
            format!("/proc/net/route and ipv6_route cannot be read: {errno}"),
            "mount the whole of /proc in the container, as every engine does",
        ),
        Some(Ok(routes)) => match routes.first() {
            None => Finding::held(ID, "no route leads outside"),
            Some(route) if Way::of(&network.direct) == Some(Way::Closed) => {
                let interface = &route.interface;
                Finding::held(ID, format!("there is one by {interface}, but what is sent there is dropped"))
            }
            Some(route) => {
                Finding::missing(ID, format!("a route by {} leads outside, past the proxy", route.interface), FIX)
            }
        },
    }
}

pub(super) fn proxy_environment(network: &Network) -> Finding {
    const ID: Check = Check::ProxyEnvironment;
    let named = &network.proxy_variables;
    let Some(variable) = named.variables.first() else {
        return Finding::missing(
            ID,
            "no variable names a proxy",
            "set HTTPS_PROXY=http://HOST:PORT in the environment",
        );
    };
    if let Some(first) = named.errors.first() {
        let all: Vec<String> = named.errors.iter().map(|mistake| said(*mistake)).collect();
        let unseen = named.errors.iter().all(|mistake| matches!(mistake, ProxyError::Scheme(..)));
        let judged = if unseen { Finding::unknown } else { Finding::missing };
        return judged(ID, all.join("; "), remedy(*first));
    }
    match (&named.proxy, named.conflicting) {
        (Some(proxy), None) => Finding::held(ID, format!("{variable} names {proxy}")),
        (Some(proxy), Some(another)) => {
            Finding::held(ID, format!("{variable} names {proxy}; {another} names another, which is not checked"))
        }
        (None, _) => Finding::unknown(ID, format!("{variable} says nothing that can be checked"), NO_PROXY),
    }
}

fn said(mistake: ProxyError) -> String {
    match mistake {
        ProxyError::NotHttpUrl(name) => format!("{name} is no http://HOST:PORT"),
        ProxyError::Scheme(name, scheme) => format!("{name} names a proxy of {scheme}://, which cannot be checked"),
        ProxyError::CaseMismatch(lower, upper) => format!("{lower} and {upper} contradict each other"),
        ProxyError::ExemptsAll(name) => format!("{name} has a *: nothing goes to the proxy"),
    }
}

fn remedy(mistake: ProxyError) -> String {
    match mistake {
        ProxyError::NotHttpUrl(name) | ProxyError::Scheme(name, _) => {
            format!("set {name}=http://HOST:PORT (a login as http://NAME:PASSWORD@HOST:PORT, percent-encoded)")
        }
        ProxyError::CaseMismatch(lower, upper) => {
            format!("set {upper} alone, without {lower}: init gives COMMAND both")
        }
        ProxyError::ExemptsAll(name) => format!("name in {name} only hosts of the container's own networks"),
    }
}

/// Of checks that have nobody to ask.
const NO_PROXY: &str = "set HTTPS_PROXY=http://HOST:PORT in the environment";

pub(super) fn proxy_reachable(network: &Network) -> Finding {
    const ID: Check = Check::ProxyReachable;
    let Some(proxy) = &network.proxy_variables.proxy else {
        return Finding::unknown(ID, "no proxy is named that can be asked", NO_PROXY);
    };
    match &network.proxy {
        None => Finding::skipped(ID, "not looked at"),
        Some(ProxyConnection::Connected(_)) => Finding::held(ID, format!("{proxy} accepts connections")),
        Some(ProxyConnection::Unresolved) => Finding::missing(
            ID,
            format!("{} is neither an address nor in /etc/hosts", proxy.host),
            format!("give it a fixed address (compose: extra_hosts: [\"{}:ADDRESS\"])", proxy.host),
        ),
        Some(ProxyConnection::TimedOut) => Finding::missing(
            ID,
            format!("{proxy} did not answer within {} ms", PROXY_TIMEOUT.as_millis()),
            "start the proxy first, on a network of this container (compose: depends_on, networks)",
        ),
        Some(ProxyConnection::Failed(errno)) => Finding::missing(
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
    const DENY: &str =
        "deny by default (tinyproxy: FilterDefaultDeny Yes, with a Filter line: without one all is allowed)";
    const A_PROXY: &str = "name an HTTP proxy that answers 403 to what it does not allow (tinyproxy, Squid)";
    let Some(proxy) = &network.proxy_variables.proxy else {
        return Finding::unknown(ID, "no proxy is named that can be asked", NO_PROXY);
    };
    let answer = match network.proxy {
        Some(ProxyConnection::Connected(Some(answer))) => answer,
        None | Some(ProxyConnection::Connected(None)) => return Finding::skipped(ID, "not looked at"),
        Some(_) => {
            return Finding::unknown(ID, "the proxy was not reached", "let it be reached first: see proxy-reachable");
        }
    };
    let name = "forbidden.invalid";
    match answer {
        ConnectReply::Status(403) => Finding::held(ID, format!("{proxy} refuses {name} (403)")),
        ConnectReply::Status(code @ 200..=299) => {
            Finding::missing(ID, format!("{proxy} lets everything through: {code} for {name}"), DENY)
        }
        // A server that has no CONNECT, or another HTTP.
        ConnectReply::Status(code @ (501 | 505)) => {
            Finding::unknown(ID, format!("{proxy} is no proxy: {code} for {name}"), A_PROXY)
        }
        ConnectReply::Status(code @ 500..=599) => {
            Finding::missing(ID, format!("{proxy} does not deny by default: it tried to resolve {name} ({code})"), DENY)
        }
        ConnectReply::Status(407) if proxy.authorization().is_some() => Finding::unknown(
            ID,
            format!("{proxy} does not take the login (407)"),
            format!(
                "correct NAME:PASSWORD in {}, percent-encoded",
                network.proxy_variables.variables.first().unwrap_or(&"HTTPS_PROXY")
            ),
        ),
        ConnectReply::Status(407) => Finding::unknown(
            ID,
            format!("{proxy} wants a login (407)"),
            "set HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT, percent-encoded",
        ),
        ConnectReply::Status(code) => {
            Finding::unknown(ID, format!("{proxy} answers {code} for {name}, not 403"), A_PROXY)
        }
        ConnectReply::Closed => Finding::unknown(
            ID,
            format!("{proxy} closed the connection without an answer"),
            "let the proxy serve this container (tinyproxy: Allow, MaxClients), and see its log",
        ),
        ConnectReply::NotHttp => Finding::unknown(ID, format!("what answers at {proxy} speaks no HTTP"), A_PROXY),
        ConnectReply::TimedOut => Finding::unknown(
            ID,
            format!("{proxy} gave no answer for {name} within {} ms", PROXY_TIMEOUT.as_millis()),
            "see the proxy's log: one that denies by default answers at once, without resolving the name",
        ),
    }
}

pub(super) fn direct_egress(network: &Network) -> Finding {
    const ID: Check = Check::DirectEgress;
    const FIX: &str =
        "use only networks without a way out (compose: internal: true), or drop all but the proxy in a firewall";
    let ends = &network.direct;
    let found = |way: Way| ends.iter().find(|attempt| Way::of_one(attempt.outcome) == way);
    match Way::of(ends) {
        None => Finding::skipped(ID, "not looked at"),
        Some(Way::Open) => {
            let open = found(Way::Open);
            let to = open.map(|attempt| attempt.to.to_string()).unwrap_or_default();
            Finding::missing(
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
        Some(Way::Unclear) => {
            let unclear = found(Way::Unclear);
            let to = unclear.map(|attempt| attempt.to.to_string()).unwrap_or_default();
            let why = match unclear.map(|attempt| attempt.outcome) {
                Some(DirectOutcome::NotSent(errno) | DirectOutcome::Failed(errno)) => errno.text(),
                _ => "no reason is known",
            };
            Finding::unknown(ID, format!("cannot try to reach {to}: {why}"), FIX)
        }
        Some(Way::Closed) => Finding::held(
            ID,
            match ends.iter().find(|attempt| !matches!(attempt.outcome, DirectOutcome::NotSent(_))) {
                None => "no way past the proxy: the kernel knows none".to_string(),
                Some(DirectAttempt { outcome: DirectOutcome::TimedOut, .. }) => {
                    format!("filtered: nothing past the proxy answered within {} ms", DIRECT_TIMEOUT.as_millis())
                }
                Some(_) => "filtered: the first router refuses what goes past the proxy".to_string(),
            },
        ),
    }
}

/// What connections say of the way that they went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Open,
    Unclear,
    Closed,
}

impl Way {
    /// Of all; one that is open is enough. `None`: none was tried.
    fn of(attempts: &[DirectAttempt]) -> Option<Self> {
        let ways = || attempts.iter().map(|attempt| Way::of_one(attempt.outcome));
        [Way::Open, Way::Unclear, Way::Closed].into_iter().find(|&way| ways().any(|one| one == way))
    }

    fn of_one(end: DirectOutcome) -> Self {
        /// No route, no address to send from, IPv6 switched off, or a rule against it.
        const NO_WAY: [i32; 6] =
            [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EPERM, libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT];
        match end {
            DirectOutcome::Connected
            | DirectOutcome::LeftNetwork(_)
            | DirectOutcome::Failed(Errno(libc::ECONNREFUSED | libc::ECONNRESET)) => Way::Open,
            DirectOutcome::TimedOut | DirectOutcome::Blocked(_) | DirectOutcome::Failed(Errno(libc::ETIMEDOUT)) => {
                Way::Closed
            }
            DirectOutcome::NotSent(Errno(errno)) | DirectOutcome::Failed(Errno(errno)) if NO_WAY.contains(&errno) => {
                Way::Closed
            }
            DirectOutcome::NotSent(_) | DirectOutcome::Failed(_) => Way::Unclear,
        }
    }
}

#[cfg(test)]
mod tests;

//! Names of hosts without a resolver: literal addresses, localhost and /etc/hosts. A static program has no NSS, and a
//! container whose only way out is a proxy has nobody to ask.

use crate::sys::io;
use std::net::{IpAddr, Ipv4Addr};

/// How much of /etc/hosts is read: engines write a few hundred bytes, lists against advertising have megabytes.
const MAX_BYTES: usize = 4 << 20;

/// The address of `host`: an IPv4 or IPv6 address (with or without brackets), `localhost`, or a name in /etc/hosts.
pub fn resolve(host: &[u8]) -> Option<IpAddr> {
    parse_literal(host).or_else(|| find_in_hosts(&io::read_whole(c"/etc/hosts", MAX_BYTES).ok()?, host))
}

fn parse_literal(host: &[u8]) -> Option<IpAddr> {
    let bare = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
    let text = std::str::from_utf8(bare.unwrap_or(host)).ok()?;
    match text.parse::<IpAddr>().ok() {
        // Brackets are for IPv6 alone.
        Some(IpAddr::V4(_)) if bare.is_some() => None,
        // RFC 6761 6.3: the name is never anything else.
        None if bare.is_none() && text.eq_ignore_ascii_case("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
        address => address,
    }
}

/// The first address that a text in the form of /etc/hosts (`man 5 hosts`) has for `host`.
pub fn find_in_hosts(text: &[u8], host: &[u8]) -> Option<IpAddr> {
    if host.is_empty() {
        return None;
    }
    text.split(|&byte| byte == b'\n').find_map(|line| {
        let line = line.split(|&byte| byte == b'#').next()?;
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let address = words.next()?;
        let named = words.any(|name| name.eq_ignore_ascii_case(host));
        named.then(|| std::str::from_utf8(address).ok()?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_address_needs_no_file() {
        let literals = [
            ("192.0.2.7", "192.0.2.7"),
            ("::1", "::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("localhost", "127.0.0.1"),
            ("LocalHost", "127.0.0.1"),
        ];
        for (host, expected) in literals {
            assert_eq!(resolve(host.as_bytes()), expected.parse().ok(), "{host}");
        }
        // Octal, short and decimal forms are not what they look like (inet_aton), and are no addresses here.
        for host in ["127.1", "0177.0.0.1", "2130706433", "[192.0.2.7]", "[localhost]", "[::1", "", "[]", "1.2.3.4.5"] {
            assert_eq!(parse_literal(host.as_bytes()), None, "{host}");
        }
    }

    #[test]
    fn the_first_line_with_the_name_is_the_answer() {
        let text = b"127.0.0.1\tlocalhost\n::1 localhost ip6-localhost\n# 10.0.0.1 proxy\n\
            10.0.0.2 other Proxy.example proxy # proxy2\nnonsense proxy3\n10.0.0.4 proxy3\r\n10.0.0.3 proxy\nfe80::1%eth0 scoped\n10.0.0.5";
        let of = |host: &str| find_in_hosts(text, host.as_bytes()).map(|address| address.to_string());
        assert_eq!(of("proxy").as_deref(), Some("10.0.0.2"));
        assert_eq!(of("PROXY.EXAMPLE").as_deref(), Some("10.0.0.2"));
        assert_eq!(of("ip6-localhost").as_deref(), Some("::1"));
        assert_eq!(of("proxy3").as_deref(), Some("10.0.0.4"));
        for host in ["proxy2", "prox", "10.0.0.2", "scoped", "", "#", "10.0.0.5"] {
            assert_eq!(of(host), None, "{host}");
        }
    }
}

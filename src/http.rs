//! What the probe and the drain have in common: TAKUMI_HEALTH_URL, taken apart.

/// What `init` calls itself to a server.
pub const AGENT: &[u8] = concat!("takumi-init/", env!("CARGO_PKG_VERSION")).as_bytes();

/// What is asked of whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url<'a> {
    /// A name or an address, in brackets where it is of IPv6.
    pub host: &'a [u8],
    /// 80 where none is written.
    pub port: u16,
    /// `HOST[:PORT]`, as it stands.
    pub authority: &'a [u8],
    /// Path and query.
    pub target: &'a [u8],
}

impl<'a> Url<'a> {
    /// Takes a TAKUMI_HEALTH_URL apart, which `settings` has checked. `None`: it is none.
    pub fn parse(url: &'a [u8]) -> Option<Self> {
        let rest = url.strip_prefix(b"http://")?;
        // What stands behind `#` is the browser's own.
        let rest = rest.split(|&byte| byte == b'#').next()?;
        let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let colon = authority.iter().rposition(|&byte| byte == b':').filter(|_| !authority.ends_with(b"]"));
        let (host, port) = match colon {
            Some(colon) => (&authority[..colon], std::str::from_utf8(&authority[colon + 1..]).ok()?.parse().ok()?),
            None => (authority, 80),
        };
        Some(Url { host, port, authority, target: if target.is_empty() { b"/" } else { target } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (text, host, port, authority, target) in [
            ("http://127.0.0.1:8188/prompt", "127.0.0.1", 8188, "127.0.0.1:8188", "/prompt"),
            ("http://localhost", "localhost", 80, "localhost", "/"),
            ("http://[::1]:81/a?b=c#d", "[::1]", 81, "[::1]:81", "/a?b=c"),
            ("http://[::1]", "[::1]", 80, "[::1]", "/"),
        ] {
            let url = Url::parse(text.as_bytes()).unwrap();
            let parts = (url.host, url.port, url.authority, url.target);
            assert_eq!(parts, (host.as_bytes(), port, authority.as_bytes(), target.as_bytes()), "{text}");
        }
        assert_eq!(Url::parse(b"https://a/"), None);
        assert_eq!(Url::parse(b"http://a:b/"), None);
    }
}

//! As much of HTTP as `init` speaks: the URL that it asks, and one exchange with a server that may be anybody. Whatever
//! that does takes no longer than the deadline, and no more memory than the caller has for the answer.

use crate::sys::Errno;
use crate::sys::clock::Instant;
use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What `init` calls itself to a server.
pub const USER_AGENT: &str = concat!("takumi-init/", env!("CARGO_PKG_VERSION"));
/// More headers than any server sends.
const MAX_HEADERS: usize = 100;

/// `http://HOST[:PORT]/PATH`: what is asked of whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url {
    text: String,
    /// 80 where none is written.
    pub port: u16,
    /// Where the host, the authority and the target end in it.
    ends: [usize; 3],
}

const SCHEME: &str = "http://";

impl Url {
    /// `None`: it is none, or names a user.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))?;
        // What stands behind `#` is the browser's own.
        let rest = text.strip_prefix(SCHEME)?.split('#').next()?;
        let authority = rest.split('/').next()?;
        let (host, port) = match authority.rfind(':').filter(|_| !authority.ends_with(']')) {
            Some(colon) => (&authority[..colon], parse_port(&authority[colon + 1..])?),
            None => (authority, 80),
        };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let holds = !host.is_empty() && (bracketed || !host.contains(':')) && !host.contains('@');
        let ends = [host, authority, rest].map(|part| SCHEME.len() + part.len());
        holds.then(|| Url { text: text.to_string(), port, ends })
    }

    /// A name or an address, in brackets where it is of IPv6.
    pub fn host(&self) -> &str {
        &self.text[SCHEME.len()..self.ends[0]]
    }

    /// `HOST[:PORT]`, as it stands.
    pub fn authority(&self) -> &str {
        &self.text[SCHEME.len()..self.ends[1]]
    }

    pub fn target(&self) -> &str {
        let target = &self.text[self.ends[1]..self.ends[2]];
        if target.is_empty() { "/" } else { target }
    }
}

fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok().filter(|&port| port > 0)).flatten()
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Connects. Errors, here and below: the kernel's; one that [`is_timeout`] at the deadline.
pub fn connect(server: SocketAddr, deadline: Instant) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&server, time_left(deadline)?)
}

pub fn send(stream: &mut TcpStream, request: &[u8], deadline: Instant) -> io::Result<()> {
    stream.set_write_timeout(Some(time_left(deadline)?))?;
    stream.write_all(request)
}

/// Reads on into `answer`, of which `filled` bytes are there, until `seen` has seen in it what it looks for. `None`:
/// the answer ends, or is longer than there is room for.
pub fn read_until<Seen>(
    stream: &mut TcpStream,
    answer: &mut [u8],
    filled: &mut usize,
    deadline: Instant,
    mut seen: impl FnMut(&[u8]) -> Option<Seen>,
) -> io::Result<Option<Seen>> {
    loop {
        if let Some(seen) = seen(&answer[..*filled]) {
            return Ok(Some(seen));
        }
        if *filled == answer.len() {
            return Ok(None);
        }
        stream.set_read_timeout(Some(time_left(deadline)?))?;
        match stream.read(&mut answer[*filled..]) {
            Ok(0) => return Ok(None),
            Ok(count) => *filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = Instant::now().until(deadline);
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Whether the time was over.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The kernel's word without std's "(os error 104)".
pub fn error_text(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.kind().to_string(), |errno| Errno(errno).to_string())
}

/// What the head of an answer says.
#[derive(PartialEq, Eq, Debug)]
pub struct ResponseHead {
    /// How long it is.
    pub length: usize,
    pub code: u16,
    /// How long the body is, where that is told; a number that is none is too large for anybody.
    pub body: Option<usize>,
}

/// The head that some bytes begin with; `None` while it is not whole. Errors: why it is none.
pub fn parse_head(bytes: &[u8]) -> Result<Option<ResponseHead>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(format!("it sent more than {MAX_HEADERS} headers")),
        Err(error) => return Err(format!("it does not speak HTTP ({error})")),
    };
    let body = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("Content-Length"));
    let number = |value| std::str::from_utf8(value).ok()?.trim().parse().ok();
    let body = body.map(|header| number(header.value).unwrap_or(usize::MAX));
    Ok(Some(ResponseHead { length, code: response.code.unwrap_or_default(), body }))
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
            let parts = (url.host(), url.port, url.authority(), url.target(), url.to_string());
            assert_eq!(parts, (host, port, authority, target, text.to_string()));
        }
    }

    #[test]
    fn what_is_no_url_is_none() {
        for text in [
            "https://a/", "127.0.0.1", "http://", "http://:80/", "http://a:0/", "http://a:x/", "http://a:+1/",
            "http://a:/", "http://u@a/", "http://a/ b", "http://::1/", "http://a/\u{e9}",
        ] {
            assert_eq!(Url::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn only_a_whole_head_is_one() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let whole = ResponseHead { length: 38, code: 200, body: Some(2) };
        assert_eq!(parse_head(text), Ok(Some(whole)));
        assert!((0..38).all(|end| parse_head(&text[..end]) == Ok(None)));
        let huge = b"HTTP/1.0 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n";
        assert_eq!(parse_head(huge).unwrap().unwrap().body, Some(usize::MAX));
    }

    #[test]
    fn garbage_is_seen_as_soon_as_it_can_be() {
        for garbage in [
            "SSH-2.0-OpenSSH_9.2", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n",
            "\0\0\0", "<html>",
        ] {
            assert!(parse_head(garbage.as_bytes()).is_err(), "{garbage:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert!(parse_head(many.as_bytes()).unwrap_err().contains("more than"));
    }
}

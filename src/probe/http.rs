//! The question to COMMAND's server: one GET, of whose answer only the head is read. The server is a stranger: what it sends
//! costs at most [`MOST`] bytes and the time that is given.

use super::verdict::Answer;
use crate::http::{self, Url};
use crate::machine::hosts;
use crate::sys::clock::Instant;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How much of an answer is read: every server's head is shorter, and of its body nothing is asked.
pub const MOST: usize = 16 * 1024;
/// More headers than any server sends.
const HEADERS: usize = 100;

/// A question under way.
pub struct Exchange {
    address: SocketAddr,
    request: Vec<u8>,
    stream: Option<TcpStream>,
    head: Box<[u8; MOST]>,
    filled: usize,
}

impl Exchange {
    /// Prepares it; nothing is sent yet. `Err`: why it cannot be asked.
    pub fn with(url: &[u8]) -> Result<Self, Answer> {
        let unasked = |why: String, fix| Err(Answer::Unasked(why, fix));
        let Some(url) = Url::parse(url) else {
            return unasked("it is no http://HOST[:PORT]/PATH".to_string(), "correct TAKUMI_HEALTH_URL");
        };
        let Some(address) = hosts::address(url.host) else {
            return unasked(
                "its host has no address in /etc/hosts".to_string(),
                "write an address or localhost into TAKUMI_HEALTH_URL, or add the name with --add-host",
            );
        };
        Ok(Exchange {
            address: SocketAddr::new(address, url.port),
            request: request(&url),
            stream: None,
            head: Box::new([0; MOST]),
            filled: 0,
        })
    }

    /// Waits for the answer until `deadline`; `None` where there is none by then, and the question stands.
    pub fn wait(&mut self, deadline: Instant) -> Option<Answer> {
        if self.stream.is_none() {
            match self.connect(deadline)? {
                Ok(stream) => self.stream = Some(stream),
                Err(answer) => return Some(answer),
            }
        }
        loop {
            let left = some(Instant::now().until(deadline))?;
            let stream = self.stream.as_mut()?;
            if let Err(error) = stream.set_read_timeout(Some(left)) {
                return Some(Answer::Garbage(format!("its answer cannot be waited for: {}", said(&error))));
            }
            match stream.read(&mut self.head[self.filled..]) {
                Ok(0) => return Some(Answer::Garbage(self.cut_short())),
                Ok(count) => {
                    let before = self.filled;
                    self.filled += count;
                    if let Some(answer) = self.look(before) {
                        return Some(answer);
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Some(Answer::Garbage(format!("it broke off: {}", said(&error)))),
            }
        }
    }

    /// Connects and asks. A server whose queue is full answers nothing at all: that is silence, not refusal.
    fn connect(&self, deadline: Instant) -> Option<Result<TcpStream, Answer>> {
        let left = some(Instant::now().until(deadline))?;
        let asked = TcpStream::connect_timeout(&self.address, left).and_then(|mut stream| {
            stream.set_write_timeout(Some(left))?;
            stream.write_all(&self.request)?;
            Ok(stream)
        });
        match asked {
            Ok(stream) => Some(Ok(stream)),
            Err(error) => match error.kind() {
                ErrorKind::TimedOut | ErrorKind::WouldBlock => None,
                ErrorKind::ConnectionRefused => Some(Err(Answer::Refused)),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                    Some(Err(Answer::Garbage(format!("it broke off: {}", said(&error)))))
                }
                _ => Some(Err(Answer::Unasked(
                    format!("no connection: {}", said(&error)),
                    "write an address of this container into TAKUMI_HEALTH_URL, such as 127.0.0.1",
                ))),
            },
        }
    }

    /// What the first `filled` bytes are; `before` of them were there at the last look.
    fn look(&mut self, before: usize) -> Option<Answer> {
        let full = self.filled == MOST;
        // A head ends with a line: without a new one there is nothing new to see, however slowly it drips.
        if before > 0 && !full && !self.head[before..self.filled].contains(&b'\n') {
            return None;
        }
        let mut from = 0;
        loop {
            match head(&self.head[from..self.filled]) {
                Head::Informational(length) => from += length,
                Head::Answer(answer) => return Some(answer),
                Head::Partial if full => {
                    return Some(Answer::Garbage(format!("its head is longer than {} KiB", MOST / 1024)));
                }
                Head::Partial => return None,
            }
        }
    }

    fn cut_short(&self) -> String {
        let what = if self.filled == 0 { "without an answer" } else { "in the middle of its head" };
        format!("it closed the connection {what}")
    }
}

/// What stands at the beginning of some bytes.
#[derive(PartialEq, Eq, Debug)]
enum Head {
    /// Not a whole head yet.
    Partial,
    /// A head of 1xx, that long: the real one follows (RFC 9110, 15.2).
    Informational(usize),
    Answer(Answer),
}

fn head(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match (response.parse(bytes), response.code) {
        (Ok(httparse::Status::Partial), _) => Head::Partial,
        (Ok(httparse::Status::Complete(length)), Some(100 | 102..=199)) => Head::Informational(length),
        (Ok(httparse::Status::Complete(_)), Some(code)) => Head::Answer(Answer::Code(code)),
        (Ok(_), None) => Head::Answer(Answer::Garbage("no HTTP comes from there".to_string())),
        (Err(httparse::Error::TooManyHeaders), _) => {
            Head::Answer(Answer::Garbage(format!("its head has more than {HEADERS} headers")))
        }
        (Err(error), _) => Head::Answer(Answer::Garbage(format!("no HTTP comes from there ({error})"))),
    }
}

fn request(url: &Url) -> Vec<u8> {
    let parts: [&[u8]; 7] = [
        b"GET ",
        url.target,
        b" HTTP/1.1\r\nHost: ",
        url.authority,
        b"\r\nUser-Agent: ",
        http::AGENT,
        b"\r\nAccept: */*\r\nConnection: close\r\n\r\n",
    ];
    parts.concat()
}

fn some(left: Duration) -> Option<Duration> {
    (!left.is_zero()).then_some(left)
}

/// The kernel's word without std's "(os error 104)".
fn said(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.kind().to_string(), |errno| crate::sys::Errno(errno).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_what_every_server_understands() {
        let request = String::from_utf8(request(&Url::parse(b"http://a:8188/prompt").unwrap())).unwrap();
        assert!(request.starts_with("GET /prompt HTTP/1.1\r\nHost: a:8188\r\n"), "{request}");
        assert!(request.ends_with("Connection: close\r\n\r\n"), "{request}");
        assert!(
            httparse::Request::new(&mut [httparse::EMPTY_HEADER; 9]).parse(request.as_bytes()).unwrap().is_complete()
        );
    }

    fn code(text: &str) -> Option<u16> {
        match head(text.as_bytes()) {
            Head::Answer(Answer::Code(code)) => Some(code),
            _ => None,
        }
    }

    #[test]
    fn only_a_whole_head_is_an_answer() {
        assert_eq!(code("HTTP/1.1 200 OK\r\nServer: x\r\n\r\nbody"), Some(200));
        assert_eq!(code("HTTP/1.0 302 Found\r\n\r\n"), Some(302));
        assert_eq!(code("HTTP/1.1 503 \r\n\r\n"), Some(503));
        assert_eq!(code("HTTP/1.1 204\r\n\r\n"), Some(204));
        assert_eq!(code("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Some(101));
        for partial in ["", "HTTP/1.", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nServer: x\r\n"] {
            assert_eq!(head(partial.as_bytes()), Head::Partial, "{partial:?}");
        }
        assert_eq!(head(b"HTTP/1.1 100 Continue\r\n\r\nHTTP"), Head::Informational(25));
    }

    #[test]
    fn garbage_is_seen_as_soon_as_it_can_be() {
        for garbage in [
            "SSH-2.0-OpenSSH_9.2", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n",
            "\0\0\0", "<html>",
        ] {
            assert!(matches!(head(garbage.as_bytes()), Head::Answer(Answer::Garbage(_))), "{garbage:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1));
        assert!(matches!(head(many.as_bytes()), Head::Answer(Answer::Garbage(_))));
    }
}

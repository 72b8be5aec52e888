//! The question to COMMAND's server: one GET, of whose answer only the head is read. The server is a stranger: what it sends
//! costs at most [`MOST`] bytes and the time that is given.

use super::verdict::Answer;
use crate::http::{self, AGENT, Url};
use crate::machine::hosts;
use crate::sys::clock::Instant;
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpStream};

/// How much of an answer is read: every server's head is shorter, and of its body nothing is asked.
pub const MOST: usize = 16 * 1024;

/// A question under way.
pub struct Exchange {
    address: SocketAddr,
    request: String,
    stream: Option<TcpStream>,
    head: Box<[u8; MOST]>,
    filled: usize,
    /// How much of it was there at the last look.
    looked: usize,
}

impl Exchange {
    /// Prepares it; nothing is sent yet. `Err`: why it cannot be asked.
    pub fn with(url: &Url) -> Result<Self, Answer> {
        let Some(address) = hosts::resolve(url.host().as_bytes()) else {
            return Err(Answer::Unasked(
                "its host has no address in /etc/hosts".to_string(),
                "write an address or localhost into TAKUMI_HEALTH_URL, or add the name with --add-host",
            ));
        };
        Ok(Exchange {
            address: SocketAddr::new(address, url.port),
            request: request(url),
            stream: None,
            head: Box::new([0; MOST]),
            filled: 0,
            looked: 0,
        })
    }

    /// Waits for the answer until `deadline`; `None` where there is none by then, and the question stands.
    pub fn wait(&mut self, deadline: Instant) -> Option<Answer> {
        if self.stream.is_none() {
            let asked = http::connect(self.address, deadline).and_then(|mut stream| {
                http::send(&mut stream, self.request.as_bytes(), deadline)?;
                Ok(stream)
            });
            match asked {
                Ok(stream) => self.stream = Some(stream),
                // A server whose queue is full answers nothing at all: that is silence, not refusal.
                Err(error) if http::is_late(&error) => return None,
                Err(error) => return Some(unasked(&error)),
            }
        }
        let (head, looked) = (&mut self.head[..], &mut self.looked);
        match http::read(self.stream.as_mut()?, head, &mut self.filled, deadline, |bytes| look(bytes, looked)) {
            Ok(Some(answer)) => Some(answer),
            Ok(None) => Some(Answer::Garbage(match self.filled {
                MOST => format!("its head is longer than {} KiB", MOST / 1024),
                0 => "it closed the connection without an answer".to_string(),
                _ => "it closed the connection in the middle of its head".to_string(),
            })),
            Err(error) if http::is_late(&error) => None,
            Err(error) => Some(broken_off(&error)),
        }
    }
}

fn unasked(error: &Error) -> Answer {
    match error.kind() {
        ErrorKind::ConnectionRefused => Answer::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => broken_off(error),
        _ => Answer::Unasked(
            format!("no connection: {}", http::word(error)),
            "write an address of this container into TAKUMI_HEALTH_URL, such as 127.0.0.1",
        ),
    }
}

fn broken_off(error: &Error) -> Answer {
    Answer::Garbage(format!("it broke off: {}", http::word(error)))
}

/// What has come so far is; `looked` bytes of it were there at the last look.
fn look(bytes: &[u8], looked: &mut usize) -> Option<Answer> {
    let before = std::mem::replace(looked, bytes.len());
    // A head ends with a line: without a new one there is nothing new to see, however slowly it drips.
    if before > 0 && bytes.len() < MOST && !bytes[before..].contains(&b'\n') {
        return None;
    }
    let mut rest = bytes;
    loop {
        match http::head(rest) {
            // A head of 1xx: the real one follows (RFC 9110, 15.2).
            Ok(Some(head)) if matches!(head.code, 100 | 102..=199) => rest = &rest[head.length..],
            Ok(head) => return head.map(|head| Answer::Code(head.code)),
            Err(why) => return Some(Answer::Garbage(why)),
        }
    }
}

fn request(url: &Url) -> String {
    let (target, authority) = (url.target(), url.authority());
    format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {AGENT}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_what_every_server_understands() {
        let request = request(&Url::parse(b"http://a:8188/prompt").unwrap());
        assert!(request.starts_with("GET /prompt HTTP/1.1\r\nHost: a:8188\r\n"), "{request}");
        assert!(request.ends_with("Connection: close\r\n\r\n"), "{request}");
        assert!(
            httparse::Request::new(&mut [httparse::EMPTY_HEADER; 9]).parse(request.as_bytes()).unwrap().is_complete()
        );
    }

    fn seen(text: &str) -> Option<Answer> {
        look(text.as_bytes(), &mut 0)
    }

    #[test]
    fn only_a_whole_head_is_an_answer() {
        for (text, code) in [
            ("HTTP/1.1 200 OK\r\nServer: x\r\n\r\nbody", 200),
            ("HTTP/1.0 302 Found\r\n\r\n", 302),
            ("HTTP/1.1 503 \r\n\r\n", 503),
            ("HTTP/1.1 204\r\n\r\n", 204),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", 101),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200),
        ] {
            assert_eq!(seen(text), Some(Answer::Code(code)), "{text:?}");
        }
        for partial in ["", "HTTP/1.", "HTTP/1.1 200 OK\r\nServer: x\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP"] {
            assert_eq!(seen(partial), None, "{partial:?}");
        }
        assert!(matches!(seen("SSH-2.0-OpenSSH_9.2"), Some(Answer::Garbage(_))));
    }
}

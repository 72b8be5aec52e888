//! The question to COMMAND's server: one GET, of whose answer only the head is read. The server is a stranger: what it
//! sends costs at most [`MAX_HEAD_BYTES`] bytes and the time that is given.

use super::verdict::HttpAnswer;
use crate::http::{self, USER_AGENT, Url};
use crate::machine::hosts;
use crate::sys::clock::Instant;
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpStream};

/// How much of an answer is read: every server's head is shorter, and of its body nothing is asked.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A question under way.
pub struct Exchange {
    address: SocketAddr,
    request: String,
    stream: Option<TcpStream>,
    head: Box<[u8; MAX_HEAD_BYTES]>,
    filled: usize,
    /// How much of it was there at the last look.
    parsed_up_to: usize,
}

impl Exchange {
    /// Prepares it; nothing is sent yet. `Err`: why it cannot be asked.
    pub fn prepare(url: &Url) -> Result<Self, HttpAnswer> {
        let Some(address) = hosts::resolve(url.host().as_bytes()) else {
            return Err(HttpAnswer::RequestFailed(
                "its host is not in /etc/hosts".to_string(),
                "use an address or localhost in TAKUMI_HEALTH_URL, or add the name with --add-host",
            ));
        };
        Ok(Exchange {
            address: SocketAddr::new(address, url.port),
            request: format_request(url),
            stream: None,
            head: Box::new([0; MAX_HEAD_BYTES]),
            filled: 0,
            parsed_up_to: 0,
        })
    }

    /// Waits for the answer until `deadline`; `None` where there is none by then, and the question stands.
    pub fn wait(&mut self, deadline: Instant) -> Option<HttpAnswer> {
        if self.stream.is_none() {
            let asked = http::connect(self.address, deadline).and_then(|mut stream| {
                http::send(&mut stream, self.request.as_bytes(), deadline)?;
                Ok(stream)
            });
            match asked {
                Ok(stream) => self.stream = Some(stream),
                // A server whose queue is full answers nothing at all: that is silence, not refusal.
                Err(error) if http::is_timeout(&error) => return None,
                Err(error) => return Some(connect_error(&error)),
            }
        }
        let (head, statuses) = (&mut self.head[..], &mut self.parsed_up_to);
        match http::read_until(self.stream.as_mut()?, head, &mut self.filled, deadline, |bytes| {
            parse_answer(bytes, statuses)
        }) {
            Ok(Some(answer)) => Some(answer),
            Ok(None) => Some(HttpAnswer::Malformed(match self.filled {
                MAX_HEAD_BYTES => format!("its response header is longer than {} KiB", MAX_HEAD_BYTES / 1024),
                0 => "it closed the connection without an answer".to_string(),
                _ => "it closed the connection in the middle of the response header".to_string(),
            })),
            Err(error) if http::is_timeout(&error) => None,
            Err(error) => Some(connection_lost(&error)),
        }
    }
}

fn connect_error(error: &Error) -> HttpAnswer {
    match error.kind() {
        ErrorKind::ConnectionRefused => HttpAnswer::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => connection_lost(error),
        _ => HttpAnswer::RequestFailed(
            format!("cannot connect: {}", http::error_text(error)),
            "use an address of this container in TAKUMI_HEALTH_URL, such as 127.0.0.1",
        ),
    }
}

fn connection_lost(error: &Error) -> HttpAnswer {
    HttpAnswer::Malformed(format!("the connection broke: {}", http::error_text(error)))
}

/// What has come so far is; `statuses` bytes of it were there at the last look.
fn parse_answer(bytes: &[u8], statuses: &mut usize) -> Option<HttpAnswer> {
    let before = std::mem::replace(statuses, bytes.len());
    // A head ends with a line: without a new one there is nothing new to see, however slowly it drips.
    if before > 0 && bytes.len() < MAX_HEAD_BYTES && !bytes[before..].contains(&b'\n') {
        return None;
    }
    let mut rest = bytes;
    loop {
        match http::parse_head(rest) {
            // A head of 1xx: the real one follows (RFC 9110, 15.2).
            Ok(Some(head)) if matches!(head.code, 100 | 102..=199) => rest = &rest[head.length..],
            Ok(head) => return head.map(|head| HttpAnswer::Code(head.code)),
            Err(why) => return Some(HttpAnswer::Malformed(why)),
        }
    }
}

fn format_request(url: &Url) -> String {
    let (target, authority) = (url.target(), url.authority());
    format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_what_every_server_understands() {
        let request = format_request(&Url::parse(b"http://a:8188/prompt").unwrap());
        assert!(request.starts_with("GET /prompt HTTP/1.1\r\nHost: a:8188\r\n"), "{request}");
        assert!(request.ends_with("Connection: close\r\n\r\n"), "{request}");
        assert!(
            httparse::Request::new(&mut [httparse::EMPTY_HEADER; 9]).parse(request.as_bytes()).unwrap().is_complete()
        );
    }

    fn observed(text: &str) -> Option<HttpAnswer> {
        parse_answer(text.as_bytes(), &mut 0)
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
            assert_eq!(observed(text), Some(HttpAnswer::Code(code)), "{text:?}");
        }
        for partial in ["", "HTTP/1.", "HTTP/1.1 200 OK\r\nServer: x\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP"] {
            assert_eq!(observed(partial), None, "{partial:?}");
        }
        assert!(matches!(observed("SSH-2.0-OpenSSH_9.2"), Some(HttpAnswer::Malformed(_))));
    }
}

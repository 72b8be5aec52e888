//! The `drain` rung: ComfyUI is asked to forget what waits and to interrupt what runs, and is asked again until it has nothing to do.
//!
//! In a process of its own, forked for it: it may wait, allocate and fail, and PID 1 learns of its end as of any child's. The server
//! is a stranger: what it sends costs at most [`MOST`] bytes a question and the time that is given.

use crate::http::{self, Url};
use crate::machine::hosts;
use crate::supervise::last_resort;
use crate::sys::clock::{self, Instant};
use crate::sys::{Errno, ProcessId, in_child, process};
use log::{info, warn};
use std::borrow::Cow;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How much of an answer is read: ComfyUI's has a few hundred bytes.
const MOST: usize = 16 * 1024;
/// More headers than any server sends.
const HEADERS: usize = 100;
/// How often the queue is looked at.
const PAUSE: Duration = Duration::from_millis(100);
/// After so many looks it is asked anew: a prompt may have come meanwhile, or a node have begun that did not see the interrupt.
const LOOKS: usize = 10;

/// Begins it in a child, which ends when ComfyUI is idle, cannot be asked, or `end` has come. Errors: those of fork(2).
pub fn begin(url: &[u8], end: Instant) -> Result<ProcessId, Errno> {
    in_child::leave(|| {
        // It is neither `init`, as the probe would take it by the name, nor does it serve COMMAND if it panics.
        let _ = process::set_name(c"init-drain");
        last_resort::serves_nobody();
        match drain(url, end) {
            Ok(()) => info!("ComfyUI is idle"),
            Err(why) => warn!("ComfyUI cannot be drained: {why} (compare TAKUMI_HEALTH_URL with where it listens)"),
        }
    })
}

/// Why it cannot go on.
type Why = Cow<'static, str>;

fn drain(url: &[u8], end: Instant) -> Result<(), Why> {
    let url = Url::parse(url).ok_or("TAKUMI_HEALTH_URL is no http://HOST[:PORT]/PATH")?;
    let address = hosts::address(url.host).ok_or("its host has no address in /etc/hosts")?;
    let server = Server { address: SocketAddr::new(address, url.port), authority: url.authority, end };
    loop {
        // First what waits: an interrupt alone would only begin the next prompt.
        server.ask("POST", "/queue", br#"{"clear": true}"#)?;
        server.ask("POST", "/interrupt", b"{}")?;
        for _ in 0..LOOKS {
            let answer = server.ask("GET", "/prompt", b"")?;
            // What runs counts too (`get_tasks_remaining` in ComfyUI's execution.py).
            match remaining(&answer).ok_or("GET /prompt is not answered as ComfyUI does")? {
                0 => return Ok(()),
                _ => clock::nap(PAUSE),
            }
        }
    }
}

struct Server<'a> {
    address: SocketAddr,
    authority: &'a [u8],
    end: Instant,
}

impl Server<'_> {
    /// The body of the answer to one question.
    fn ask(&self, method: &str, target: &str, body: &[u8]) -> Result<Vec<u8>, Why> {
        let mut stream = TcpStream::connect_timeout(&self.address, self.left()?).map_err(|error| self.said(&error))?;
        let answer = self.request(method, target, body);
        stream.set_write_timeout(Some(self.left()?)).map_err(|error| self.said(&error))?;
        stream.write_all(&answer).map_err(|error| self.said(&error))?;
        let mut bytes = vec![0; MOST];
        let mut filled = 0;
        loop {
            if let Some((head, length)) = whole(&bytes[..filled])? {
                return Ok(bytes[head..head + length].to_vec());
            }
            if filled == MOST {
                return Err(format!("its answer to {method} {target} is longer than {} KiB", MOST / 1024).into());
            }
            stream.set_read_timeout(Some(self.left()?)).map_err(|error| self.said(&error))?;
            match stream.read(&mut bytes[filled..]) {
                Ok(0) => return at_its_end(&bytes[..filled]),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.said(&error)),
            }
        }
    }

    /// In HTTP/1.0, so that no answer comes in chunks (RFC 9112, 6.1).
    fn request(&self, method: &str, target: &str, body: &[u8]) -> Vec<u8> {
        let length = body.len().to_string();
        let parts: [&[u8]; 12] = [
            method.as_bytes(),
            b" ",
            target.as_bytes(),
            b" HTTP/1.0\r\nHost: ",
            self.authority,
            b"\r\nUser-Agent: ",
            http::AGENT,
            b"\r\nContent-Type: application/json\r\nContent-Length: ",
            length.as_bytes(),
            b"\r\nConnection: close",
            b"\r\n\r\n",
            body,
        ];
        parts.concat()
    }

    fn left(&self) -> Result<Duration, Why> {
        let left = Instant::now().until(self.end);
        if left.is_zero() { Err("it was not idle in time".into()) } else { Ok(left) }
    }

    fn said(&self, error: &std::io::Error) -> Why {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => "it did not answer in time".into(),
            kind => error.raw_os_error().map_or_else(|| kind.to_string(), |errno| Errno(errno).to_string()).into(),
        }
    }
}

/// Where the body begins and how long it is, as soon as all of it is there.
fn whole(bytes: &[u8]) -> Result<Option<(usize, usize)>, Why> {
    let Some((begin, length)) = head(bytes)? else { return Ok(None) };
    Ok(length.filter(|length| bytes.len() - begin >= *length).map(|length| (begin, length)))
}

/// The server has closed the connection: an answer without a length ends there.
fn at_its_end(bytes: &[u8]) -> Result<Vec<u8>, Why> {
    match head(bytes)? {
        Some((begin, None)) => Ok(bytes[begin..].to_vec()),
        _ => Err("its answer breaks off".into()),
    }
}

/// Where the head of an answer ends, and the length of the body where it is told.
fn head(bytes: &[u8]) -> Result<Option<(usize, Option<usize>)>, Why> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let no_http = |error| format!("no HTTP comes from there ({error})");
    let httparse::Status::Complete(begin) = response.parse(bytes).map_err(no_http)? else { return Ok(None) };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("Content-Length"));
    let length = match length.map(|header| std::str::from_utf8(header.value).ok()?.trim().parse::<usize>().ok()) {
        None => None,
        Some(Some(length)) if length <= MOST => Some(length),
        Some(_) => return Err(format!("an answer is longer than {} KiB", MOST / 1024).into()),
    };
    Ok(Some((begin, length)))
}

fn remaining(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(body).ok()?.pointer("/exec_info/queue_remaining")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_answer_is_whole_when_its_length_is_there() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}rest";
        assert_eq!(whole(text), Ok(Some((38, 2))));
        for end in 0..39 {
            assert_eq!(whole(&text[..end]), Ok(None), "{end}");
        }
        let endless = b"HTTP/1.0 200 OK\r\n\r\n{}";
        assert_eq!(whole(endless), Ok(None));
        assert_eq!(at_its_end(endless), Ok(b"{}".to_vec()));
        assert!(at_its_end(&text[..30]).is_err() && at_its_end(&text[..38]).is_err());
    }

    #[test]
    fn what_is_no_answer_is_told_at_once() {
        for text in ["SSH-2.0-x", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "\0"] {
            assert!(whole(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_queue_is_what_comfyui_says_of_it() {
        assert_eq!(remaining(br#"{"exec_info": {"queue_remaining": 2}}"#), Some(2));
        assert_eq!(remaining(br#"{"exec_info":{"queue_remaining":0}}"#), Some(0));
        for other in ["", "{}", r#"{"exec_info": 0}"#, r#"{"exec_info": {"queue_remaining": -1}}"#, "[0]"] {
            assert_eq!(remaining(other.as_bytes()), None, "{other}");
        }
    }

    /// Serves each connection one answer, the last one for ever; returns the questions when nobody asks any more.
    fn serve(answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/prompt", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut questions = Vec::new();
            for body in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut question = [0; 1000];
                let count = stream.read(&mut question).unwrap();
                questions.push(String::from_utf8_lossy(&question[..count]).into_owned());
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
            questions
        });
        (url, server)
    }

    fn soon() -> Instant {
        Instant::now().after(Duration::from_secs(20))
    }

    #[test]
    fn it_clears_interrupts_and_waits_until_nothing_remains() {
        let (url, server) =
            serve(&["", "", r#"{"exec_info": {"queue_remaining": 1}}"#, r#"{"exec_info": {"queue_remaining": 0}}"#]);
        assert_eq!(drain(url.as_bytes(), soon()), Ok(()));
        let questions = server.join().unwrap();
        let asked: Vec<&str> = questions.iter().map(|question| question.lines().next().unwrap()).collect();
        assert_eq!(
            asked,
            ["POST /queue HTTP/1.0", "POST /interrupt HTTP/1.0", "GET /prompt HTTP/1.0", "GET /prompt HTTP/1.0"]
        );
        assert!(questions[0].ends_with("\r\n\r\n{\"clear\": true}"), "{}", questions[0]);
    }

    #[test]
    fn who_is_not_comfyui_is_not_waited_for() {
        let (url, server) = serve(&["", "", "<html>"]);
        assert!(drain(url.as_bytes(), soon()).unwrap_err().contains("as ComfyUI does"));
        server.join().unwrap();
        let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://{refused}/prompt");
        assert!(drain(url.as_bytes(), soon()).unwrap_err().contains("refused"));
        assert!(drain(b"http://nowhere.invalid/", soon()).unwrap_err().contains("/etc/hosts"));
    }

    #[test]
    fn a_silent_server_is_asked_and_left() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/prompt", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut question = String::new();
            // To the end, which comes when the other side closes.
            listener.accept().unwrap().0.read_to_string(&mut question).map(|_| question).unwrap()
        });
        let left = drain(url.as_bytes(), Instant::now().after(Duration::from_millis(200))).unwrap_err();
        assert!(left.contains("it did not answer in time"), "{left}");
        assert!(server.join().unwrap().starts_with("POST /queue"));
    }
}

//! The `drain` rung: ComfyUI is asked to forget what waits and to interrupt what runs, and is asked again until it has
//! nothing to do.
//!
//! In a process of its own, forked for it: it may wait, allocate and fail, and PID 1 learns of its end as of any
//! child's. The server is a stranger: what it sends costs at most [`MAX_BYTES`] bytes a question and the time that is given.

use crate::http::{self, ResponseHead, USER_AGENT, Url};
use crate::machine::hosts;
use crate::supervise::last_resort;
use crate::sys::clock::{self, Instant};
use crate::sys::{Errno, ProcessId, forked_task, process};
use log::{info, warn};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// How much of an answer is read: ComfyUI's has a few hundred bytes.
const MAX_BYTES: usize = 16 * 1024;
/// How often the queue is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// After so many looks it is asked anew: a prompt may have come meanwhile, or a node have begun that did not see the
/// interrupt.
const POLLS_PER_REQUEST: usize = 10;

/// Begins it in a child, which ends when ComfyUI is idle, cannot be asked, or `end` has come. Errors: those of fork(2).
pub fn spawn(url: &Url, deadline: Instant) -> Result<ProcessId, Errno> {
    forked_task::spawn_detached(|| {
        // It is neither `init`, as the probe would take it by the name, nor does it serve COMMAND if it panics.
        let _ = process::set_name(c"init-drain");
        last_resort::disarm();
        match drain(url, deadline) {
            Ok(()) => info!("ComfyUI is idle"),
            Err(why) => warn!("cannot drain ComfyUI: {why} (check that TAKUMI_HEALTH_URL is where it listens)"),
        }
    })
}

/// Why it cannot go on.
type Reason = Cow<'static, str>;

fn drain(url: &Url, deadline: Instant) -> Result<(), Reason> {
    let address = hosts::resolve(url.host().as_bytes()).ok_or("its host is not in /etc/hosts")?;
    let server = Server { address: SocketAddr::new(address, url.port), authority: url.authority(), deadline };
    loop {
        // First what waits: an interrupt alone would only begin the next prompt.
        server.send("POST", "/queue", r#"{"clear": true}"#)?;
        server.send("POST", "/interrupt", "{}")?;
        for _ in 0..POLLS_PER_REQUEST {
            let answer = server.send("GET", "/prompt", "")?;
            // What runs counts too (`get_tasks_remaining` in ComfyUI's execution.py).
            match queue_remaining(&answer).ok_or("GET /prompt is not answered as by ComfyUI")? {
                0 => return Ok(()),
                _ => clock::sleep(POLL_INTERVAL),
            }
        }
    }
}

struct Server<'a> {
    address: SocketAddr,
    authority: &'a str,
    deadline: Instant,
}

impl Server<'_> {
    /// The body of the answer to one question.
    fn send(&self, method: &str, target: &str, body: &str) -> Result<Vec<u8>, Reason> {
        if Instant::now().until(self.deadline).is_zero() {
            return Err("it was not idle in time".into());
        }
        let mut stream = http::connect(self.address, self.deadline).map_err(describe)?;
        http::send(&mut stream, self.format_request(method, target, body).as_bytes(), self.deadline)
            .map_err(describe)?;
        let (mut bytes, mut filled) = (vec![0; MAX_BYTES], 0);
        let parse = |bytes: &[u8]| body_range(bytes).transpose();
        match http::read_until(&mut stream, &mut bytes, &mut filled, self.deadline, parse).map_err(describe)? {
            Some(body) => Ok(bytes[body?].to_vec()),
            None if filled == MAX_BYTES => {
                Err(format!("its answer to {method} {target} is longer than {} KiB", MAX_BYTES / 1024).into())
            }
            None => body_at_eof(&bytes[..filled]),
        }
    }

    /// In HTTP/1.0, so that no answer comes in chunks (RFC 9112, 6.1).
    fn format_request(&self, method: &str, target: &str, body: &str) -> String {
        let (authority, length) = (self.authority, body.len());
        format!(
            "{method} {target} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: {USER_AGENT}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }
}

fn describe(error: std::io::Error) -> Reason {
    if http::is_timeout(&error) { "it did not answer in time".into() } else { http::error_text(&error).into() }
}

/// Where the body is, as soon as all of it is there.
fn body_range(bytes: &[u8]) -> Result<Option<Range<usize>>, Reason> {
    let Some(head) = http::parse_head(bytes)? else { return Ok(None) };
    match head.body {
        Some(length) if length > MAX_BYTES => Err(format!("an answer is longer than {} KiB", MAX_BYTES / 1024).into()),
        length => Ok(length.map(|length| head.length..head.length + length).filter(|body| body.end <= bytes.len())),
    }
}

/// The server has closed the connection: an answer without a length ends there.
fn body_at_eof(bytes: &[u8]) -> Result<Vec<u8>, Reason> {
    match http::parse_head(bytes)? {
        Some(ResponseHead { length, body: None, .. }) => Ok(bytes[length..].to_vec()),
        _ => Err("its answer is cut off".into()),
    }
}

fn queue_remaining(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(body).ok()?.pointer("/exec_info/queue_remaining")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    #[test]
    fn an_answer_is_whole_when_its_length_is_there() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}rest";
        assert_eq!(body_range(text), Ok(Some(38..40)));
        for end in 0..39 {
            assert_eq!(body_range(&text[..end]), Ok(None), "{end}");
        }
        let endless = b"HTTP/1.0 200 OK\r\n\r\n{}";
        assert_eq!(body_range(endless), Ok(None));
        assert_eq!(body_at_eof(endless), Ok(b"{}".to_vec()));
        assert!(body_at_eof(&text[..30]).is_err() && body_at_eof(&text[..38]).is_err());
    }

    #[test]
    fn what_is_no_answer_is_told_at_once() {
        for text in ["SSH-2.0-x", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "\0"] {
            assert!(body_range(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_queue_is_what_comfyui_says_of_it() {
        assert_eq!(queue_remaining(br#"{"exec_info": {"queue_remaining": 2}}"#), Some(2));
        assert_eq!(queue_remaining(br#"{"exec_info":{"queue_remaining":0}}"#), Some(0));
        for other in ["", "{}", r#"{"exec_info": 0}"#, r#"{"exec_info": {"queue_remaining": -1}}"#, "[0]"] {
            assert_eq!(queue_remaining(other.as_bytes()), None, "{other}");
        }
    }

    fn url(authority: &str) -> Url {
        Url::parse(format!("http://{authority}/prompt").as_bytes()).unwrap()
    }

    /// Serves each connection one answer, the last one for ever; returns the questions when nobody asks any more.
    fn serve(answers: &'static [&'static str]) -> (Url, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = url(&listener.local_addr().unwrap().to_string());
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
        assert_eq!(drain(&url, soon()), Ok(()));
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
        assert!(drain(&url, soon()).unwrap_err().contains("as by ComfyUI"));
        server.join().unwrap();
        let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = self::url(&refused.to_string());
        assert!(drain(&url, soon()).unwrap_err().contains("refused"));
        assert!(drain(&self::url("nowhere.invalid"), soon()).unwrap_err().contains("/etc/hosts"));
    }

    #[test]
    fn a_silent_server_is_asked_and_left() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = url(&listener.local_addr().unwrap().to_string());
        let server = std::thread::spawn(move || {
            let mut question = String::new();
            // To the end, which comes when the other side closes.
            listener.accept().unwrap().0.read_to_string(&mut question).map(|_| question).unwrap()
        });
        let left = drain(&url, Instant::now().after(Duration::from_millis(200))).unwrap_err();
        assert!(left.contains("it did not answer in time"), "{left}");
        assert!(server.join().unwrap().starts_with("POST /queue"));
    }
}

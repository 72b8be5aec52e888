//! Servers of a test's own on loopback: good ones, and every kind of bad one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What a server does with a connection, once the whole request has come. It returns when it wants to close.
type Behaviour = fn(&mut Connection);

/// A server; it ends with the value.
pub struct Server {
    port: u16,
    sent: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

/// One connection to it.
pub struct Connection {
    stream: TcpStream,
    sent: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    /// What was asked.
    pub request: String,
}

impl Server {
    pub fn new(behaviour: Behaviour) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server { port, sent: Arc::default(), over: Arc::default() };
        let (sent, over) = (server.sent.clone(), server.over.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let mut connection = Connection {
                    stream: stream.unwrap(),
                    sent: sent.clone(),
                    over: over.clone(),
                    request: String::new(),
                };
                std::thread::spawn(move || {
                    connection.read_request();
                    behaviour(&mut connection);
                });
            }
        });
        server
    }

    /// One that answers a GET with this head.
    pub fn good() -> Server {
        Server::new(|connection| {
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        })
    }

    /// One that takes the question and says nothing.
    pub fn silent() -> Server {
        Server::new(Connection::stay)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/prompt", self.port)
    }

    /// Bytes that somebody took.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Connection {
    fn read_request(&mut self) {
        let mut byte = [0];
        while !self.request.ends_with("\r\n\r\n") && matches!(self.stream.read(&mut byte), Ok(1)) {
            self.request.push(char::from(byte[0]));
        }
    }

    /// Whether it was sent.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = self.stream.write_all(bytes).is_ok();
        if sent {
            self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        sent && !self.over.load(Ordering::Relaxed)
    }

    /// Keeps it open until the client goes.
    pub fn stay(&mut self) {
        let _ = self.stream.read(&mut [0]);
    }

    /// Sends this again and again, with a pause between, until the client goes.
    pub fn drip(&mut self, bytes: &[u8], pause: Duration) {
        while self.send(bytes) {
            std::thread::sleep(pause);
        }
    }
}

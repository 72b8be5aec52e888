//! What a program writes, collected while it runs, so that no pipe fills up and any part can be waited for.

use super::check::patience;
use std::io::{PipeReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    ended: bool,
}

pub struct Stream {
    collected: Arc<(Mutex<Collected>, Condvar)>,
    /// Where the next [`Stream::line`] begins.
    taken: usize,
}

impl Stream {
    pub fn new(mut pipe: PipeReader) -> Self {
        let collected = Arc::new((Mutex::new(Collected::default()), Condvar::new()));
        let theirs = Arc::clone(&collected);
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            loop {
                let count = pipe.read(&mut buffer).unwrap_or(0);
                let mut collected = theirs.0.lock().unwrap();
                collected.bytes.extend_from_slice(&buffer[..count]);
                collected.ended = count == 0;
                theirs.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Stream { collected, taken: 0 }
    }

    /// The next line; nothing at the end or when patience ends.
    pub fn line(&mut self) -> Option<String> {
        let taken = self.taken;
        let end = |collected: &Collected| collected.bytes[taken..].iter().position(|byte| *byte == b'\n');
        let collected = self.wait(|collected| collected.ended || end(collected).is_some());
        let line = collected.bytes[taken..][..end(&collected)?].to_vec();
        drop(collected);
        self.taken += line.len() + 1;
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// Everything, once the last writer is gone.
    pub fn all(&self) -> Vec<u8> {
        let collected = self.wait(|collected| collected.ended);
        assert!(collected.ended, "the output has no end: {:?}", String::from_utf8_lossy(&collected.bytes));
        collected.bytes.clone()
    }

    /// What has come so far.
    pub fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.collected.0.lock().unwrap().bytes).into_owned()
    }

    fn wait(&self, enough: impl Fn(&Collected) -> bool) -> std::sync::MutexGuard<'_, Collected> {
        let deadline = Instant::now() + patience();
        let (lock, changed) = &*self.collected;
        let mut collected = lock.lock().unwrap();
        while !enough(&collected) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            collected = changed.wait_timeout(collected, left).unwrap().0;
        }
        collected
    }
}

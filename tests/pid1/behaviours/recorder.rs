//! COMMAND that records: `tests/programs/signal_probe.rs`, and how a test listens to it.

use super::support::{Program, Running, Start, eventually, patience};
use std::path::PathBuf;
use takumi_test::program::example;
use takumi_test::signal::number;

/// The signal probe inside.
pub const RECORDER: &str = "/run/programs/signal_probe";

/// A start whose COMMAND writes a line for every signal that reaches it and dies of none but SIGKILL.
pub fn recording(program: Program, options: &str) -> Start {
    with_recorder(program).command([RECORDER, "record"]).command(options.split_whitespace())
}

/// A start that finds the signal probe at [`RECORDER`].
pub fn with_recorder(program: Program) -> Start {
    Start::new(program).bind(example("signal_probe"), RECORDER)
}

/// What the recorder wrote so far, wherever it writes.
pub trait Record {
    fn text(&self) -> String;

    /// Waits until `role` says `words`.
    fn await_said(&self, role: &str, words: &str) -> String {
        let start = format!("{role} {words}");
        let line = || self.text().lines().find(|line| line.starts_with(&start)).map(str::to_owned);
        let deadline = std::time::Instant::now() + patience();
        loop {
            if let Some(line) = line() {
                return line;
            }
            assert!(std::time::Instant::now() < deadline, "{role} never said {words:?}, only {:.2000}", self.text());
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Waits until the signal has reached `role`; returns the line.
    fn await_heard(&self, role: &str, signal: &str) -> String {
        self.await_said(role, &format!("signal {} ", number(signal)))
    }

    /// How often the signal has reached `role` so far.
    fn heard(&self, role: &str, signal: &str) -> usize {
        let start = format!("{role} signal {} ", number(signal));
        self.text().lines().filter(|line| line.starts_with(&start)).count()
    }

    /// The pid that `role` gave when it was ready, as it is inside.
    fn inner_pid(&self, role: &str) -> i32 {
        let line = self.await_said(role, "ready ");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

impl Record for Running {
    fn text(&self) -> String {
        self.output()
    }
}

/// The record of `--to FILE`.
impl Record for PathBuf {
    fn text(&self) -> String {
        std::fs::read_to_string(self).unwrap_or_default()
    }
}

/// A record that is over.
impl Record for String {
    fn text(&self) -> String {
        self.clone()
    }
}

/// Sent straight to `role` and waited for: nothing that reached it before is still on its way, since the kernel hands
/// out the lowest number first.
pub fn flush(running: &Running, record: &impl Record, role: &str) {
    let before = record.heard(role, "64");
    running.inside(record.inner_pid(role)).signal(64);
    eventually("an answer to the last signal", || (record.heard(role, "64") > before).then_some(()));
}

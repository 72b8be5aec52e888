//! What `init` says, one line a message on stderr, through the `log` crate. Not env_logger: it waits for whoever reads
//! stderr, behind a full pipe for ever, and PID 1 may not. Nor may it allocate once COMMAND runs (an allocation that
//! fails would end it), which env_logger does for its first line and for each that is the longest so far.

use crate::sys::{Errno, io};
use log::{Level, LevelFilter, Metadata, Record};
use serde::Serialize;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// TAKUMI_LOG_FORMAT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// `init: message`
    #[default]
    Text,
    /// One object a line: `{"level":"info","message":"…"}`
    Json,
}

struct StderrLogger;

static JSON: AtomicBool = AtomicBool::new(false);
static NEVER_WAIT: AtomicBool = AtomicBool::new(false);

/// Begins to log, at `warn` and as text until [`configure`] says otherwise.
pub fn install() {
    // A second call (tests) is refused and changes nothing.
    let _ = log::set_logger(&StderrLogger);
    log::set_max_level(LevelFilter::Warn);
}

/// From now on at this level and in this format.
pub fn configure(level: LevelFilter, format: Format) {
    log::set_max_level(level);
    JSON.store(format == Format::Json, Relaxed);
}

/// From now on a line that stderr does not take at once is lost: PID 1 has a COMMAND to serve.
pub fn never_wait() {
    NEVER_WAIT.store(true, Relaxed);
}

/// Whether a line is to be an object.
pub fn is_json() -> bool {
    JSON.load(Relaxed)
}

/// Whole lines that are finished already, in as few writes as a pipe takes in one piece.
pub fn write_lines(lines: impl Iterator<Item = String>) {
    let mut block = String::with_capacity(BLOCK_BYTES);
    for line in lines {
        if !block.is_empty() && block.len() + line.len() >= BLOCK_BYTES {
            write(block.as_bytes());
            block.clear();
        }
        block += &line;
        block.push('\n');
    }
    write(block.as_bytes());
}

/// `PIPE_BUF`.
const BLOCK_BYTES: usize = 4096;

fn write(bytes: &[u8]) {
    // Before COMMAND runs a line is worth a second: it may be why there will be none.
    let timeout = if NEVER_WAIT.load(Relaxed) { Duration::ZERO } else { Duration::from_secs(1) };
    if !bytes.is_empty() && io::write_stderr(bytes, timeout) == Err(Errno(libc::EAGAIN)) {
        // Who did not read for a second will not read the next line either.
        never_wait();
    }
}

impl log::Log for StderrLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut line = LineBuffer::new();
        let written = match JSON.load(Relaxed) {
            true => write_json(&mut line, record),
            false => write_text(&mut line, record),
        };
        // An error is a message too long for a line: what fits is said.
        let _ = written;
        write(line.finish());
    }

    fn flush(&self) {}
}

fn write_text(line: &mut LineBuffer, record: &Record<'_>) -> fmt::Result {
    line.write_str("init: ")?;
    if record.level() != Level::Info {
        write!(line, "{}: ", level_name(record.level()))?;
    }
    line.write_fmt(*record.args())
}

fn write_json(line: &mut LineBuffer, record: &Record<'_>) -> fmt::Result {
    let mut message = LineBuffer::new();
    // Cut before it is quoted, so that the object is whole; half of the room is left for escapes.
    message.room = LINE_BYTES / 2 - 64;
    let _ = message.write_fmt(*record.args());
    let object = JsonLine { level: level_name(record.level()), message: message.text() };
    serde_json::to_writer(line, &object).map_err(|_| fmt::Error)
}

#[derive(Serialize)]
struct JsonLine<'a> {
    level: &'static str,
    message: &'a str,
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// Below PIPE_BUF: a line reaches a shared pipe in one piece.
const LINE_BYTES: usize = 2048;

struct LineBuffer {
    bytes: [u8; LINE_BYTES],
    filled: usize,
    room: usize,
}

impl LineBuffer {
    fn new() -> Self {
        LineBuffer { bytes: [0; LINE_BYTES], filled: 0, room: LINE_BYTES - 1 }
    }

    fn text(&self) -> &str {
        self.bytes[..self.filled].utf8_chunks().next().map_or("", |chunk| chunk.valid())
    }

    fn finish(&mut self) -> &[u8] {
        self.bytes[self.filled] = b'\n';
        &self.bytes[..=self.filled]
    }
}

impl fmt::Write for LineBuffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let count = text.floor_char_boundary(self.room - self.filled);
        self.bytes[self.filled..self.filled + count].copy_from_slice(&text.as_bytes()[..count]);
        self.filled += count;
        if count == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

impl std::io::Write for &mut LineBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = bytes.len().min(self.room - self.filled);
        self.bytes[self.filled..self.filled + count].copy_from_slice(&bytes[..count]);
        self.filled += count;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(
        write: fn(&mut LineBuffer, &Record<'_>) -> fmt::Result,
        level: Level,
        message: fmt::Arguments<'_>,
    ) -> String {
        let mut line = LineBuffer::new();
        let _ = write(&mut line, &Record::builder().level(level).args(message).build());
        String::from_utf8(line.finish().to_vec()).unwrap()
    }

    #[test]
    fn a_line_begins_with_our_name_and_its_level() {
        assert_eq!(said(write_text, Level::Warn, format_args!("a {}", 1)), "init: warn: a 1\n");
        assert_eq!(said(write_text, Level::Info, format_args!("b")), "init: b\n");
    }

    #[test]
    fn json_is_one_valid_object_whatever_the_message() {
        let message = "\"\n".repeat(5000);
        for message in ["plain", "quo\"te\\ and \n line", &message] {
            let line = said(write_json, Level::Error, format_args!("{message}"));
            assert_eq!(line.matches('\n').count(), 1);
            let object: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(object["level"], "error");
            assert!(message.starts_with(object["message"].as_str().unwrap()));
            assert!(!object["message"].as_str().unwrap().is_empty());
        }
    }

    #[test]
    fn a_message_too_long_for_a_line_is_cut_between_characters() {
        let long = "é".repeat(LINE_BYTES);
        let line = said(write_text, Level::Error, format_args!("{long}"));
        assert!(line.len() <= LINE_BYTES && line.ends_with('\n'));
    }
}

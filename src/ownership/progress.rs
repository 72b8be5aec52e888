//! A long walk says that it lives, and listens for being told to stop.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use super::outcome::Tally;
use super::path::ShownPath;

/// A look at the clock costs as much as a fiftieth of an entry; on a cold disk so many entries take a tenth of a
/// second.
const ENTRIES_PER_TICK: u32 = 16;
/// How often the caller is asked whether to go on: a stop has to end the walk within a second.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Walks that are over by then say nothing.
const FIRST_REPORT_AFTER: Duration = Duration::from_secs(2);
const LOG_INTERVAL: Duration = Duration::from_secs(5);
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

pub(super) struct Progress<'a> {
    volume: ShownPath,
    interrupted: &'a mut dyn FnMut() -> bool,
    started: Instant,
    last_poll: Instant,
    last_report: Option<Instant>,
    is_terminal: bool,
    entries: u32,
}

impl<'a> Progress<'a> {
    pub(super) fn new(volume: &Path, interrupted: &'a mut dyn FnMut() -> bool) -> Self {
        let now = Instant::now();
        let is_terminal = std::io::stderr().is_terminal() && log::log_enabled!(log::Level::Info);
        let volume = ShownPath::of(volume);
        Self { volume, interrupted, started: now, last_poll: now, last_report: None, is_terminal, entries: 0 }
    }

    /// Counts one entry. The walk is to end where the caller has been told to stop.
    pub(super) fn tick(&mut self, tally: &Tally) -> ControlFlow<()> {
        self.entries += 1;
        if self.entries < ENTRIES_PER_TICK {
            return ControlFlow::Continue(());
        }
        self.entries = 0;
        let now = Instant::now();
        if now.duration_since(self.last_poll) < POLL_INTERVAL {
            return ControlFlow::Continue(());
        }
        self.last_poll = now;
        if (self.interrupted)() {
            return ControlFlow::Break(());
        }
        let since_told = now.duration_since(self.last_report.unwrap_or(self.started));
        let pause = match self.last_report {
            None => FIRST_REPORT_AFTER,
            Some(_) if self.is_terminal => REDRAW_INTERVAL,
            Some(_) => LOG_INTERVAL,
        };
        if since_told >= pause {
            self.last_report = Some(now);
            self.report(tally, now.duration_since(self.started));
        }
        ControlFlow::Continue(())
    }

    fn report(&self, tally: &Tally, elapsed: Duration) {
        let (volume, seen, changed) = (&self.volume, tally.seen, tally.changed);
        let rate = u128::from(seen) * 1000 / elapsed.as_millis().max(1);
        if self.is_terminal {
            // How many there will be, nobody knows: the mark wanders, one place a drawing.
            let place = (elapsed.as_millis() / REDRAW_INTERVAL.as_millis() % 20) as usize;
            let bar = format_args!("{:place$}<=>{:rest$}", "", "", rest = 20 - place).to_string();
            let _ = write!(std::io::stderr(), "\r\x1b[K{volume} [{bar}] {seen} entries, {changed} changed, {rate}/s");
        } else {
            log::info!("volume {volume}: {seen} entries checked, {changed} changed, {rate} a second");
        }
    }
}

/// However the walk ends, its line is gone.
impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.is_terminal && self.last_report.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

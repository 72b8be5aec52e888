//! What follows from what, without a kernel: state × event → action.

use crate::settings::{Rewrite, Settings};
use crate::sys::clock::Instant;
use crate::sys::wait::WaitStatus;
use crate::sys::{Signal, SignalSet};
use std::time::Duration;

/// What the settings say of COMMAND's life.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// TAKUMI_SIGNALS.
    pub rewrites: Vec<Rewrite>,
    /// TAKUMI_STOP: what to send, and how long the next rung waits. Empty: SIGTERM is a signal like any other.
    pub rungs: Vec<(Signal, Duration)>,
    /// TAKUMI_LEFTOVER_GRACE.
    pub leftover_grace: Duration,
    /// TAKUMI_EXIT_OK.
    pub exit_ok: Vec<u8>,
    /// Whether a stop of COMMAND by the keyboard stops `init` too, for a shell's job control: never for PID 1.
    pub has_job_control: bool,
}

impl Rules {
    /// The rules of these settings. A `drain` rung is not built: it is passed over.
    pub fn of(settings: &Settings, is_pid_1: bool) -> Self {
        Rules {
            rewrites: settings.signals.clone(),
            rungs: settings.stop.iter().filter_map(|rung| Some((rung.signal?, rung.time))).collect(),
            leftover_grace: settings.leftover_grace,
            exit_ok: settings.exit_ok.clone(),
            has_job_control: !is_pid_1,
        }
    }
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A signal came.
    Signal(Signal),
    /// The deadline that [`Lifecycle::deadline`] named has passed.
    Deadline,
    /// COMMAND was stopped by this signal.
    Stopped(Signal),
    /// COMMAND ended.
    Ended(WaitStatus),
    /// No leftover is there any more.
    NobodyLeft,
}

/// What to do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Nothing.
    None,
    /// Hand this signal to COMMAND (within the scope).
    Send(Signal),
    /// Stop `init` itself, as the shell that started it expects.
    Suspend,
    /// Tell the leftovers to end.
    SweepTerm,
    /// End the leftovers.
    SweepKill,
    /// End with this code.
    Exit(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// COMMAND runs.
    Running,
    /// COMMAND runs and was told to stop: the rung that was sent last, and when the next follows (never after SIGKILL).
    Stopping(usize, Option<Instant>),
    /// COMMAND ended with this code; its leftovers have until then.
    Leftovers(u8, Instant),
    /// They were killed; so long they are reaped.
    Killed(u8, Instant),
}

/// How long killed leftovers are reaped. A process in the kernel's deepest sleep does not die: the kernel takes it with the namespace.
const REAPING: Duration = Duration::from_millis(500);

/// Signals that ask for an end: a death that follows one of them is no surprise.
const STOP_SIGNALS: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];

/// Where COMMAND's life stands.
#[derive(Debug)]
pub struct Lifecycle {
    rules: Rules,
    phase: Phase,
    asked_to_stop: SignalSet,
    suspend_asked: bool,
    has_terminal: bool,
}

impl Lifecycle {
    /// COMMAND has begun; `has_terminal`: it is the foreground job of one.
    pub fn new(rules: Rules, has_terminal: bool) -> Self {
        Lifecycle { rules, phase: Phase::Running, asked_to_stop: SignalSet::EMPTY, suspend_asked: false, has_terminal }
    }

    /// When [`Event::Deadline`] is due, if ever.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => None,
            Phase::Stopping(_, next) => next,
            Phase::Leftovers(_, until) | Phase::Killed(_, until) => Some(until),
        }
    }

    /// Whether COMMAND is still there.
    pub fn command_runs(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping(..))
    }

    /// Whether COMMAND had been asked to end.
    pub fn stop_was_asked(&self) -> bool {
        self.asked_to_stop != SignalSet::EMPTY
    }

    /// Whether the ladder came to SIGKILL.
    pub fn ladder_killed(&self) -> bool {
        matches!(self.phase, Phase::Stopping(_, None))
    }

    /// One step of it.
    pub fn step(&mut self, event: Event, now: Instant) -> Action {
        match (self.phase, event) {
            (Phase::Running | Phase::Stopping(..), Event::Signal(signal)) => self.on_signal(signal, now),
            (Phase::Stopping(rung, _), Event::Deadline) => self.climb(rung + 1, now),
            (Phase::Running | Phase::Stopping(..), Event::Stopped(signal)) => self.on_stop(signal),
            (Phase::Running | Phase::Stopping(..), Event::Ended(status)) => {
                let code = status.code();
                let code = if self.rules.exit_ok.contains(&code) { 0 } else { code };
                self.phase = Phase::Leftovers(code, now.after(self.rules.leftover_grace));
                Action::SweepTerm
            }
            // Whoever asks again while the leftovers have their grace does not want to wait for it.
            (Phase::Leftovers(code, _), Event::Signal(signal)) if STOP_SIGNALS.contains(&signal) => {
                self.kill_leftovers(code, now)
            }
            (Phase::Leftovers(code, _), Event::Deadline) => self.kill_leftovers(code, now),
            (Phase::Leftovers(code, _) | Phase::Killed(code, _), Event::NobodyLeft) => Action::Exit(code),
            (Phase::Killed(code, _), Event::Deadline) => Action::Exit(code),
            _ => Action::None,
        }
    }

    fn on_signal(&mut self, signal: Signal, now: Instant) -> Action {
        let signal = match self.rules.rewrites.iter().find(|rewrite| rewrite.from == signal) {
            Some(Rewrite { to: None, .. }) => return Action::None,
            Some(Rewrite { to: Some(to), .. }) => *to,
            None => signal,
        };
        if STOP_SIGNALS.contains(&signal) {
            self.asked_to_stop = SignalSet::of(&[signal]);
        }
        match signal {
            Signal::TSTP => self.suspend_asked = true,
            Signal::CONT => self.suspend_asked = false,
            _ => {}
        }
        if signal == Signal::TERM && !self.rules.rungs.is_empty() {
            let rung = if let Phase::Stopping(rung, _) = self.phase { rung + 1 } else { 0 };
            return self.climb(rung, now);
        }
        Action::Send(signal)
    }

    fn climb(&mut self, rung: usize, now: Instant) -> Action {
        match self.rules.rungs.get(rung) {
            Some(&(signal, time)) => {
                self.phase = Phase::Stopping(rung, Some(now.after(time)));
                Action::Send(signal)
            }
            None => {
                self.phase = Phase::Stopping(self.rules.rungs.len(), None);
                Action::Send(Signal::KILL)
            }
        }
    }

    fn on_stop(&mut self, signal: Signal) -> Action {
        let by_keyboard = [Signal::TSTP, Signal::TTIN, Signal::TTOU].contains(&signal);
        // A COMMAND that somebody stopped with SIGSTOP will be continued by them; a stopped `init` would not hear of its end.
        if self.rules.has_job_control && (self.suspend_asked || (by_keyboard && self.has_terminal)) {
            self.suspend_asked = false;
            Action::Suspend
        } else {
            Action::None
        }
    }

    fn kill_leftovers(&mut self, code: u8, now: Instant) -> Action {
        self.phase = Phase::Killed(code, now.after(REAPING));
        Action::SweepKill
    }
}

#[cfg(test)]
mod tests;

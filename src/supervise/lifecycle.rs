//! What follows from what, without a kernel: state × event → action.

use crate::settings::{Rewrite, Rung, Settings};
use crate::sys::clock::Instant;
use crate::sys::wait::WaitStatus;
use crate::sys::{Signal, SignalSet};
use std::time::Duration;

/// What the settings say of COMMAND's life.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// TAKUMI_SIGNALS.
    pub rewrites: Vec<Rewrite>,
    /// TAKUMI_STOP. Empty: SIGTERM is a signal like any other.
    pub rungs: Vec<Rung>,
    /// TAKUMI_LEFTOVER_GRACE.
    pub leftover_grace: Duration,
    /// TAKUMI_EXIT_OK.
    pub exit_ok: Vec<u8>,
    /// Whether a stop of COMMAND by the keyboard stops `init` too, for a shell's job control: never for PID 1.
    pub has_job_control: bool,
}

impl Rules {
    /// The rules of these settings.
    pub fn of(settings: &Settings, is_pid_1: bool) -> Self {
        Rules {
            rewrites: settings.signals.clone(),
            rungs: settings.stop.clone(),
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
    /// COMMAND ended with 0 and left the wish to be started again.
    AskedForReboot,
    /// The drain came to its end: ComfyUI is idle, or cannot be asked.
    Drained,
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
    /// Ask ComfyUI to clear its queue and to interrupt, until [`Lifecycle::deadline`].
    Drain,
    /// Stop `init` itself, as the shell that started it expects.
    Suspend,
    /// Tell the leftovers to end.
    SweepTerm,
    /// End the leftovers.
    SweepKill,
    /// Start COMMAND again.
    StartAgain,
    /// End with this code.
    Exit(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// COMMAND runs.
    Running,
    /// COMMAND runs and was told to stop: the rung that was sent last, and when the next follows (never after SIGKILL).
    Stopping(usize, Option<Instant>),
    /// COMMAND ended; its leftovers have until then.
    Leftovers(Next, Instant),
    /// They were killed; so long they are reaped.
    Killed(Next, Instant),
}

/// What comes when nobody is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Exit(u8),
    StartAgain,
}

impl Next {
    /// Whoever asks for an end in the middle of a new start gets it.
    fn without_start(self) -> Self {
        if self == Next::StartAgain { Next::Exit(0) } else { self }
    }

    fn action(self) -> Action {
        match self {
            Next::Exit(code) => Action::Exit(code),
            Next::StartAgain => Action::StartAgain,
        }
    }
}

/// COMMAND that wants to be started again more often than this within [`REBOOTS_TIME`] is in a loop, and ends instead.
const REBOOTS: usize = 5;
const REBOOTS_TIME: Duration = Duration::from_secs(60);

/// How long killed leftovers are reaped. A process in the kernel's deepest sleep does not die: the kernel takes it with
/// the namespace.
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
    /// When COMMAND was started again, the last times.
    reboots: [Option<Instant>; REBOOTS],
}

impl Lifecycle {
    /// COMMAND has begun; `has_terminal`: it is the foreground job of one.
    pub fn new(rules: Rules, has_terminal: bool) -> Self {
        Lifecycle {
            rules,
            phase: Phase::Running,
            asked_to_stop: SignalSet::EMPTY,
            suspend_asked: false,
            has_terminal,
            reboots: [None; REBOOTS],
        }
    }

    /// COMMAND has begun again, after [`Action::StartAgain`].
    pub fn begins_again(&mut self, has_terminal: bool) {
        self.phase = Phase::Running;
        self.suspend_asked = false;
        self.has_terminal = has_terminal;
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

    /// Whether the rung that was begun last is a drain.
    pub fn is_draining(&self) -> bool {
        let Phase::Stopping(rung, _) = self.phase else { return false };
        self.rules.rungs.get(rung).is_some_and(|rung| rung.signal.is_none())
    }

    /// Whether COMMAND ended to be started again.
    pub fn starts_again(&self) -> bool {
        matches!(self.phase, Phase::Leftovers(Next::StartAgain, _) | Phase::Killed(Next::StartAgain, _))
    }

    /// One step of it.
    pub fn step(&mut self, event: Event, now: Instant) -> Action {
        match (self.phase, event) {
            (Phase::Running | Phase::Stopping(..), Event::Signal(signal)) => self.on_signal(signal, now),
            (Phase::Stopping(rung, _), Event::Deadline) => self.climb(rung + 1, now),
            (Phase::Running | Phase::Stopping(..), Event::Stopped(signal)) => self.on_stop(signal),
            (Phase::Stopping(rung, _), Event::Drained) if self.is_draining() => self.climb(rung + 1, now),
            (Phase::Running | Phase::Stopping(..), Event::AskedForReboot) => self.on_wish(now),
            (Phase::Running | Phase::Stopping(..), Event::Ended(status)) => {
                let code = status.exit_code();
                let code = if self.rules.exit_ok.contains(&code) { 0 } else { code };
                self.leave_to_leftovers(Next::Exit(code), now)
            }
            // Whoever asks again while the leftovers have their grace does not want to wait for it.
            (Phase::Leftovers(next, _), Event::Signal(signal)) if STOP_SIGNALS.contains(&signal) => {
                self.kill_leftovers(next.without_start(), now)
            }
            (Phase::Killed(next, until), Event::Signal(signal)) if STOP_SIGNALS.contains(&signal) => {
                self.phase = Phase::Killed(next.without_start(), until);
                Action::None
            }
            (Phase::Leftovers(next, _), Event::Deadline) => self.kill_leftovers(next, now),
            (Phase::Leftovers(next, _) | Phase::Killed(next, _), Event::NobodyLeft) => next.action(),
            (Phase::Killed(next, _), Event::Deadline) => next.action(),
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
            Some(&Rung { signal, time }) => {
                self.phase = Phase::Stopping(rung, Some(now.after(time)));
                signal.map_or(Action::Drain, Action::Send)
            }
            None => {
                self.phase = Phase::Stopping(self.rules.rungs.len(), None);
                Action::Send(Signal::KILL)
            }
        }
    }

    fn on_stop(&mut self, signal: Signal) -> Action {
        let by_keyboard = [Signal::TSTP, Signal::TTIN, Signal::TTOU].contains(&signal);
        // A COMMAND that somebody stopped with SIGSTOP will be continued by them; a stopped `init` would not hear of
        // its end.
        if self.rules.has_job_control && (self.suspend_asked || (by_keyboard && self.has_terminal)) {
            self.suspend_asked = false;
            Action::Suspend
        } else {
            Action::None
        }
    }

    /// COMMAND's wish counts unless somebody else wants an end of it, or it has had its wish too often.
    fn on_wish(&mut self, now: Instant) -> Action {
        let spent = self.reboots.iter().all(|time| time.is_some_and(|time| time.until(now) < REBOOTS_TIME));
        let stops = matches!(self.phase, Phase::Stopping(..)) || self.stop_was_asked();
        if spent || stops {
            return self.leave_to_leftovers(Next::Exit(0), now);
        }
        self.reboots.rotate_left(1);
        self.reboots[REBOOTS - 1] = Some(now);
        self.leave_to_leftovers(Next::StartAgain, now)
    }

    fn leave_to_leftovers(&mut self, next: Next, now: Instant) -> Action {
        self.phase = Phase::Leftovers(next, now.after(self.rules.leftover_grace));
        Action::SweepTerm
    }

    fn kill_leftovers(&mut self, next: Next, now: Instant) -> Action {
        self.phase = Phase::Killed(next, now.after(REAPING));
        Action::SweepKill
    }
}

#[cfg(test)]
mod tests;

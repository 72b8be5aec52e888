//! What follows from what, without a kernel: state × event → action.

use crate::settings::{Settings, SignalRewrite, StopStep};
use crate::sys::clock::Instant;
use crate::sys::wait::WaitStatus;
use crate::sys::{Signal, SignalSet};
use std::time::Duration;

/// What the settings say of COMMAND's life.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// TAKUMI_SIGNALS.
    pub rewrites: Vec<SignalRewrite>,
    /// TAKUMI_STOP. Empty: SIGTERM is a signal like any other.
    pub rungs: Vec<StopStep>,
    /// TAKUMI_LEFTOVER_GRACE.
    pub leftover_grace: Duration,
    /// TAKUMI_EXIT_OK.
    pub exit_ok: Vec<u8>,
    /// Whether a stop of COMMAND by the keyboard stops `init` too, for a shell's job control: never for PID 1.
    pub has_job_control: bool,
}

impl Rules {
    /// The rules of these settings.
    pub fn from_settings(settings: &Settings, is_pid_1: bool) -> Self {
        Rules {
            rewrites: settings.signals.clone(),
            rungs: settings.stop.clone(),
            leftover_grace: settings.leftover_grace,
            exit_ok: settings.exit_ok.clone(),
            has_job_control: !is_pid_1,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    Signal(Signal),
    /// The deadline that [`Lifecycle::deadline`] named has passed.
    Deadline,
    /// COMMAND was stopped by this signal.
    Stopped(Signal),
    Ended(WaitStatus),
    /// COMMAND ended with 0 and asked to be started again.
    RestartRequested,
    /// The drain came to its end: ComfyUI is idle, or cannot be asked.
    Drained,
    /// No leftover is there any more.
    NoLeftovers,
}

/// What to do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    None,
    /// Hand this signal to COMMAND (within the scope).
    Send(Signal),
    /// Ask ComfyUI to clear its queue and to interrupt, until [`Lifecycle::deadline`].
    Drain,
    /// Stop `init` itself, as the shell that started it expects.
    Suspend,
    /// Tell the leftovers to end.
    TerminateLeftovers,
    KillLeftovers,
    Restart,
    /// End with this code.
    Exit(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Running,
    /// COMMAND runs and was asked to stop: the rung that was sent last, and when the next follows (never after SIGKILL).
    Stopping(usize, Option<Instant>),
    /// COMMAND ended; its leftovers have until then.
    Leftovers(AfterLeftovers, Instant),
    /// They were killed; so long they are reaped.
    Killed(AfterLeftovers, Instant),
}

/// What comes when no leftover is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AfterLeftovers {
    Exit(u8),
    Restart,
}

impl AfterLeftovers {
    /// Whoever asks for an end in the middle of a new start gets it.
    fn without_restart(self) -> Self {
        if self == AfterLeftovers::Restart { AfterLeftovers::Exit(0) } else { self }
    }

    fn action(self) -> Action {
        match self {
            AfterLeftovers::Exit(code) => Action::Exit(code),
            AfterLeftovers::Restart => Action::Restart,
        }
    }
}

/// COMMAND that wants to be started again more often than this within [`RESTART_WINDOW`] is in a loop, and ends instead.
const MAX_RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_secs(60);

/// How long killed leftovers are reaped. A process in the kernel's deepest sleep does not die: the kernel takes it with
/// the namespace.
const REAP_TIMEOUT: Duration = Duration::from_millis(500);

/// Signals that ask for an end: a death that follows one of them is no surprise.
const STOP_SIGNALS: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];

/// Where COMMAND's life stands.
#[derive(Debug)]
pub struct Lifecycle {
    rules: Rules,
    phase: Phase,
    stop_signals: SignalSet,
    suspend_requested: bool,
    has_terminal: bool,
    /// When COMMAND was started again, the last times.
    restarts: [Option<Instant>; MAX_RESTARTS],
}

impl Lifecycle {
    /// COMMAND has begun; `has_terminal`: it is the foreground job of one.
    pub fn new(rules: Rules, has_terminal: bool) -> Self {
        Lifecycle {
            rules,
            phase: Phase::Running,
            stop_signals: SignalSet::EMPTY,
            suspend_requested: false,
            has_terminal,
            restarts: [None; MAX_RESTARTS],
        }
    }

    /// COMMAND has begun again, after [`Action::Restart`].
    pub fn restart(&mut self, has_terminal: bool) {
        self.phase = Phase::Running;
        self.suspend_requested = false;
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
    pub fn is_command_running(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping(..))
    }

    /// Whether COMMAND had been asked to end.
    pub fn is_stop_requested(&self) -> bool {
        self.stop_signals != SignalSet::EMPTY
    }

    /// Whether the ladder came to SIGKILL.
    pub fn is_escalated(&self) -> bool {
        matches!(self.phase, Phase::Stopping(_, None))
    }

    /// Whether the rung that was begun last is a drain.
    pub fn is_draining(&self) -> bool {
        let Phase::Stopping(rung, _) = self.phase else { return false };
        self.rules.rungs.get(rung).is_some_and(|rung| rung.signal.is_none())
    }

    /// Whether COMMAND ended to be started again.
    pub fn is_restarting(&self) -> bool {
        matches!(self.phase, Phase::Leftovers(AfterLeftovers::Restart, _) | Phase::Killed(AfterLeftovers::Restart, _))
    }

    /// One step of it.
    pub fn step(&mut self, event: Event, now: Instant) -> Action {
        match (self.phase, event) {
            (Phase::Running | Phase::Stopping(..), Event::Signal(signal)) => self.on_signal(signal, now),
            (Phase::Stopping(rung, _), Event::Deadline) => self.escalate(rung + 1, now),
            (Phase::Running | Phase::Stopping(..), Event::Stopped(signal)) => self.on_stopped(signal),
            (Phase::Stopping(rung, _), Event::Drained) if self.is_draining() => self.escalate(rung + 1, now),
            (Phase::Running | Phase::Stopping(..), Event::RestartRequested) => self.on_restart_request(now),
            (Phase::Running | Phase::Stopping(..), Event::Ended(status)) => {
                let code = status.exit_code();
                let code = if self.rules.exit_ok.contains(&code) { 0 } else { code };
                self.terminate_leftovers(AfterLeftovers::Exit(code), now)
            }
            // Whoever asks again while the leftovers have their grace does not want to wait for it.
            (Phase::Leftovers(next, _), Event::Signal(signal)) if STOP_SIGNALS.contains(&signal) => {
                self.kill_leftovers(next.without_restart(), now)
            }
            (Phase::Killed(next, until), Event::Signal(signal)) if STOP_SIGNALS.contains(&signal) => {
                self.phase = Phase::Killed(next.without_restart(), until);
                Action::None
            }
            (Phase::Leftovers(next, _), Event::Deadline) => self.kill_leftovers(next, now),
            (Phase::Leftovers(next, _) | Phase::Killed(next, _), Event::NoLeftovers) => next.action(),
            (Phase::Killed(next, _), Event::Deadline) => next.action(),
            _ => Action::None,
        }
    }

    fn on_signal(&mut self, signal: Signal, now: Instant) -> Action {
        let signal = match self.rules.rewrites.iter().find(|rewrite| rewrite.from == signal) {
            Some(SignalRewrite { to: None, .. }) => return Action::None,
            Some(SignalRewrite { to: Some(to), .. }) => *to,
            None => signal,
        };
        if STOP_SIGNALS.contains(&signal) {
            self.stop_signals = SignalSet::of(&[signal]);
        }
        match signal {
            Signal::TSTP => self.suspend_requested = true,
            Signal::CONT => self.suspend_requested = false,
            _ => {}
        }
        if signal == Signal::TERM && !self.rules.rungs.is_empty() {
            let rung = if let Phase::Stopping(rung, _) = self.phase { rung + 1 } else { 0 };
            return self.escalate(rung, now);
        }
        Action::Send(signal)
    }

    fn escalate(&mut self, rung: usize, now: Instant) -> Action {
        match self.rules.rungs.get(rung) {
            Some(&StopStep { signal, time }) => {
                self.phase = Phase::Stopping(rung, Some(now.after(time)));
                signal.map_or(Action::Drain, Action::Send)
            }
            None => {
                self.phase = Phase::Stopping(self.rules.rungs.len(), None);
                Action::Send(Signal::KILL)
            }
        }
    }

    fn on_stopped(&mut self, signal: Signal) -> Action {
        let by_keyboard = [Signal::TSTP, Signal::TTIN, Signal::TTOU].contains(&signal);
        // A COMMAND that somebody stopped with SIGSTOP will be continued by them; a stopped `init` would not hear of
        // its end.
        if self.rules.has_job_control && (self.suspend_requested || (by_keyboard && self.has_terminal)) {
            self.suspend_requested = false;
            Action::Suspend
        } else {
            Action::None
        }
    }

    /// A restart is granted unless somebody else asked COMMAND to stop, or it was granted too often.
    fn on_restart_request(&mut self, now: Instant) -> Action {
        let has_too_many = self.restarts.iter().all(|time| time.is_some_and(|time| time.until(now) < RESTART_WINDOW));
        let is_stopping = matches!(self.phase, Phase::Stopping(..)) || self.is_stop_requested();
        if has_too_many || is_stopping {
            return self.terminate_leftovers(AfterLeftovers::Exit(0), now);
        }
        self.restarts.rotate_left(1);
        self.restarts[MAX_RESTARTS - 1] = Some(now);
        self.terminate_leftovers(AfterLeftovers::Restart, now)
    }

    fn terminate_leftovers(&mut self, next: AfterLeftovers, now: Instant) -> Action {
        self.phase = Phase::Leftovers(next, now.after(self.rules.leftover_grace));
        Action::TerminateLeftovers
    }

    fn kill_leftovers(&mut self, next: AfterLeftovers, now: Instant) -> Action {
        self.phase = Phase::Killed(next, now.after(REAP_TIMEOUT));
        Action::KillLeftovers
    }
}

#[cfg(test)]
mod tests;

//! The loop: takes what the kernel has to tell, one thing at a time, and acts as [`lifecycle`](super::lifecycle) says.
//! Idle, it sleeps in one system call for ever.

mod comfyui;

use super::child::Child;
use super::exit_reason::{ExitReason, Sender};
use super::lifecycle::{Action, Event, Lifecycle, Rules};
use super::restart_marker::Marker;
use crate::http::Url;
use crate::machine::limits::{self, OomCounters};
use crate::machine::processes;
use crate::settings::SignalScope;
use crate::sys::clock::{self, Instant};
use crate::sys::signal::{self, ReceivedSignal};
use crate::sys::wait::{self, WaitStatus};
use crate::sys::{Errno, ProcessId, Signal, SignalSet, filesystem, memory, process, spawn};
use log::{debug, error, warn};
use std::time::Duration;

/// How often /proc is read for leftovers that are no children of ours.
const LEFTOVER_POLL: Duration = Duration::from_millis(20);
/// When COMMAND's start is taken for over.
const STARTUP_GRACE: Duration = Duration::from_millis(20);
/// How long deaths of orphans are gathered. COMMAND's own end is that late where an orphan's came just before.
const REAP_BATCH: Duration = Duration::from_millis(1);
/// How long an answer that cannot be is slept over, so that a broken kernel costs no processor.
const ERROR_BACKOFF: Duration = Duration::from_millis(50);

/// How COMMAND is served, made before it runs.
pub struct SuperviseOptions {
    pub rules: Rules,
    /// TAKUMI_SIGNAL_SCOPE.
    pub scope: SignalScope,
    pub is_pid_1: bool,
    /// TAKUMI_HEALTH_URL, whose server a drain asks.
    pub health_url: Option<Url>,
}

/// What a new start of COMMAND takes (TAKUMI_REBOOT).
#[derive(Clone, Copy)]
pub struct RestartHook<'a> {
    pub marker: &'a Marker,
    /// Starts it as it was started first; the error is the exit code, and why was said.
    pub start: &'a dyn Fn() -> Result<Child, u8>,
}

/// Serves COMMAND until its end and returns the exit code.
pub fn supervise(child: Child, options: SuperviseOptions, restart_hook: Option<RestartHook>) -> u8 {
    let SuperviseOptions { rules, scope, is_pid_1, health_url } = options;
    let lifecycle = Lifecycle::new(rules, child.terminal.is_some());
    let self_pid = process::self_pid();
    let mut supervisor = Supervisor {
        lifecycle,
        child,
        scope,
        is_pid_1,
        health_url,
        restart_hook,
        drain_pid: None,
        self_pid,
        oom_baseline: None,
        startup_grace_until: Some(Instant::now().after(STARTUP_GRACE)),
        sender: None,
        are_orphans_dying: false,
        error_logged: false,
    };
    loop {
        if let Some(code) = supervisor.run_once() {
            return code;
        }
    }
}

struct Supervisor<'a> {
    lifecycle: Lifecycle,
    child: Child,
    scope: SignalScope,
    is_pid_1: bool,
    health_url: Option<Url>,
    restart_hook: Option<RestartHook<'a>>,
    /// The child that drains ComfyUI, while it does.
    drain_pid: Option<ProcessId>,
    self_pid: ProcessId,
    /// The counters when COMMAND had begun; nothing before [`Supervisor::end_startup_grace`].
    oom_baseline: Option<OomCounters>,
    /// When COMMAND's start is taken for over, until it is.
    startup_grace_until: Option<Instant>,
    /// Who caused what was sent to COMMAND last.
    sender: Option<Sender>,
    /// Orphans died a moment ago: more will, and are reaped together.
    are_orphans_dying: bool,
    error_logged: bool,
}

impl Supervisor<'_> {
    fn run_once(&mut self) -> Option<u8> {
        let now = Instant::now();
        let until_deadline = self.lifecycle.deadline().map(|deadline| now.until(deadline));
        if until_deadline == Some(Duration::ZERO) {
            return self.dispatch(Event::Deadline, None);
        }
        if self.startup_grace_until.is_some_and(|settles| settles <= now) {
            self.end_startup_grace();
        }
        if std::mem::take(&mut self.are_orphans_dying) {
            // A wake-up costs more than a reaping. Signals to forward are not held up by this.
            return match signal::receive(SignalSet::ALL_BUT_CHILD, Some(REAP_BATCH)) {
                Ok(Some(taken)) => self.on_signal(taken),
                _ => None,
            };
        }
        let timeout =
            match (self.lifecycle.is_command_running(), self.startup_grace_until.map(|settles| now.until(settles))) {
                (true, Some(start)) => Some(until_deadline.unwrap_or(start).min(start)),
                (true, None) => until_deadline,
                (false, _) => until_deadline.map(|left| left.min(LEFTOVER_POLL)),
            };
        match signal::receive(SignalSet::ALL, timeout) {
            Ok(Some(ReceivedSignal { signal: Signal::CHLD, .. })) => self.reap(),
            Ok(Some(taken)) => self.on_signal(taken),
            Ok(None) if timeout.is_some() && self.lifecycle.is_command_running() => None,
            Ok(None) if timeout.is_some() => self.reap(),
            Err(Errno(libc::EINTR)) => None,
            answer => {
                self.log_error_once("waiting for signals", answer.err().unwrap_or(Errno(libc::EAGAIN)));
                clock::sleep(ERROR_BACKOFF);
                self.reap()
            }
        }
    }

    /// What can wait until COMMAND has had its start: a program that runs for a millisecond pays for none of it.
    fn end_startup_grace(&mut self) {
        self.startup_grace_until = None;
        self.oom_baseline = limits::read_oom_counters();
        memory::release_unused();
    }

    fn on_signal(&mut self, taken: ReceivedSignal) -> Option<u8> {
        // A line of ours into a pipe that nobody reads raises it here; COMMAND has nothing to do with that.
        if taken.signal == Signal::PIPE && taken.sender == self.self_pid {
            return None;
        }
        let code = self.dispatch(Event::Signal(taken.signal), Some(taken));
        if [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP].contains(&taken.signal) {
            // After it was forwarded, and only for those that mostly end COMMAND: nobody should wait for a line of ours.
            self.resolve_sender_name();
        }
        code
    }

    fn resolve_sender_name(&mut self) {
        if let Some(sender) = self.sender.as_mut().filter(|sender| sender.name_length == 0) {
            sender.name_length = processes::read_comm(sender.id, &mut sender.name).len();
        }
    }

    /// SIGCHLD tells that there is something, not how much: several deaths make one signal. So until there is no more.
    fn reap(&mut self) -> Option<u8> {
        let mut orphans = false;
        loop {
            match wait::poll_children(!self.is_pid_1) {
                Ok(wait::ChildEvent::StateChanged(id, status)) if id == self.child.id => {
                    let event = match WaitStatus::decode(status) {
                        Some(WaitStatus::Stopped(signal)) => Event::Stopped(signal),
                        Some(status) => {
                            self.on_exit(status);
                            self.exit_event(status)
                        }
                        None => continue,
                    };
                    if let Some(code) = self.dispatch(event, None) {
                        return Some(code);
                    }
                }
                Ok(wait::ChildEvent::StateChanged(id, _)) if self.drain_pid == Some(id) => {
                    self.drain_pid = None;
                    // However it ended: what it had to say, it has said.
                    if let Some(code) = self.dispatch(Event::Drained, None) {
                        return Some(code);
                    }
                }
                Ok(wait::ChildEvent::StateChanged(id, status)) => {
                    orphans = true;
                    debug!("reaped orphan {id}, status {status:#x}");
                }
                Ok(wait::ChildEvent::NoChildren) if self.lifecycle.is_command_running() => {
                    error!("COMMAND's exit status was lost (ECHILD); exiting with 125");
                    return self.dispatch(Event::Ended(WaitStatus::Exited(125)), None);
                }
                Ok(wait::ChildEvent::NoChildren | wait::ChildEvent::NoChange) => break,
                Err(errno) => {
                    self.log_error_once("waiting for children", errno);
                    clock::sleep(ERROR_BACKOFF);
                    break;
                }
            }
        }
        self.are_orphans_dying = orphans && self.lifecycle.is_command_running();
        if self.lifecycle.is_command_running() || self.has_leftovers() {
            None
        } else {
            self.dispatch(Event::NoLeftovers, None)
        }
    }

    fn dispatch(&mut self, event: Event, taken: Option<ReceivedSignal>) -> Option<u8> {
        let action = self.lifecycle.step(event, Instant::now());
        if !self.lifecycle.is_draining() {
            self.abort_drain(event);
        }
        match action {
            Action::None => {}
            Action::Drain => return self.start_drain(taken),
            Action::Restart => return self.restart_command(),
            Action::Send(signal) => {
                self.record_sender(signal, taken);
                self.send(signal, taken.filter(|taken| taken.signal == signal));
            }
            Action::Suspend => self.suspend(),
            Action::TerminateLeftovers => {
                if event == Event::RestartRequested {
                    self.log_restart();
                }
                return self.signal_leftovers(Signal::TERM);
            }
            Action::KillLeftovers => return self.signal_leftovers(Signal::KILL),
            Action::Exit(code) => return Some(code),
        }
        None
    }

    /// Who is behind a signal that goes to COMMAND: its sender, or for a later rung of the ladder whoever began it.
    fn record_sender(&mut self, signal: Signal, taken: Option<ReceivedSignal>) {
        self.sender = match (taken, self.sender) {
            (Some(taken), _) => Some(Sender {
                signal,
                id: taken.sender,
                user: taken.user,
                is_kernel: taken.from_kernel,
                name: [0; 16],
                name_length: 0,
            }),
            (None, sender) => sender.map(|sender| Sender { signal, ..sender }),
        };
    }

    fn send(&mut self, signal: Signal, taken: Option<ReceivedSignal>) {
        let child = self.child.id;
        let answer = match (self.scope, taken.and_then(|taken| taken.payload)) {
            (SignalScope::Child, Some(payload)) => {
                signal::queue(child, signal, payload).or_else(|_| signal::kill(child.0, signal))
            }
            (SignalScope::Child, None) => signal::kill(child.0, signal),
            (SignalScope::Group, _) => match signal::kill(-child.0, signal) {
                Err(Errno(libc::ESRCH)) => signal::kill(child.0, signal),
                answer => answer,
            },
            (SignalScope::All, _) if self.is_pid_1 => signal::kill(-1, signal),
            (SignalScope::All, _) => {
                self.signal_descendants(signal);
                Ok(())
            }
        };
        match answer {
            Ok(()) => debug!("{signal} forwarded to COMMAND"),
            // It has ended, and SIGCHLD is on its way.
            Err(Errno(libc::ESRCH)) => debug!("{signal} came after COMMAND's end"),
            Err(errno) => {
                warn!("{signal} could not be forwarded to COMMAND: {errno} (it runs as another user than init)")
            }
        }
    }

    /// Stops with COMMAND, so that the shell which started `init` has its terminal back, and goes on when that shell
    /// says so.
    fn suspend(&mut self) {
        if let Err(errno) = spawn::stop_self() {
            return self.log_error_once("stopping with COMMAND", errno);
        }
        if let Some(terminal) = self.child.terminal {
            terminal.set_foreground(self.child.id);
        }
        // The signal that woke `init` waits in the queue; COMMAND's whole group was stopped by the key, and is
        // continued by this.
        let _ = signal::receive(SignalSet::of(&[Signal::CONT]), Some(Duration::ZERO));
        let _ = signal::kill(-self.child.id.0, Signal::CONT);
    }

    fn on_exit(&mut self, status: WaitStatus) {
        if let Some(terminal) = self.child.terminal {
            terminal.reclaim_foreground();
        }
        let WaitStatus::Killed(signal, core) = status else {
            return debug!("COMMAND ended with code {}", status.exit_code());
        };
        self.resolve_sender_name();
        let death = ExitReason {
            signal,
            is_core_dumped: core,
            sender: self.sender,
            is_escalated: self.lifecycle.is_escalated(),
            memory: self.oom_baseline.zip(limits::read_oom_counters()),
            shared_memory: filesystem::blocks(c"/dev/shm").ok(),
        };
        let level = if self.lifecycle.is_stop_requested() { log::Level::Info } else { log::Level::Warn };
        log::log!(level, "{death}");
    }

    fn signal_leftovers(&mut self, signal: Signal) -> Option<u8> {
        // Orphans come to the subreaper, so without a child there is no descendant either.
        let has_none = match self.is_pid_1 {
            true => signal::kill(-1, signal) == Err(Errno(libc::ESRCH)),
            false => !wait::has_children(),
        };
        if has_none {
            return self.dispatch(Event::NoLeftovers, None);
        }
        if !self.is_pid_1 {
            self.signal_descendants(signal);
        }
        None
    }

    /// Signals every living process below `init`, where it is not PID 1 and may therefore not signal everybody.
    fn signal_descendants(&mut self, signal: Signal) {
        let self_pid = self.self_pid;
        let answer = processes::for_each_process(|process| {
            if !process.is_zombie() && processes::descends_from(process, self_pid) {
                let _ = signal::kill(process.id.0, signal);
            }
        });
        if let Err(errno) = answer {
            self.log_error_once("looking for processes in /proc", errno);
            // COMMAND's group is what is known without /proc.
            let _ = signal::kill(-self.child.id.0, signal);
        }
    }

    /// Whether a leftover lives that may be signalled: what a root `docker exec` started is not ours to end, nor to
    /// wait for.
    fn has_leftovers(&self) -> bool {
        if !self.is_pid_1 && !wait::has_children() {
            return false;
        }
        let mut found = false;
        let answer = processes::for_each_process(|process| {
            let is_leftover =
                process.id != self.self_pid && (self.is_pid_1 || processes::descends_from(process, self.self_pid));
            found = found || (is_leftover && !process.is_zombie() && signal::may_signal(process.id));
        });
        // Without /proc only children can be known of.
        if answer.is_ok() { found } else { wait::has_children() }
    }

    fn log_error_once(&mut self, what: &str, errno: Errno) {
        if !self.error_logged {
            self.error_logged = true;
            error!("{what}: {errno} (reported once; init keeps supervising COMMAND)");
        }
    }
}

//! The loop: takes what the kernel has to tell, one thing at a time, and acts as [`lifecycle`](super::lifecycle) says.
//! Idle, it sleeps in one system call for ever.

mod comfyui;

use super::child::Child;
use super::epitaph::{Death, Sender};
use super::lifecycle::{Action, Event, Lifecycle, Rules};
use super::reboot::Marker;
use crate::http::Url;
use crate::machine::limits::{self, OomCounters};
use crate::machine::processes;
use crate::settings::Scope;
use crate::sys::clock::{self, Instant};
use crate::sys::signal::{self, ReceivedSignal};
use crate::sys::wait::{self, WaitStatus};
use crate::sys::{Errno, ProcessId, Signal, SignalSet, filesystem, memory, process, spawn};
use log::{debug, error, warn};
use std::time::Duration;

/// How often it is looked whether leftovers that are nobody's child of ours are gone.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// When COMMAND's start is taken for over.
const START: Duration = Duration::from_millis(20);
/// How long deaths of orphans are gathered. COMMAND's own end is that late where an orphan's came just before.
const GATHERING: Duration = Duration::from_millis(1);
/// How long an answer that cannot be is slept over, so that a broken kernel costs no processor.
const SECOND_THOUGHT: Duration = Duration::from_millis(50);

/// How COMMAND is served, made before it runs.
pub struct Terms {
    /// What follows from what.
    pub rules: Rules,
    /// TAKUMI_SIGNAL_SCOPE.
    pub scope: Scope,
    /// Whether this process is.
    pub is_pid_1: bool,
    /// TAKUMI_HEALTH_URL, whose server a drain asks.
    pub health_url: Option<Url>,
}

/// What a new start of COMMAND takes (TAKUMI_REBOOT).
#[derive(Clone, Copy)]
pub struct Reboot<'a> {
    /// Where it leaves its wish.
    pub marker: &'a Marker,
    /// Starts it as it was started first; the error is the exit code, and why was said.
    pub start: &'a dyn Fn() -> Result<Child, u8>,
}

/// Serves COMMAND until its end and returns the exit code.
pub fn supervise(child: Child, terms: Terms, reboot: Option<Reboot>) -> u8 {
    let Terms { rules, scope, is_pid_1, health_url } = terms;
    let life = Lifecycle::new(rules, child.terminal.is_some());
    let own = process::self_pid();
    let mut supervisor = Supervisor {
        life,
        child,
        scope,
        is_pid_1,
        health_url,
        reboot,
        drain: None,
        own,
        memory: None,
        settles: Some(Instant::now().after(START)),
        sender: None,
        orphans_come: false,
        complained: false,
    };
    loop {
        if let Some(code) = supervisor.turn() {
            return code;
        }
    }
}

struct Supervisor<'a> {
    life: Lifecycle,
    child: Child,
    scope: Scope,
    is_pid_1: bool,
    health_url: Option<Url>,
    reboot: Option<Reboot<'a>>,
    /// The child that drains ComfyUI, while it does.
    drain: Option<ProcessId>,
    own: ProcessId,
    /// The counters when COMMAND had begun; nothing before it [`settles`](Supervisor::settle).
    memory: Option<OomCounters>,
    /// When COMMAND's start is taken for over, until it is.
    settles: Option<Instant>,
    /// Who caused what was sent to COMMAND last.
    sender: Option<Sender>,
    /// Orphans died a moment ago: more will, and are reaped together.
    orphans_come: bool,
    complained: bool,
}

impl Supervisor<'_> {
    fn turn(&mut self) -> Option<u8> {
        let now = Instant::now();
        let left = self.life.deadline().map(|deadline| now.until(deadline));
        if left == Some(Duration::ZERO) {
            return self.happens(Event::Deadline, None);
        }
        if self.settles.is_some_and(|settles| settles <= now) {
            self.settle();
        }
        if std::mem::take(&mut self.orphans_come) {
            // A wake-up costs more than a reaping. Signals to forward are not held up by this.
            return match signal::receive(SignalSet::ALL_BUT_CHILD, Some(GATHERING)) {
                Ok(Some(taken)) => self.on_signal(taken),
                _ => None,
            };
        }
        let patience = match (self.life.command_runs(), self.settles.map(|settles| now.until(settles))) {
            (true, Some(start)) => Some(left.unwrap_or(start).min(start)),
            (true, None) => left,
            (false, _) => left.map(|left| left.min(LOOK_AGAIN)),
        };
        match signal::receive(SignalSet::ALL, patience) {
            Ok(Some(ReceivedSignal { signal: Signal::CHLD, .. })) => self.reap(),
            Ok(Some(taken)) => self.on_signal(taken),
            Ok(None) if patience.is_some() && self.life.command_runs() => None,
            Ok(None) if patience.is_some() => self.reap(),
            Err(Errno(libc::EINTR)) => None,
            answer => {
                self.complain("waiting for signals", answer.err().unwrap_or(Errno(libc::EAGAIN)));
                clock::sleep(SECOND_THOUGHT);
                self.reap()
            }
        }
    }

    /// What can wait until COMMAND has had its start: a program that runs for a millisecond pays for none of it.
    fn settle(&mut self) {
        self.settles = None;
        self.memory = limits::read_oom_counters();
        memory::release_unused();
    }

    fn on_signal(&mut self, taken: ReceivedSignal) -> Option<u8> {
        // A line of ours into a pipe that nobody reads raises it here; COMMAND has nothing to do with that.
        if taken.signal == Signal::PIPE && taken.sender == self.own {
            return None;
        }
        let code = self.happens(Event::Signal(taken.signal), Some(taken));
        if [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP].contains(&taken.signal) {
            // After it was forwarded, and only for those that mostly end COMMAND: nobody should wait for our curiosity.
            self.ask_for_senders_name();
        }
        code
    }

    fn ask_for_senders_name(&mut self) {
        if let Some(sender) = self.sender.as_mut().filter(|sender| sender.name_length == 0) {
            sender.name_length = processes::read_comm(sender.id, &mut sender.name).len();
        }
    }

    /// SIGCHLD tells that there is something, not how much: several deaths make one signal. So until there is no more.
    fn reap(&mut self) -> Option<u8> {
        let mut orphans = false;
        loop {
            match wait::poll_children(!self.is_pid_1) {
                Ok(wait::ChildEvent::Changed(id, status)) if id == self.child.id => {
                    let event = match WaitStatus::decode(status) {
                        Some(WaitStatus::Stopped(signal)) => Event::Stopped(signal),
                        Some(status) => {
                            self.on_end(status);
                            self.event_of_end(status)
                        }
                        None => continue,
                    };
                    if let Some(code) = self.happens(event, None) {
                        return Some(code);
                    }
                }
                Ok(wait::ChildEvent::Changed(id, _)) if self.drain == Some(id) => {
                    self.drain = None;
                    // However it ended: what it had to say, it has said.
                    if let Some(code) = self.happens(Event::Drained, None) {
                        return Some(code);
                    }
                }
                Ok(wait::ChildEvent::Changed(id, status)) => {
                    orphans = true;
                    debug!("reaped orphan {id}, status {status:#x}");
                }
                Ok(wait::ChildEvent::NoChildren) if self.life.command_runs() => {
                    error!("the kernel knows no child any more: how COMMAND ended is lost, and told as 125");
                    return self.happens(Event::Ended(WaitStatus::Exited(125)), None);
                }
                Ok(wait::ChildEvent::NoChildren | wait::ChildEvent::NoChange) => break,
                Err(errno) => {
                    self.complain("waiting for children", errno);
                    clock::sleep(SECOND_THOUGHT);
                    break;
                }
            }
        }
        self.orphans_come = orphans && self.life.command_runs();
        if self.life.command_runs() || self.somebody_is_left() { None } else { self.happens(Event::NobodyLeft, None) }
    }

    fn happens(&mut self, event: Event, taken: Option<ReceivedSignal>) -> Option<u8> {
        let action = self.life.step(event, Instant::now());
        if !self.life.is_draining() {
            self.give_up_draining(event);
        }
        match action {
            Action::None => {}
            Action::Drain => return self.begin_to_drain(taken),
            Action::StartAgain => return self.start_again(),
            Action::Send(signal) => {
                self.remember(signal, taken);
                self.send(signal, taken.filter(|taken| taken.signal == signal));
            }
            Action::Suspend => self.suspend(),
            Action::SweepTerm => {
                if event == Event::AskedForReboot {
                    self.tell_of_reboot();
                }
                return self.sweep(Signal::TERM);
            }
            Action::SweepKill => return self.sweep(Signal::KILL),
            Action::Exit(code) => return Some(code),
        }
        None
    }

    /// Who is behind a signal that goes to COMMAND: its sender, or for a later rung of the ladder whoever began it.
    fn remember(&mut self, signal: Signal, taken: Option<ReceivedSignal>) {
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
            (Scope::Child, Some(payload)) => {
                signal::queue(child, signal, payload).or_else(|_| signal::kill(child.0, signal))
            }
            (Scope::Child, None) => signal::kill(child.0, signal),
            (Scope::Group, _) => match signal::kill(-child.0, signal) {
                Err(Errno(libc::ESRCH)) => signal::kill(child.0, signal),
                answer => answer,
            },
            (Scope::All, _) if self.is_pid_1 => signal::kill(-1, signal),
            (Scope::All, _) => {
                self.signal_each_below(signal);
                Ok(())
            }
        };
        match answer {
            Ok(()) => debug!("{signal} handed to COMMAND"),
            // It has ended, and SIGCHLD is on its way.
            Err(Errno(libc::ESRCH)) => debug!("{signal} came after COMMAND's end"),
            Err(errno) => warn!("{signal} could not be handed to COMMAND: {errno} (it runs as another user than init)"),
        }
    }

    /// Stops with COMMAND, so that the shell which started `init` has its terminal back, and goes on when that shell
    /// says so.
    fn suspend(&mut self) {
        if let Err(errno) = spawn::stop_self() {
            return self.complain("stopping with COMMAND", errno);
        }
        if let Some(terminal) = self.child.terminal {
            terminal.give(self.child.id);
        }
        // The signal that woke `init` waits in the queue; COMMAND's whole group was stopped by the key, and is
        // continued by this.
        let _ = signal::receive(SignalSet::of(&[Signal::CONT]), Some(Duration::ZERO));
        let _ = signal::kill(-self.child.id.0, Signal::CONT);
    }

    fn on_end(&mut self, status: WaitStatus) {
        if let Some(terminal) = self.child.terminal {
            terminal.take_back();
        }
        let WaitStatus::Killed(signal, core) = status else {
            return debug!("COMMAND ended with code {}", status.exit_code());
        };
        self.ask_for_senders_name();
        let death = Death {
            signal,
            core,
            sender: self.sender,
            ladder_killed: self.life.ladder_killed(),
            memory: self.memory.zip(limits::read_oom_counters()),
            shared_memory: filesystem::blocks(c"/dev/shm").ok(),
        };
        let level = if self.life.stop_was_asked() { log::Level::Info } else { log::Level::Warn };
        log::log!(level, "{death}");
    }

    fn sweep(&mut self, signal: Signal) -> Option<u8> {
        // Orphans come to the subreaper, so without a child there is no descendant either.
        let nobody = match self.is_pid_1 {
            true => signal::kill(-1, signal) == Err(Errno(libc::ESRCH)),
            false => !wait::has_children(),
        };
        if nobody {
            return self.happens(Event::NobodyLeft, None);
        }
        if !self.is_pid_1 {
            self.signal_each_below(signal);
        }
        None
    }

    /// Signals every living process below `init`, where it is not PID 1 and may therefore not signal everybody.
    fn signal_each_below(&mut self, signal: Signal) {
        let own = self.own;
        let answer = processes::for_each(|process| {
            if !process.is_zombie() && processes::descends_from(process, own) {
                let _ = signal::kill(process.id.0, signal);
            }
        });
        if let Err(errno) = answer {
            self.complain("looking for processes in /proc", errno);
            // COMMAND's group is what is known without /proc.
            let _ = signal::kill(-self.child.id.0, signal);
        }
    }

    /// Whether a leftover lives that may be signalled: what a root `docker exec` started is not ours to end, nor to
    /// wait for.
    fn somebody_is_left(&self) -> bool {
        if !self.is_pid_1 && !wait::has_children() {
            return false;
        }
        let mut left = false;
        let answer = processes::for_each(|process| {
            let ours = process.id != self.own && (self.is_pid_1 || processes::descends_from(process, self.own));
            left = left || (ours && !process.is_zombie() && signal::may_signal(process.id));
        });
        // Without /proc only children can be known of.
        if answer.is_ok() { left } else { wait::has_children() }
    }

    fn complain(&mut self, what: &str, errno: Errno) {
        if !self.complained {
            self.complained = true;
            error!("{what}: {errno} (told once; COMMAND is served as well as can be)");
        }
    }
}

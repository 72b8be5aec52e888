//! What is done for ComfyUI alone: its queue is drained before a stop, and its Manager gets the new start that it asks
//! for.

use super::{STARTUP_GRACE, Supervisor};
use crate::supervise::lifecycle::Event;
use crate::supervise::{child, drain, last_resort};
use crate::sys::clock::Instant;
use crate::sys::signal::{self, ReceivedSignal};
use crate::sys::wait::WaitStatus;
use crate::sys::{Signal, SignalSet};
use log::{info, warn};
use std::time::Duration;

impl Supervisor<'_> {
    pub(super) fn start_drain(&mut self, taken: Option<ReceivedSignal>) -> Option<u8> {
        // Another drain may have been the rung before.
        self.abort_drain(Event::Deadline);
        // COMMAND gets no signal yet: this one it never dies of.
        self.record_sender(Signal::CHLD, taken);
        let end = self.lifecycle.deadline().unwrap_or(Instant::now());
        match self.health_url.as_ref().map(|url| drain::spawn(url, end)) {
            Some(Ok(id)) => {
                self.drain_pid = Some(id);
                return None;
            }
            Some(Err(errno)) => {
                warn!("cannot fork to drain ComfyUI: {errno} (raise --pids-limit or --ulimit nproc)");
            }
            // `settings` takes no drain without a URL.
            None => {}
        }
        self.dispatch(Event::Drained, None)
    }

    /// It is reaped as any orphan.
    pub(super) fn abort_drain(&mut self, event: Event) {
        if let Some(drain) = self.drain_pid.take() {
            let _ = signal::kill(drain.0, Signal::KILL);
            if event == Event::Deadline {
                warn!("drain timed out; running jobs are lost (give drain more time in TAKUMI_STOP)");
            }
        }
    }

    /// What COMMAND's end is to the [`Lifecycle`]. A request to restart is looked for, and removed, only where it can count.
    pub(super) fn exit_event(&self, status: WaitStatus) -> Event {
        match self.restart_hook {
            Some(reboot) if status == WaitStatus::Exited(0) && reboot.marker.consume() => {
                // Until it begins again there is none, for the probe and for a defect of ours.
                child::publish_pid(None);
                last_resort::disarm();
                Event::RestartRequested
            }
            _ => Event::Ended(status),
        }
    }

    pub(super) fn log_restart(&self) {
        if self.lifecycle.is_restarting() {
            info!("COMMAND requested a restart");
        } else if self.lifecycle.is_stop_requested() {
            info!("restart request ignored: already stopping");
        } else {
            warn!("too many restarts (6 in 60 s): not restarting (its messages above say why)");
        }
    }

    pub(super) fn restart_command(&mut self) -> Option<u8> {
        // Whoever has asked for an end meanwhile.
        let stops = SignalSet::of(&[Signal::TERM, Signal::INT, Signal::QUIT]);
        if let Ok(Some(taken)) = signal::receive(stops, Some(Duration::ZERO)) {
            return self.on_signal(taken);
        }
        let started = (self.restart_hook?.start)();
        match started {
            Ok(child) => {
                self.child = child;
                self.lifecycle.restart(self.child.terminal.is_some());
                self.startup_grace_until = Some(Instant::now().after(STARTUP_GRACE));
                self.oom_baseline = None;
                self.sender = None;
                None
            }
            Err(code) => Some(code),
        }
    }
}

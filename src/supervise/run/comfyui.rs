//! What is done for ComfyUI alone: its queue is drained before a stop, and its Manager gets the new start that it asks
//! for.

use super::{START, Supervisor};
use crate::supervise::lifecycle::Event;
use crate::supervise::{child, drain, last_resort};
use crate::sys::clock::Instant;
use crate::sys::signal::{self, ReceivedSignal};
use crate::sys::wait::WaitStatus;
use crate::sys::{Signal, SignalSet};
use log::{info, warn};
use std::time::Duration;

impl Supervisor<'_> {
    pub(super) fn begin_to_drain(&mut self, taken: Option<ReceivedSignal>) -> Option<u8> {
        // Another drain may have been the rung before.
        self.give_up_draining(Event::Deadline);
        // COMMAND gets no signal yet: this one it never dies of.
        self.remember(Signal::CHLD, taken);
        let end = self.life.deadline().unwrap_or(Instant::now());
        match self.health_url.as_ref().map(|url| drain::begin(url, end)) {
            Some(Ok(id)) => {
                self.drain = Some(id);
                return None;
            }
            Some(Err(errno)) => {
                warn!("no process can be made to drain ComfyUI: {errno} (raise --pids-limit or --ulimit nproc)");
            }
            // `settings` takes no drain without a URL.
            None => {}
        }
        self.happens(Event::Drained, None)
    }

    /// What it does from now on is nobody's wish. It is reaped as any orphan.
    pub(super) fn give_up_draining(&mut self, event: Event) {
        if let Some(drain) = self.drain.take() {
            let _ = signal::kill(drain.0, Signal::KILL);
            if event == Event::Deadline {
                warn!("ComfyUI was not idle in the time of TAKUMI_STOP's drain (what it worked on is lost)");
            }
        }
    }

    /// What COMMAND's end is to the [`Lifecycle`]. The wish is looked for, and removed, only where it can count.
    pub(super) fn event_of_end(&self, status: WaitStatus) -> Event {
        match self.reboot {
            Some(reboot) if status == WaitStatus::Exited(0) && reboot.marker.take() => {
                // Until it begins again there is none, for the probe and for a defect of ours.
                child::tell_probe(None);
                last_resort::serves_nobody();
                Event::AskedForReboot
            }
            _ => Event::Ended(status),
        }
    }

    pub(super) fn tell_of_reboot(&self) {
        if self.life.starts_again() {
            info!("COMMAND asked to be started again");
        } else if self.life.stop_was_asked() {
            info!("COMMAND asked to be started again, and is not: it was told to stop");
        } else {
            warn!(
                "COMMAND asked to be started again for the sixth time in 60 s, and is not (look at what it said before)"
            );
        }
    }

    pub(super) fn start_again(&mut self) -> Option<u8> {
        // Whoever has asked for an end meanwhile.
        let stops = SignalSet::of(&[Signal::TERM, Signal::INT, Signal::QUIT]);
        if let Ok(Some(taken)) = signal::receive(stops, Some(Duration::ZERO)) {
            return self.on_signal(taken);
        }
        let started = (self.reboot?.start)();
        match started {
            Ok(child) => {
                self.child = child;
                self.life.begins_again(self.child.terminal.is_some());
                self.settles = Some(Instant::now().after(START));
                self.memory = None;
                self.sender = None;
                None
            }
            Err(code) => Some(code),
        }
    }
}

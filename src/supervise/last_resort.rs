//! For a defect of ours: a panic before COMMAND runs is a refusal like any other, and one after it may not take COMMAND
//! along.

use crate::sys::signal::{self, ReceivedSignal};
use crate::sys::wait::{self, ChildEvent, WaitStatus};
use crate::sys::{ProcessId, Signal, SignalSet, clock, process};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::Duration;

/// COMMAND's process once it runs.
static COMMAND: AtomicI32 = AtomicI32::new(0);

/// From now on a panic ends in 125.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(on_panic));
}

/// From now on a panic ends when COMMAND does.
pub fn set_command(id: ProcessId) {
    COMMAND.store(id.0, Relaxed);
}

/// From now on a panic ends in 125 again: COMMAND has ended, or this is a child with other work.
pub fn disarm() {
    COMMAND.store(0, Relaxed);
}

fn on_panic(panic: &PanicHookInfo) {
    log::error!("internal error in init (please report it): {panic}");
    match COMMAND.load(Relaxed) {
        0 => process::exit(125),
        id => reap_until_exit(ProcessId(id)),
    }
}

/// Forwards and reaps, and nothing else: no ladder, no leftovers, no state that could be wrong.
fn reap_until_exit(command: ProcessId) -> ! {
    loop {
        match signal::receive(SignalSet::ALL, Some(Duration::from_millis(100))) {
            Ok(Some(ReceivedSignal { signal, .. })) if signal != Signal::CHLD => {
                let _ = signal::kill(command.0, signal);
            }
            Ok(_) => {}
            Err(_) => clock::sleep(Duration::from_millis(100)),
        }
        while let Ok(ChildEvent::StateChanged(id, status)) = wait::poll_children(false) {
            if let (true, Some(status)) = (id == command, WaitStatus::decode(status)) {
                process::exit(status.exit_code());
            }
        }
    }
}

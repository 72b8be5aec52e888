//! The value of `set`: typed at a terminal that does not show it, or whatever comes by a pipe.

use super::Message;
use super::env_file::MAX_BYTES;
use log::warn;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// What a terminal hands on of a line; it drops the rest without a word (`man 3 termios`, canonical mode).
const MAX_LINE: usize = 4095;

/// Newlines at its end are cut off.
pub fn read_value(name: &str) -> Result<Zeroizing<Vec<u8>>, Message> {
    // Room for all at once: a vector that grows leaves its former places behind.
    let mut value = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
    read(name, &mut value).map_err(|error| format!("cannot read the value from stdin: {error}"))?;
    while value.last() == Some(&b'\n') {
        value.pop();
    }
    Ok(value)
}

fn read(name: &str, value: &mut Vec<u8>) -> io::Result<()> {
    // By the descriptor itself: the buffer in io::Stdin would keep a copy that nobody zeroes.
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    if !input.is_terminal() {
        return input.take(MAX_BYTES as u64).read_to_end(value).map(drop);
    }
    let prompt = Prompt::open(input.try_clone()?, format!("value of {name} (not shown): "))?;
    let read = read_line(&input, value);
    prompt.close();
    read
}

#[allow(clippy::unbuffered_bytes)] // a buffer would be one more copy, and a person types slowly
fn read_line(input: &File, line: &mut Vec<u8>) -> io::Result<()> {
    for byte in input.take(MAX_BYTES as u64).bytes() {
        match byte? {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    if line.len() < MAX_LINE {
        return Ok(());
    }
    Err(io::Error::other(
        "a terminal passes at most 4094 bytes a line (put the value into a file: takumi-secrets set FILE NAME < VALUE)",
    ))
}

/// A terminal that does not show what is typed.
struct Prompt {
    terminal: File,
    text: String,
    /// What the terminal was like; `None`: it is so again, for good.
    saved: Mutex<Option<Termios>>,
}

impl Prompt {
    /// From here on whatever stops this process or ends it gives the echo back first.
    fn open(terminal: File, text: String) -> io::Result<Arc<Prompt>> {
        let before = Mutex::new(Some(tcgetattr(&terminal)?));
        let prompt = Arc::new(Prompt { terminal, text, saved: before });
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGCONT])?;
        let shared = Arc::clone(&prompt);
        // To the end of the process: a signal that signal-hook has taken once has no default action of its own any
        // more.
        std::thread::Builder::new().spawn(move || {
            for signal in signals.forever() {
                shared.on_signal(signal);
            }
        })?;
        prompt.disable_echo()?;
        Ok(prompt)
    }

    fn on_signal(&self, signal: i32) {
        // Whatever stopped it, also a SIGSTOP that nobody sees: the shell has set up the terminal for itself in
        // between.
        let done = if signal == SIGCONT {
            self.disable_echo()
        } else {
            // Half a value would go on to the shell, which would show it: it is dropped.
            self.restore_echo(&self.lock_saved(), SetArg::TCSAFLUSH);
            emulate_default_handler(signal)
        };
        done.unwrap_or_else(|error| warn!("signal {signal}: {error}"));
    }

    fn disable_echo(&self) -> io::Result<()> {
        let before = self.lock_saved();
        let Some(mut silent) = before.clone() else { return Ok(()) };
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHONL);
        tcsetattr(&self.terminal, SetArg::TCSADRAIN, &silent)?;
        self.print(&self.text);
        Ok(())
    }

    fn restore_echo(&self, before: &Option<Termios>, how: SetArg) {
        if let Some(Err(error)) = before.as_ref().map(|before| tcsetattr(&self.terminal, how, before)) {
            warn!("the terminal no longer shows what you type: {error} (type: stty echo)");
        }
    }

    fn close(&self) {
        let mut before = self.lock_saved();
        self.restore_echo(&before, SetArg::TCSADRAIN);
        *before = None;
        self.print("\n");
    }

    fn lock_saved(&self) -> MutexGuard<'_, Option<Termios>> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn print(&self, text: &str) {
        // Not eprint, which panics where stderr is closed.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

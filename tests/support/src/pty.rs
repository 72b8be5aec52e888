//! A pseudo-terminal: its screen read with a deadline, its keyboard, its size and who is in the foreground.

use std::ffi::{CStr, c_void};
use std::io::{self, Error, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The end that a terminal emulator (or an engine's `-t`) holds.
pub struct Pty {
    master: OwnedFd,
    slave: OwnedFd,
    path: PathBuf,
    screen: Vec<u8>,
}

impl Pty {
    /// Close-on-exec from the first moment: a copy of the master in another test's child would hide the hangup.
    pub fn open() -> io::Result<Self> {
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        // SAFETY: a fresh descriptor, ours if it is one.
        let master = unsafe { owned(libc::posix_openpt(flags))? };
        let mut name = [0; 64];
        // SAFETY: the master is open, and the room for a name longer than any /dev/pts/N as long as said.
        let named = unsafe {
            libc::grantpt(master.as_raw_fd()) == 0
                && libc::unlockpt(master.as_raw_fd()) == 0
                && libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len()) == 0
        };
        if !named {
            return Err(Error::last_os_error());
        }
        // SAFETY: ptsname_r ended the name with a zero; the descriptor is fresh, and ours if it is one.
        let (slave, name) = unsafe { (owned(libc::open(name.as_ptr(), flags))?, CStr::from_ptr(name.as_ptr())) };
        let path = PathBuf::from(name.to_string_lossy().into_owned());
        Ok(Self { master, slave, path, screen: vec![] })
    }

    /// Where the program's end is found.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// The end for the program under test.
    pub fn slave(&self) -> OwnedFd {
        self.slave.try_clone().unwrap()
    }

    /// Types them; nobody waits until they are read.
    pub fn press(&self, keys: &str) -> io::Result<()> {
        std::fs::File::from(self.master.try_clone()?).write_all(keys.as_bytes())
    }

    /// Reads on until `words` stand on the screen; false after `patience` or at a hangup.
    pub fn shows(&mut self, words: &str, patience: Duration) -> bool {
        self.shows_times(1, words, patience)
    }

    /// The same until they stand there so many times.
    pub fn shows_times(&mut self, times: usize, words: &str, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.text().matches(words).count() < times {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.read_some(left) {
                return self.text().matches(words).count() >= times;
            }
        }
        true
    }

    /// All that was shown so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen).into_owned()
    }

    /// The kernel tells the foreground of it (SIGWINCH).
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the size outlives the call.
        unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &size) };
    }

    /// Whether what is typed is shown.
    pub fn echoes(&self) -> bool {
        // SAFETY: a termios is plain numbers, and there is room for one.
        unsafe {
            let mut settings: libc::termios = std::mem::zeroed();
            libc::tcgetattr(self.slave.as_raw_fd(), &mut settings) == 0 && settings.c_lflag & libc::ECHO != 0
        }
    }

    /// The foreground process group, as this process numbers it.
    pub fn foreground(&self) -> libc::pid_t {
        let mut group = 0;
        // SAFETY: room for one pid. A master may ask for its slave's group without being in its session.
        unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCGPGRP, &mut group) };
        group
    }

    fn read_some(&mut self, patience: Duration) -> bool {
        let mut waiting = libc::pollfd { fd: self.master.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd of our own.
        let ready = unsafe { libc::poll(&mut waiting, 1, patience.as_millis().min(1000) as i32 + 1) };
        if ready <= 0 || waiting.revents & libc::POLLIN == 0 {
            return ready == 0;
        }
        let mut piece = [0u8; 4096];
        // SAFETY: the buffer is as long as said.
        let length = unsafe { libc::read(waiting.fd, piece.as_mut_ptr().cast::<c_void>(), piece.len()) };
        self.screen.extend_from_slice(&piece[..length.max(0) as usize]);
        length > 0
    }
}

/// # Safety
///
/// Nobody else owns the descriptor.
unsafe fn owned(descriptor: i32) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: open, and as the caller says nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

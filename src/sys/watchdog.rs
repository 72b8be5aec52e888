//! The end of a program that may not outlive its time, whatever it waits for.

use super::errno::{Errno, cerr};
use super::{io, process};
use std::time::Duration;

/// In `time` this process ends with exit code 1, in the middle of whatever call it sleeps in. A later call replaces an
/// earlier. Not for waits that no signal ends (a network filesystem whose server is gone).
pub fn arm(time: Duration) -> Result<(), Errno> {
    // A timer of zero would be none.
    let time = time.max(Duration::from_millis(1));
    // SAFETY: a zeroed sigaction is a valid one; the handler calls nothing but poll, write and _exit, which are
    // async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_timeout as *const () as libc::sighandler_t;
        cerr(libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()))?;
    }
    let value = libc::timeval {
        tv_sec: time.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_usec: libc::suseconds_t::from(time.subsec_micros()),
    };
    let once = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: `once` is a valid itimerval.
    cerr(unsafe { libc::setitimer(libc::ITIMER_REAL, &once, std::ptr::null_mut()) }).map(drop)
}

extern "C" fn on_timeout(_: libc::c_int) {
    let _ = io::write_stderr(b"init: error: --check timed out (see TAKUMI_HEALTH_TIMEOUT)\n", Duration::ZERO);
    process::exit(1)
}

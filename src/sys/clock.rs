//! Time that only goes forward.

use super::errno::cerr_int;
use std::time::Duration;

/// A point on CLOCK_MONOTONIC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Instant(Duration);

impl Instant {
    /// Now. Where the clock cannot be read (a filter), time stands still: every deadline is then decided by its events.
    pub fn now() -> Self {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel writes one timespec into a valid place.
        let _ = cerr_int(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) });
        Instant(Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32 % 1_000_000_000))
    }

    /// The point that many later; as late as can be said where that overflows.
    pub fn after(self, time: Duration) -> Self {
        Instant(self.0.saturating_add(time))
    }

    /// How long from `self` until `later`; nothing where that has passed.
    pub fn until(self, later: Instant) -> Duration {
        later.0.saturating_sub(self.0)
    }
}

/// The calendar's seconds since 1970; 0 where the clock cannot be read.
pub fn seconds_since_1970() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec into a valid place.
    let _ = cerr_int(unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut time) });
    time.tv_sec.unsigned_abs()
}

/// Sleeps that long, or less where a signal comes.
pub fn nap(time: Duration) {
    let time = timespec(time);
    // SAFETY: `time` is a valid timespec; what is left of it is not asked for.
    unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
}

pub(super) fn timespec(time: Duration) -> libc::timespec {
    libc::timespec { tv_sec: time.as_secs().min(i64::MAX as u64) as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}

//! Time that only goes forward.

use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use std::time::Duration;

/// A point on CLOCK_MONOTONIC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Instant(Duration);

impl Instant {
    /// Now. Where the clock cannot be read (a filter), time stands still: every deadline is then decided by its events.
    pub fn now() -> Self {
        Instant(read(ClockId::CLOCK_MONOTONIC))
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
    read(ClockId::CLOCK_REALTIME).as_secs()
}

fn read(clock: ClockId) -> Duration {
    let Ok(time) = clock_gettime(clock) else { return Duration::ZERO };
    Duration::new(time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs() as u32 % 1_000_000_000)
}

/// Sleeps that long, or less where a signal comes.
pub fn sleep(time: Duration) {
    let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::empty(), &timespec(time).into());
}

pub(super) fn timespec(time: Duration) -> libc::timespec {
    libc::timespec { tv_sec: time.as_secs().min(i64::MAX as u64) as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}

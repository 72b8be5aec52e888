//! Waiting for what should come, with a deadline that only catches a hang.

use std::time::{Duration, Instant};

/// How long a thing may take that takes a second on a quiet machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until there is an answer, and fails with `what` after [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, answer: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, answer)
}

/// The same with another patience.
#[track_caller]
pub fn eventually_within<T>(patience: Duration, what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in {patience:?} not seen: {what}");
        std::thread::sleep(pause);
        // What comes at once is seen at once; what takes seconds is not asked for a thousand times.
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

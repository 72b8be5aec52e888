//! What a test tells tests/programs/launch.rs to start, and what that tells back. Shared by both, so that the line between them cannot drift.

use serde::{Deserialize, Serialize};

/// Where the program under test runs.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidPosition {
    /// PID 1 of a fresh pid namespace.
    First,
    /// Process 3 of a fresh pid namespace: 1 only reaps, 2 is the parent that waits for it.
    Third,
}

/// What the terminal on descriptor 0 is to the program under test.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Terminal {
    /// The controlling terminal, with the program in the foreground.
    Foreground,
    /// The controlling terminal, with the parent in the foreground ([`Place::Third`] only).
    Background,
}

/// One start, complete: nothing is inherited that does not stand here.
#[derive(Clone, Serialize, Deserialize)]
pub struct Spec {
    /// In the pid namespace.
    pub place: PidPosition,
    /// The program under test.
    pub file: Vec<u8>,
    /// Its own name included.
    pub arguments: Vec<Vec<u8>>,
    /// `NAME=VALUE`.
    pub environment: Vec<Vec<u8>>,
    /// Descriptor of the launcher and the number it gets; every other number is closed.
    pub descriptors: Vec<(i32, i32)>,
    /// Signals.
    pub blocked: Vec<i32>,
    /// Signals.
    pub ignored: Vec<i32>,
    /// Resource, soft and hard limit.
    pub limits: Vec<(u32, u64, u64)>,
    /// Its file mode creation mask.
    pub umask: u32,
    /// Its niceness.
    pub nice: i32,
    /// Its working directory.
    pub directory: Vec<u8>,
    /// Its root directory, entered after the working directory, which may so lie outside of it.
    pub root: Option<Vec<u8>>,
    /// Source and target of bind mounts; targets are created where missing.
    pub binds: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether /proc is mounted.
    pub proc: bool,
    /// What descriptor 0 is, where it is a terminal.
    pub terminal: Option<Terminal>,
    /// uid and gid that the program under test is started as, without supplementary groups.
    pub user: Option<(u32, u32)>,
    /// Capabilities taken out of the bounding set, so that the program under test starts without them.
    pub without_capabilities: Vec<u32>,
}

/// What `launch` reports, one JSON value a line.
#[derive(Serialize, Deserialize)]
pub enum LaunchEvent {
    /// The program runs; its pid as the harness sees it.
    Started(i32),
    /// execve failed with this errno.
    NotStarted(i32),
    /// The raw wait status of the program.
    Ended(i32),
    /// An orphan came to process 1 ([`Place::Third`]): its pid inside.
    Orphan(i32),
}

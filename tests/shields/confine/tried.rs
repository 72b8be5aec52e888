//! What attempts.py found.

use std::collections::BTreeMap;
use takumi_test::container::Start;
use takumi_test::image::Image;
use takumi_test::program::Ended;

pub const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shields/confine/attempts.py");

/// Attempts and their errno; 0 is a success.
pub type AttemptErrnos = BTreeMap<String, i32>;

/// A container like the classic ones: a root that can be written, the engine's default capabilities, no filter of the engine's.
/// The lock must hold there too.
pub fn open<'a>(image: &'a Image, confine: &str) -> Start<'a> {
    Start::plain(image)
        .options(&["--security-opt", "seccomp=unconfined", "--tmpfs", "/tmp", "--network", "none"])
        .env("TAKUMI_CONFINE", confine)
        .env("TAKUMI_LOG", "warn")
        .env("TAKUMI_VOLUMES", "/data")
        .env("TAKUMI_EGRESS", "off")
        .fresh_data()
}

/// With attempts.py in it, as COMMAND.
pub fn with_program<'a>(start: Start<'a>, words: &[&str]) -> Start<'a> {
    let mount = format!("{PROGRAM}:/attempts.py:ro");
    start.options(&["--volume", &mount]).command(&[&["python3", "/attempts.py"], words].concat())
}

#[track_caller]
pub fn tried(start: Start, words: &[&str]) -> AttemptErrnos {
    answers(&with_program(start, words).run())
}

#[track_caller]
pub fn answers(ended: &Ended) -> AttemptErrnos {
    assert_eq!(ended.code, 0, "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

//! What `--report` sees in a container.

use crate::seen::ReportRun;
use takumi_test::container::Start;
use takumi_test::engine::{Container, engine};
use takumi_test::folder::fresh_name;
use takumi_test::image::Image;
use takumi_test::program::Ended;

/// A container that holds both shields, as far as a rootful engine can.
pub fn hardened(image: &Image) -> Start<'_> {
    with_tmpfs(
        image,
        &["/tmp:rw,nosuid,nodev,noexec,size=64m,mode=1777", "/run:rw,nosuid,nodev,noexec,size=16m,mode=755"],
    )
}

/// The same with other tmpfs.
pub fn with_tmpfs<'a>(image: &'a Image, tmpfs: &[&str]) -> Start<'a> {
    let start = Start::bare(image).options(&["--ulimit", "core=0"]).env("TAKUMI_TMPFS", "/tmp:/run");
    tmpfs.iter().fold(start.env("TAKUMI_BAKED", "/app"), |start, each| start.options(&["--tmpfs", each]))
}

/// Runs a container to its end without the engine's daemon keeping its log.
pub fn run(start: &Start) -> Ended {
    // Removed on any way out.
    let container = Container { name: fresh_name("container") };
    let words = start.words(&container.name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    takumi_test::program::run(&mut engine(&[&["run"], words.as_slice()].concat()))
}

#[track_caller]
pub fn report(start: Start) -> ReportRun {
    ReportRun::of(run(&start.command(&["--report", "--json"])))
}

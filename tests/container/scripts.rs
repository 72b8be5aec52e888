//! The scripts as a stranger uses them.

use crate::engine::{Container, Image, Volume, ask, fresh_name};
use std::process::{Command, Output, Stdio};

/// A name for up.sh; its container and volume are removed with the value.
struct Demo {
    container: Container,
    _volume: Volume,
}

impl Demo {
    fn new() -> Demo {
        let name = fresh_name("up");
        Demo { _volume: Volume { name: format!("{name}-data") }, container: Container { name } }
    }

    fn up(&self, image: &str, arguments: &[&str]) -> Output {
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/up.sh"))
            .args(arguments)
            .env("DEMO_NAME", &self.container.name)
            .env("DEMO_IMAGE", image)
            .env("DEMO_PORT", "0")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn up_and_down_twice_on_the_same_volume() {
    let Some(image) = Image::demo() else { return };
    let demo = Demo::new();
    for _ in 0..2 {
        let up = demo.up(&image.name, &[]);
        assert!(up.status.success(), "{}", text(&up));
        let said = text(&up);
        for words in
            ["answers at http://127.0.0.1:", "1000 1000 1000 1000      1000 1000 1000 1000", "Nobody in there is root"]
        {
            assert!(said.contains(words), "expected '{words}': {said}");
        }
        let again = demo.up(&image.name, &[]);
        assert!(again.status.success() && text(&again).contains("running already"), "{}", text(&again));
        let down = demo.up(&image.name, &["down"]);
        assert!(down.status.success() && text(&down).contains("ended with code 143"), "{}", text(&down));
    }
    let down = demo.up(&image.name, &["down", "--volumes"]);
    assert!(text(&down).contains("-data removed"), "{}", text(&down));
}

#[test]
fn up_fails_with_the_log_and_leaves_nothing_when_the_app_does_not_come() {
    let Some(image) = Image::demo() else { return };
    let Some(classic) = Image::classic() else { return };
    let demo = Demo::new();
    // This image has no COMMAND of its own, so gosu prints its usage and ends.
    let up = demo.up(&classic.name, &[]);
    assert_eq!(up.status.code(), Some(1), "{}", text(&up));
    assert!(text(&up).contains("Usage: gosu"), "the container's log is shown: {}", text(&up));
    let left = ask(&["ps", "--all", "--quiet", "--filter", &format!("name={}", demo.container.name)]);
    assert_eq!(left, "", "a container is left");
    drop(image);
}

#[test]
fn a_binary_that_is_no_static_pie_is_refused() {
    let check = |binary: &str, flags: &str| {
        let line = "source scripts/common.sh; check_static_pie \"$0\"";
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", line, binary])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("RUSTFLAGS", flags);
        bash.output().unwrap()
    };
    let dynamic = check("/usr/bin/env", "-O");
    assert_eq!(dynamic.status.code(), Some(1), "{}", text(&dynamic));
    assert!(text(&dynamic).contains("needs shared libraries"), "{}", text(&dynamic));
    assert!(text(&dynamic).contains("RUSTFLAGS in the environment replaces"), "{}", text(&dynamic));
    let under_test = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
    let right = check(&under_test, "");
    assert!(right.status.success(), "{}", text(&right));
}

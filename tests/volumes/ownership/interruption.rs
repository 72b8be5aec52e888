//! A long walk tells how far it is, and a stop ends it where it is.

use super::support::{APP, OTHER, VolumeFixture, wrong};
use std::io::Read;
use std::process::Stdio;
use takumi_test::require;

/// A walk of many seconds: every look at a file takes 20 ms.
fn slow(place: &VolumeFixture) -> std::process::Command {
    for index in 0..2000 {
        place.file(format!("{index}"), OTHER, 0o644);
    }
    let log = place.root().join("trace");
    let delay = "inject=statx:delay_enter=20000";
    place.init().through(&["strace", "-o", log.to_str().unwrap(), "-e", "trace=statx", "-e", delay]).command()
}

#[test]
fn a_stop_ends_the_walk_where_it_is_and_a_long_walk_tells_of_itself() {
    require!(root, setpriv, strace);
    let place = VolumeFixture::new();
    let mut tracer = slow(&place).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut stderr = tracer.stderr.take().unwrap();
    while !said.contains("entries checked") {
        let mut bytes = [0; 4096];
        let count = stderr.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "ended: {said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    let init = children_of(tracer.id());
    sh!("kill", "-TERM", init);
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(tracer.wait().unwrap().code(), Some(125), "{said}");
    assert!(said.contains("stopped during the ownership repair"), "{said}");
    // It is one directory: whoever looks for a stop only between two of them has changed every file.
    let (left, all) = (wrong(&place.volume, APP).len(), 2001);
    assert!(left > 0 && left < all, "{left} of {all} entries are as they were");
}

fn children_of(parent: u32) -> String {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    children.split_whitespace().next().unwrap().to_owned()
}

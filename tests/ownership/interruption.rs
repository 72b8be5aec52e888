//! A long walk tells how far it is, and a stop ends it at once.

use crate::support::{OTHER, Place};
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A walk of many seconds: every look at a file takes 20 ms.
fn slow(place: &Place) -> std::process::Command {
    for index in 0..2000 {
        place.file(format!("{index}"), OTHER, 0o644);
    }
    let log = place.root().join("trace");
    let delay = "inject=statx:delay_enter=20000";
    place.init().through(&["strace", "-o", log.to_str().unwrap(), "-e", "trace=statx", "-e", delay]).command()
}

#[test]
fn a_stop_ends_the_walk_within_a_second_and_a_long_walk_tells_of_itself() {
    let place = Place::new();
    let mut tracer = slow(&place).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut stderr = tracer.stderr.take().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !said.contains("entries seen") {
        assert!(Instant::now() < deadline, "no progress: {said}");
        let mut bytes = [0; 4096];
        let count = stderr.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "ended: {said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    let init = children_of(tracer.id());
    let asked = Instant::now();
    sh!("kill", "-TERM", init);
    stderr.read_to_string(&mut said).unwrap();
    let took = asked.elapsed();
    assert_eq!(tracer.wait().unwrap().code(), Some(125), "{said}");
    assert!(said.contains("told to stop"), "{said}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

fn children_of(parent: u32) -> String {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    children.split_whitespace().next().unwrap().to_owned()
}

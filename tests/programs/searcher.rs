//! COMMAND of the tests of secrets: looks for a key in everything that it can read, tells, and stays until its stdin ends; told
//! `crash` there, it leaves a core dump.
//!
//! `searcher FORM=MASKED...`, as `Needles::words` makes them. Each line of stdout is a place; the last counts what was looked at.
#![allow(clippy::unwrap_used)]

use std::io::Read as _;
use std::path::Path;
use takumi_test::hunt::{Hunt, Needles};

fn main() {
    let needles = Needles::from_words(std::env::args().skip(1));
    let mut hunt = Hunt::default();
    let names = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    for pid in names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        hunt.process(&needles, &pid);
    }
    hunt.files(&needles, Path::new("/"));
    for place in &hunt.found {
        println!("{place}");
    }
    println!("looked files={} environments={} memories={}", hunt.files, hunt.environments, hunt.memories);
    let mut order = String::new();
    std::io::stdin().read_to_string(&mut order).unwrap();
    if order == "crash" {
        std::process::abort();
    }
}

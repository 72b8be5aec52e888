//! Any tree: names, depth, size.

use super::support::{APP, OTHER, Outcome, ROOT, VolumeFixture, file, wrong};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use takumi_test::level::full;
use takumi_test::require;

#[test]
fn names_are_bytes() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let names: [&[u8]; 7] = [b"new\nline", b"\xff\xfe", b"-R", b" ", b"...", b"\x1b[31m", &[b'x'; 255]];
    for name in names {
        place.file(OsStr::from_bytes(name), OTHER, 0o644);
        let mut below = vec![b'd'];
        below.extend_from_slice(&name[..name.len().min(250)]);
        below.extend_from_slice(b"/f");
        place.file(OsStr::from_bytes(&below), OTHER, 0o644);
    }
    place.init().run().succeeded();
    assert_eq!(wrong(&place.volume, APP), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_name_cannot_write_a_line_of_the_log() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let victim = file(&place.outside.join("victim"), OTHER, 0o644);
    fs::hard_link(victim, place.volume.join("evil\ninit: all is well\u{1b}[2J")).unwrap();
    let said = place.init().run().succeeded().says("evil\\ninit: all is well\\u{1b}[2J").text();
    assert!(!said.contains('\u{1b}') && !said.contains("\ninit: all is well"), "{said}");
}

/// Deeper than PATH_MAX by far: no path reaches the end, and a descriptor a level would pass every limit.
#[test]
fn a_tree_6000_deep_is_fixed_with_few_descriptors() {
    require!(root, setpriv, python3);
    let place = VolumeFixture::new();
    // Each level has a file before and one behind the directory that leads on, so that the way back up is walked as well.
    let script = r#"
import os, sys
os.chdir(sys.argv[1])
for level in range(6000):
    for name in ("a", "z"):
        open(name, "w").close()
        os.chown(name, 62000, 62000)
    os.mkdir("deeper"); os.chdir("deeper")
"#;
    sh!("python3", "-c", script, place.volume);
    let ended = place.init().through(&["sh", "-c", "ulimit -n 40 && exec \"$@\"", "sh"]).run();
    ended.succeeded().says("owner of 18001 of");
    let mismatched = sh!("find", place.volume, "!", "-uid", "61000", "-printf", "x");
    assert_eq!(mismatched, "");
}

fn peak_memory_kib(place: &VolumeFixture) -> u64 {
    // COMMAND reads what its parent, init, has needed at most.
    let ended = place.init().running(&["sh", "-c", "grep VmHWM /proc/$PPID/status >&2"]).run().succeeded();
    let line = ended.stderr.lines().find(|line| line.contains("VmHWM")).unwrap().to_owned();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn memory_does_not_grow_with_a_directory() {
    require!(root, setpriv);
    let entries = if full() { 300_000 } else { 20_000 };
    let place = VolumeFixture::new();
    place.file("one", OTHER, 0o644);
    let small = peak_memory_kib(&place);
    let big = place.directory("big", ROOT, 0o755);
    for index in 0..entries {
        fs::File::create(big.join(format!("entry-{index:08}-with-a-name-of-usual-length"))).unwrap();
    }
    let large = peak_memory_kib(&place);
    assert_eq!(sh!("find", place.volume, "!", "-uid", "61000", "-printf", "x"), "");
    println!("peak memory: {small} KiB with 1 entry, {large} KiB with {entries}");
    assert!(large <= 4096 && large <= small + 256, "{small} KiB with one entry, {large} KiB with {entries}");
}

#[test]
fn a_right_tree_costs_few_calls() {
    require!(root, setpriv, strace);
    let place = VolumeFixture::new();
    for directory in 0..50 {
        for index in 0..20 {
            place.file(format!("{directory}/{index}"), APP, 0o644);
        }
        place.directory(directory.to_string(), APP, 0o755);
    }
    place.directory("", APP, 0o755);
    let count = |trace: &str| trace.lines().filter(|line| line.contains("(")).count() as f64;
    let calls = "trace=statx,newfstatat,openat,close,getdents64,fchownat,fchdir,lseek,lgetxattr,getxattr";
    // Sockets of engines are searched in every mount of this machine, and what lies there changes from start to start.
    let init = || place.init().with("TAKUMI_SKIP", "runtime-socket");
    let (ended, trace) = init().traced(&["-f", "-e", calls]);
    ended.succeeded();
    let (ended, empty) = init().with("TAKUMI_VOLUMES", "").traced(&["-f", "-e", calls]);
    ended.succeeded();
    let an_entry = (count(&trace) - count(&empty)) / 1051.0;
    println!("{an_entry:.3} system calls an entry");
    assert!(an_entry <= 1.25, "{an_entry} system calls an entry");
}

#[test]
fn control_the_peers_stop_where_a_path_ends() {
    require!(root, python3, busybox);
    let place = VolumeFixture::new();
    let script = "import os,sys\nos.chdir(sys.argv[1])\nfor _ in range(6000): os.mkdir('deeper'); os.chdir('deeper')";
    sh!("python3", "-c", script, place.volume);
    let busybox = Command::new("busybox").args(["chown", "-R", "61000"]).arg(&place.volume).output().unwrap();
    assert!(!busybox.status.success(), "busybox walks 6000 levels by path");
}

//! Filesystems that refuse, lie or break, each recognised at the first file.

use super::support::{APP, Init, OTHER, Outcome, VolumeFixture, own, owner};
use std::fs;
use std::path::PathBuf;
use takumi_test::program::Ended;
use takumi_test::require;

/// A volume with `count` wrong files in a directory that the app may write.
fn usable(count: usize) -> VolumeFixture {
    let place = VolumeFixture::new();
    for index in 0..count {
        place.file(format!("{index:04}"), OTHER, 0o644);
    }
    own(&place.volume, APP, 0o755);
    place
}

fn changes(trace: &str) -> usize {
    trace.lines().filter(|line| line.contains("fchownat(")).count()
}

fn injected(init: Init, fault: &str) -> (Ended, usize) {
    // Without -f: PID 1's own calls; COMMAND is its child.
    let (ended, trace) = init.traced(&["-e", "trace=fchownat", "-e", &format!("inject=fchownat:{fault}")]);
    (ended, changes(&trace))
}

#[test]
fn a_chown_that_says_yes_and_does_nothing_is_seen_at_the_first_file() {
    require!(root, setpriv, strace);
    let place = usable(500);
    let (ended, changes) = injected(place.init(), "retval=0");
    ended.succeeded().says("ignores chown");
    assert_eq!(changes, 1);
    assert_eq!(owner(&place.volume.join("0000")), OTHER);
}

#[test]
fn a_chown_that_is_refused_for_all_is_seen_at_the_first_file() {
    require!(root, setpriv, strace);
    let place = usable(500);
    for errno in ["EPERM", "EACCES", "EOPNOTSUPP", "ENOSYS"] {
        let (ended, changes) = injected(place.init(), &format!("error={errno}"));
        ended.succeeded().says("refuses chown").says("root_squash");
        assert!(changes <= 2, "{errno}: {changes}");
    }
}

#[test]
fn a_volume_that_cannot_be_fixed_and_is_of_no_use_refuses_the_start() {
    require!(root, setpriv, strace);
    let place = usable(3);
    own(&place.volume, OTHER, 0o755);
    injected(place.init(), "retval=0").0.refused().says("ignores chown");
    injected(place.init(), "error=EPERM").0.refused().says("cannot write in").says("refuses chown");
}

/// Mounts bindfs over the volume.
fn bindfs(place: &VolumeFixture, option: &str) -> PathBuf {
    let point = place.root().join("fuse");
    fs::create_dir(&point).unwrap();
    sh!("bindfs", option, place.volume, point);
    point
}

#[test]
fn real_filesystems_that_refuse_or_lie() {
    require!(root, setpriv, strace, bindfs, fuse);
    for (option, words) in [("--chown-ignore", "ignores chown"), ("--chown-deny", "refuses chown")] {
        let place = usable(50);
        let point = bindfs(&place, option);
        let (ended, trace) = Init::on(&point).traced(&["-e", "trace=fchownat"]);
        ended.succeeded().says(words);
        assert!(changes(&trace) <= 2, "{trace}");
    }
}

#[test]
fn a_read_only_volume_is_told_as_that() {
    require!(root, setpriv, strace, namespaces);
    let place = usable(500);
    own(&place.volume, OTHER, 0o777);
    sh!("mount", "--bind", place.volume, place.volume);
    sh!("mount", "-o", "remount,ro,bind", place.volume);
    let (ended, trace) = place.init().traced(&["-e", "trace=fchownat"]);
    ended.refused().says("Read-only file system").says("mounted read-only");
    assert_eq!(changes(&trace), 1);
}

#[test]
fn one_refused_file_is_no_refusing_filesystem() {
    require!(root, setpriv, strace);
    let place = usable(20);
    // The first is refused, the volume's own directory and all others are not.
    let (ended, _) = injected(place.init(), "error=EPERM:when=1");
    ended.succeeded().says("1 entry not changed (refused by the kernel)").says("Operation not permitted");
    assert_eq!(super::support::wrong(&place.volume, APP).len(), 1);
}

/// Sockets of engines are searched in every mount of this machine, and what lies there changes from start to start.
fn watched(place: &VolumeFixture) -> Init {
    place.init().with("TAKUMI_SKIP", "runtime-socket")
}

/// The calls of getdents64 in a start on this place.
fn listings(place: &VolumeFixture) -> usize {
    let (ended, trace) = watched(place).traced(&["-e", "trace=getdents64"]);
    ended.succeeded();
    trace.lines().filter(|line| line.contains("getdents64(")).count()
}

#[test]
fn an_error_in_a_directory_is_never_its_end() {
    require!(root, setpriv, strace);
    let place = VolumeFixture::new();
    for directory in ["a", "b", "c"] {
        place.file(format!("{directory}/file"), APP, 0o644);
        place.directory(directory, APP, 0o755);
    }
    own(&place.volume, APP, 0o755);
    let walk = 2 * 4;
    let calls = listings(&place);
    assert!(calls >= walk, "{calls}");
    let mut loud = 0;
    for when in 1..=calls {
        let (ended, trace) = watched(&place).traced(&[
            "-e",
            "trace=getdents64",
            "-e",
            &format!("inject=getdents64:error=EIO:when={when}"),
        ]);
        assert!(trace.contains("INJECTED"), "call {when} was not hit");
        let said = ended.text();
        if said.contains("(not readable)") && said.contains("Input/output error") {
            loud += 1;
        }
    }
    assert_eq!(loud, walk, "of {calls} listings of the start");
}

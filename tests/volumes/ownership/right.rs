//! Only what is wrong is touched.

use super::support::{APP, OTHER, Outcome, ROOT, VolumeFixture, own, owner, snapshot, wrong};
use std::os::unix::fs::symlink;
use takumi_test::require;

fn right_tree() -> VolumeFixture {
    let place = VolumeFixture::new();
    for name in ["a/b/c/file", "a/b/other", "a/run", "top"] {
        place.file(name, APP, 0o644);
    }
    own(&place.file("a/setuid", APP, 0o755), APP, 0o6755);
    sh!("setcap", "cap_net_raw+ep", place.file("a/capable", APP, 0o755));
    for directory in ["a/b/c", "a/b", "a", ""] {
        place.directory(directory, APP, 0o755);
    }
    symlink("/etc/passwd", place.volume.join("link")).unwrap();
    std::os::unix::fs::lchown(place.volume.join("link"), Some(APP.0), Some(APP.1)).unwrap();
    place
}

#[test]
fn a_right_tree_is_not_touched() {
    require!(root, setpriv, strace, setcap);
    let place = right_tree();
    let before = snapshot(&place.volume);
    let (ended, trace) =
        place.init().traced(&["-f", "-e", "trace=chown,lchown,fchown,fchownat,chmod,fchmod,fchmodat,setxattr"]);
    ended.succeeded().says("setuid or setgid").says("file capabilities");
    let touches =
        trace.lines().filter(|line| line.contains(place.root().to_str().unwrap()) || line.contains("AT_EMPTY_PATH"));
    assert_eq!(touches.count(), 0, "{trace}");
    assert_eq!(snapshot(&place.volume), before);
    // The control: the same owner again costs ctime, setuid bits and file capabilities.
    sh!("chown", "-R", format!("{}:{}", APP.0, APP.1), place.volume);
    let after = snapshot(&place.volume);
    assert!(after.iter().all(|(path, facts)| before[path] != *facts), "chown -R left a ctime");
}

#[test]
fn wrong_owners_are_fixed_and_right_ones_beside_them_are_left() {
    require!(root, setpriv, setcap);
    let place = right_tree();
    let changed = [
        place.file("a/b/root", ROOT, 0o600),
        place.directory("a/new", OTHER, 0o700),
        place.file("group", (APP.0, 0), 0o644),
    ];
    let before = snapshot(&place.volume);
    place.init().run().succeeded().says("owner of 3 of");
    let after = snapshot(&place.volume);
    for (path, facts) in &after {
        assert_eq!((facts.0, facts.1), APP, "{}", path.display());
        assert_eq!(before[path] == *facts, !changed.contains(path), "{}", path.display());
    }
    // A second start finds nothing to do.
    place.init().run().succeeded();
    assert_eq!(snapshot(&place.volume), after);
}

#[test]
fn a_setuid_file_with_a_wrong_owner_is_fixed_and_reported() {
    require!(root, setpriv, setcap);
    let place = VolumeFixture::new();
    own(&place.file("tool", OTHER, 0o755), OTHER, 0o4755);
    sh!("setcap", "cap_net_raw+ep", place.file("capable", OTHER, 0o755));
    place.init().run().succeeded().says("lost their setuid").says("lost their file capabilities");
    assert_eq!(wrong(&place.volume, APP), Vec::<std::path::PathBuf>::new());
}

#[test]
fn verify_reports_and_changes_nothing() {
    require!(root, setpriv, setcap);
    let place = right_tree();
    let file = place.file("a/wrong", OTHER, 0o644);
    let before = snapshot(&place.volume);
    let ended = place.init().with("TAKUMI_OWNERSHIP", "verify").run();
    ended.succeeded().says("wrong owner").says(file.to_str().unwrap()).says("sudo chown -R 61000:61001");
    assert_eq!(snapshot(&place.volume), before);
    // The control: the default changes it.
    place.init().run().succeeded();
    assert_eq!(owner(&file), APP);
}

#[test]
fn verify_refuses_a_volume_that_the_app_cannot_write() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    place.init().with("TAKUMI_OWNERSHIP", "verify").run().refused().says("cannot write in").says("Permission denied");
    assert_eq!(owner(&place.volume), ROOT);
}

#[test]
fn off_looks_at_no_owner() {
    require!(root, setpriv, setcap);
    let place = right_tree();
    let file = place.file("a/wrong", OTHER, 0o644);
    place.init().with("TAKUMI_OWNERSHIP", "off").run().succeeded();
    assert_eq!(owner(&file), OTHER);
}

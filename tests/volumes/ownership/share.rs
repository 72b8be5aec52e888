//! Owners are left and the app is let in by ACL, on file systems that have them and on some that do not.

use super::support::{APP, Init, OTHER, Outcome, VolumeFixture, snapshot, wrong};
use std::path::Path;
use takumi_test::require;

#[test]
fn a_filesystem_without_acls_is_told_at_the_first_file() {
    require!(root, setpriv, strace);
    let place = VolumeFixture::new();
    for index in 0..100 {
        place.file(index.to_string(), OTHER, 0o644);
    }
    let share = || place.init().with("TAKUMI_OWNERSHIP", "share");
    let before = snapshot(&place.volume);
    let (ended, trace) = share().traced(&["-e", "trace=setxattr", "-e", "inject=setxattr:error=EOPNOTSUPP"]);
    ended.refused().says("has no POSIX ACLs").says("Operation not supported");
    assert_eq!(trace.lines().filter(|line| line.contains("posix_acl")).count(), 1, "{trace}");
    let (ended, trace) = share().traced(&["-e", "trace=setxattr", "-e", "inject=setxattr:retval=0"]);
    ended.refused().says("ignores ACLs");
    assert_eq!(trace.lines().filter(|line| line.contains("posix_acl")).count(), 1, "{trace}");
    assert_eq!(snapshot(&place.volume), before);
    // The control: without the fault it works, and touches no owner.
    share().run().succeeded().says("shared by ACL");
    assert_eq!(wrong(&place.volume, OTHER), std::slice::from_ref(&place.volume));
}

#[test]
fn an_acl_gives_what_the_owner_may_and_nobody_else_gains() {
    require!(root, setpriv, getfacl);
    let place = VolumeFixture::new();
    let closed = place.file("closed", OTHER, 0o600);
    let script = place.file("script", OTHER, 0o755);
    let read_only = place.file("read_only", OTHER, 0o444);
    place.init().with("TAKUMI_OWNERSHIP", "share").run().succeeded();
    let list = |path: &Path| sh!("getfacl", "-n", "-c", "-p", path).split_whitespace().collect::<Vec<_>>().join(" ");
    let named = |permission: &str| format!("user:0:{permission} user:{}:{permission}", APP.0);
    assert_eq!(list(&closed), format!("user::rw- {} group::--- mask::rw- other::---", named("rw-")));
    assert_eq!(list(&script), format!("user::rwx {} group::r-x mask::rwx other::r-x", named("rwx")));
    assert_eq!(list(&read_only), format!("user::r-- {} group::r-- mask::r-- other::r--", named("r--")));
    assert!(list(&place.volume).contains(&format!("default:user:{}:rwx", APP.0)));
    Init::on(&place.volume).with("TAKUMI_OWNERSHIP", "share").run().succeeded().says("ownership correct");
}

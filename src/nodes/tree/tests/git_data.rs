//! A node that is a clone.

use super::*;
use takumi_test::require;

#[test]
fn git_itself_may_look_for_updates_and_tidy_up() {
    require!(git);
    let nodes = NodesFolder::new("real-git");
    let git = |place: &str, arguments: &[&str]| {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main"];
        let mut command = Command::new("git");
        command.args(["-C".as_ref(), nodes.at(place).as_os_str()]).args(identity).args(arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        command.output().is_ok_and(|output| output.status.success())
    };
    nodes.write("from/a.py", b"1");
    assert!(git("from", &["init"]) && git("from", &["add", "."]) && git("from", &["commit", "-m", "one"]));
    assert!(git(".", &["clone", "from", "n"]));
    let before = nodes.digest(c"n");
    nodes.write("from/a.py", b"22");
    assert!(git("from", &["commit", "-am", "two"]) && git("from", &["tag", "v2"]));
    std_fs::File::options().write(true).open(nodes.at("n/a.py")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(git("n", &["status"]) && git("n", &["fetch"]) && git("n", &["gc"]));
    assert_eq!(nodes.digest(c"n"), before);
    assert!(nodes.at("n/.git/packed-refs").exists());
    assert!(git("n", &["pull"]));
    assert_ne!(nodes.digest(c"n"), before);
    let pulled = nodes.digest(c"n");
    assert!(git("n", &["config", "core.fsmonitor", "/bin/true"]));
    assert_ne!(nodes.digest(c"n"), pulled);
}

#[test]
fn what_git_writes_by_itself_leaves_the_digest_and_what_could_run_does_not() {
    let nodes = NodesFolder::new("git");
    nodes.write("n/.git/HEAD", b"ref: refs/heads/main\n");
    nodes.write("n/.git/config", b"");
    nodes.write("n/.git/index", b"DIRC");
    nodes.write("n/.git/objects/ab/cd", b"x\x01");
    let before = nodes.digest(c"n");
    nodes.write("n/.git/index", b"DIRC2");
    nodes.write("n/.git/FETCH_HEAD", b"1");
    nodes.write("n/.git/objects/ef/01", b"x\x01");
    assert_eq!(nodes.digest(c"n"), before);
    assert_eq!(paths(&nodes.read(c"n")), [".git/HEAD", ".git/config"]);
    let mut seen = vec![before];
    let mut again = |what: &str| {
        let digest = nodes.digest(c"n");
        assert!(!seen.contains(&digest), "{what}");
        seen.push(digest);
    };
    nodes.write("n/.git/objects/ab/x.py", b"1");
    again("code among the objects");
    nodes.write("n/.git/hooks/post-merge", b"1");
    again("a hook");
    std_fs::set_permissions(nodes.at("n/.git/objects/ab/cd"), PermissionsExt::from_mode(0o755)).unwrap();
    again("a program among the objects");
    symlink("/", nodes.at("n/.git/objects/link")).unwrap();
    again("a link among the objects");
    nodes.write("n/lib/.git/index", b"1");
    again("an index that is not the node's own");
    // As on a volume where everything is executable.
    std_fs::set_permissions(nodes.at("n/.git/HEAD"), PermissionsExt::from_mode(0o755)).unwrap();
    again("HEAD itself");
    std_fs::set_permissions(nodes.at("n/.git/index"), PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(nodes.digest(c"n"), *seen.last().unwrap());
}

//! A start as root: what is left of it.

use super::start::{Stage, holds_nothing, is_user};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;
use takumi_test::poll::eventually;
use takumi_test::require;

const AS_PID_1: &str = "unshare --pid --fork --kill-child --mount --mount-proc";
const AS_USER: &str = "setpriv --reuid 1000 --regid 1000 --clear-groups";
/// A shell between: COMMAND's words follow.
const WITH_A_DESCRIPTOR: &str = "/with_a_descriptor";

#[test]
fn command_and_init_hold_nothing_and_get_nothing_back() {
    require!(namespaces, unshare);
    let stage = Stage::set();
    for launcher in ["", AS_PID_1] {
        let seen = stage.init(launcher, &[("TAKUMI_USER", "app"), ("UMASK", "027")]);
        let state = seen.ran();
        is_user(state, 1000, 1000, "44 105 1000");
        holds_nothing(state);
        for (key, value) in [
            ("regained", ""),
            ("umask", "0027"),
            ("blocked", "0000000000000000"),
            ("parent_death", "9"),
            ("home", "/home/app"),
            ("user", "app"),
            ("logname", "app"),
            ("settings", ""),
            ("cwd", "/"),
        ] {
            assert_eq!(state.get(key), value, "{key}: {state:?}");
        }
        assert_eq!(seen.said, "", "a healthy start is silent");
    }
}

#[test]
fn gosu_leaves_what_init_drops() {
    require!(namespaces, gosu);
    let stage = Stage::set();
    let seen = stage.start("gosu app", &[("TAKUMI_USER", "app")]);
    let state = seen.ran();
    assert_ne!(state.get("bounding"), "0");
    assert_eq!((state.get("no_new_privs"), state.get("securebits")), ("0", "0"));
    assert_eq!(state.get("settings"), "TAKUMI_USER");
}

#[test]
fn the_user_cannot_read_init() {
    require!(namespaces, unshare, setpriv, tini);
    let stage = Stage::set();
    for launcher in ["", AS_PID_1] {
        let seen = stage.init(launcher, &[("PUID", "1000")]);
        assert_eq!((seen.ran().get("parent_owner"), seen.ran().get("parent_open")), ("0", ""), "{seen:?}");
    }
    let control = stage.start(&format!("{AS_USER} tini -s --"), &[]);
    assert_eq!(control.ran().get("parent_open"), "environ mem maps fd", "nothing was there to be hidden");
}

#[test]
fn no_inherited_descriptor_is_left_in_init_or_command() {
    require!(namespaces, setpriv);
    let stage = Stage::set();
    let shell = stage.path(WITH_A_DESCRIPTOR.trim_start_matches('/'));
    fs::write(&shell, "exec \"$@\" 7</etc/passwd 9</dev/null\n").unwrap();
    let launcher = format!("/bin/sh {shell}");

    let mut command = stage.command(&format!("{launcher} {} /bin/sleep 60", stage.init), &[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let place = format!("/proc/{}", child.id());
    let sleeps = || {
        let children = fs::read_to_string(format!("{place}/task/{}/children", child.id())).unwrap_or_default();
        let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        children.split_whitespace().any(|pid| name(pid) == "sleep\n").then_some(())
    };
    eventually("COMMAND", sleeps);
    let listed = fs::read_dir(format!("{place}/fd")).map(|entries| {
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    });
    let owner = fs::metadata(format!("{place}/fd")).map(|meta| meta.uid());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(owner.unwrap(), 0, "init is dumpable");
    assert_eq!(listed.unwrap(), ["0", "1", "2"]);

    assert_eq!(stage.init(&launcher, &[]).ran().get("descriptors"), "0 1 2");
    let control = stage.start(&format!("{launcher} {AS_USER}"), &[]);
    assert!(control.ran().get("descriptors").contains("7 9"), "{control:?}");
}

#[test]
fn uid_0_needs_a_yes_and_keeps_no_capability() {
    require!(namespaces, setpriv);
    let stage = Stage::set();
    for settings in [[("PUID", "0")], [("TAKUMI_USER", "root")], [("TAKUMI_USER", "0:0")]] {
        stage.init("", &settings).refused(&["TAKUMI_ALLOW_ROOT"]);
    }
    let seen = stage.start(&format!("{} /usr/bin/env", stage.init), &[("PUID", "0"), ("TAKUMI_ALLOW_ROOT", "yes")]);
    let state = seen.ran();
    assert_eq!(state.get("uid"), "0 0 0 0");
    for set in ["effective", "permitted", "inheritable", "ambient", "bounding"] {
        assert_eq!(state.get(set), "0", "{set}: {state:?}");
    }
    assert_eq!((state.get("no_new_privs"), state.get("securebits")), ("1", "eb"), "{state:?}");
    assert!(!state.get("regained").contains("ambient") && !state.get("regained").contains("groups"), "{state:?}");
    let control = stage.start("setpriv --reuid 0 --clear-groups", &[]);
    assert_ne!(control.ran().get("effective"), "0", "nothing was there to be dropped");
}

#[test]
fn the_apps_user_can_reopen_the_pipes_of_pid_1() {
    require!(namespaces, unshare, gosu);
    let stage = Stage::set();
    let write = |words: String| {
        let mut command = stage.command(&words, &[("PUID", "1000")]);
        let words = ["/bin/sh", "-c", "echo out > /proc/self/fd/1 && echo err > /proc/self/fd/2"];
        let output = command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let seen = write(format!("{AS_PID_1} {}", stage.init));
    assert_eq!(seen, (true, "out\n".to_owned(), "err\n".to_owned()));
    assert!(!write("gosu 1000:1000".to_owned()).0, "these pipes were open to everybody");
    let not_first = write(stage.init.clone());
    assert!(!not_first.0, "stdio belongs to somebody else when init is not PID 1: {not_first:?}");
}

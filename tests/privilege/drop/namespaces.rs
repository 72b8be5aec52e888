//! User namespaces: a target that is not mapped is refused before anything is tried, and the map is named.

use super::start::{COMMANDS_CODE, DropResult, Stage, holds_nothing, is_user};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use takumi_test::require;

const PLAIN: &str = "setpriv --reuid 1001 --regid 1001 --clear-groups";

#[test]
fn a_single_map_refuses_everybody_else() {
    require!(namespaces, setpriv, unshare);
    let stage = Stage::set();
    for launcher in ["unshare --map-root-user".to_owned(), format!("{PLAIN} unshare --map-root-user")] {
        stage.init(&launcher, &[("PUID", "1000")]).refused(&["1000", "map"]);
        stage.init(&launcher, &[]).refused(&["1000", "map"]);
    }
}

/// Groups cannot be set there (`setgroups` says deny): COMMAND runs as the host's user with none, or not at all.
#[test]
fn uid_0_of_a_single_map_is_the_hosts_user() {
    require!(namespaces, setpriv, unshare);
    let stage = Stage::set();
    for groups in ["--clear-groups", "--groups 44,105"] {
        let launcher = format!("setpriv --reuid 1001 --regid 1001 {groups} unshare --map-root-user");
        let seen = stage.init(&launcher, &[("PUID", "0"), ("PGID", "0")]);
        if seen.code == COMMANDS_CODE {
            let state = seen.ran();
            for set in ["effective", "permitted", "inheritable", "ambient", "bounding"] {
                assert_eq!(state.get(set), "0", "{set}: {state:?}");
            }
            assert!(!state.get("groups").contains("65534"), "a group of the host's is left: {state:?}");
        } else {
            seen.refused(&[]);
        }
    }
    let control = stage.start("setpriv --reuid 1001 --regid 1001 --groups 44 unshare --map-root-user", &[]);
    assert_eq!(control.ran().get("groups"), "65534", "no group was there to be left");
}

/// The map of a rootless engine: container root is the host's user.
#[test]
fn a_rootless_map_drops_to_a_mapped_user_and_refuses_another() {
    require!(namespaces, setpriv, unshare);
    let stage = Stage::set();
    let seen = rootless(&stage, &[("TAKUMI_USER", "app")]);
    is_user(seen.ran(), 1000, 1000, "44 105 1000");
    holds_nothing(seen.ran());
    assert_eq!(seen.ran().get("regained"), "");
    rootless(&stage, &[("PUID", "70000")]).refused(&["70000", "map"]);
    rootless(&stage, &[("PUID", "1000"), ("PGID", "70000")]).refused(&["70000", "map"]);
    rootless(&stage, &[("PUID", "1000"), ("TAKUMI_GROUPS", "70000")]).refused(&["70000", "map"]);
}

/// There uid 0 is an ordinary user of the host's: allowed, without a capability.
#[test]
fn uid_0_of_a_rootless_map_is_allowed_and_holds_nothing() {
    require!(namespaces, setpriv, unshare);
    let stage = Stage::set();
    let seen = rootless(&stage, &[("PUID", "0"), ("PGID", "0")]);
    assert_eq!(seen.ran().get("uid"), "0 0 0 0");
    holds_nothing(seen.ran());
}

/// As a rootless engine does it: the namespace first, then its map from outside, then the program.
fn rootless(stage: &Stage, settings: &[(&str, &str)]) -> DropResult {
    let report = stage.path("rootless");
    let _ = fs::remove_file(&report);
    let mut command = stage.command(&format!("{PLAIN} unshare --user /bin/sh -c"), settings);
    command.args(["echo $$; read mapped; exec \"$0\" \"$@\"", &stage.init, &stage.probe, "report", &report]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{}/{map}", line.trim()), "0 1001 1\n1 100000 65536\n").unwrap();
    }
    child.stdin.take().unwrap().write_all(b"mapped\n").unwrap();
    let output = child.wait_with_output().unwrap();
    DropResult {
        code: output.status.code().unwrap_or(-1),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
        state: takumi_test::state::State::read(report.as_ref()),
    }
}

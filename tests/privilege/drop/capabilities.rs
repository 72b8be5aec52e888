//! A root that lacks a capability: refused with the one to add, before COMMAND runs halfway dropped.

use super::start::{Stage, is_user};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use takumi_test::require;

#[test]
fn a_missing_capability_is_named_with_what_to_add() {
    require!(namespaces, setpriv);
    let stage = Stage::set();
    for name in ["SETUID", "SETGID", "SETPCAP"] {
        let seen = stage.init(&format!("setpriv --bounding-set=-{}", name.to_lowercase()), &[("PUID", "1000")]);
        seen.refused(&[&format!("CAP_{name}"), &format!("--cap-add {name}")]);
    }
    let all = "setpriv --bounding-set=-all";
    stage.init(all, &[("PUID", "1000")]).refused(&["--cap-add", "SETUID"]);
    stage.init("setpriv --bounding-set=-all,+setuid,+setgid,+setpcap", &[("PUID", "1000")]).ran();
}

/// What setpriv does with the same capabilities: it says nothing and starts COMMAND.
#[test]
fn setpriv_without_setpcap_keeps_the_bounding_set_and_says_nothing() {
    require!(namespaces, setpriv);
    let stage = Stage::set();
    let without = "setpriv --bounding-set=-setpcap";
    let drop = "setpriv --reuid 1000 --regid 1000 --clear-groups --bounding-set=-all";
    let seen = stage.start(&format!("{without} {drop}"), &[]);
    assert_ne!(seen.ran().get("bounding"), "0");
    assert_eq!(seen.said, "");
}

/// The bounding set is empty already: what SETPCAP is missed for decides, not SETPCAP.
#[test]
fn without_setpcap_the_outcome_decides() {
    require!(namespaces, setpriv);
    let stage = Stage::set();
    let launcher = "setpriv --inh-caps=-all,+setuid,+setgid setpriv --bounding-set=-all";
    let seen = stage.init(launcher, &[("PUID", "1000")]);
    match &seen.state {
        None => seen.refused(&["--cap-add SETPCAP"]),
        Some(state) => {
            is_user(state, 1000, 1000, "44 105 1000");
            for set in ["effective", "permitted", "inheritable", "ambient", "bounding"] {
                assert_eq!(state.get(set), "0", "{state:?}");
            }
            assert_eq!((state.get("no_new_privs"), state.get("regained")), ("1", ""), "{state:?}");
        }
    }
}

#[test]
fn chown_is_needed_only_where_an_owner_is_wrong() {
    require!(namespaces, setpriv);
    let stage = Stage::set();
    let volume = stage.path("volume");
    fs::create_dir(&volume).unwrap();
    let settings = [("PUID", "1000"), ("TAKUMI_VOLUMES", &*volume)];
    let without = "setpriv --bounding-set=-chown";
    stage.init(without, &settings).refused(&[&volume, "CAP_CHOWN", "--cap-add CHOWN"]);
    stage.init("", &settings).ran();
    assert_eq!(fs::metadata(&volume).unwrap().uid(), 1000);
    stage.init(without, &settings).ran();
}

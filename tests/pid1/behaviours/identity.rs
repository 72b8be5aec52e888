//! U: COMMAND runs as another user. The controls have gosu in front of it.

use super::support::{Program, Scratch, Start, State, check, check_init};
use serde_json::json;
use takumi_test::require;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    app:x:4242:4343:the app:/home/app:/bin/sh\n\
    homeless:x:4300:4343:::\n";
const GROUP: &str =
    "root:x:0:\nvideo:x:44:other,app\napp:x:4343:\nextra:x:5555:app\nother:x:6000:homeless\nroots:x:0:app\n";

/// A start with a passwd and group file of the test's own.
fn start(program: Program, scratch: &Scratch) -> Start {
    let passwd = scratch.file("passwd", 0o644, PASSWD);
    let group = scratch.file("group", 0o644, GROUP.replace("roots:x:0:app\n", ""));
    Start::new(program).bind(passwd, "/etc/passwd").bind(group, "/etc/group")
}

/// Without the primary one, which some programs add to them.
fn supplementary(state: &State) -> Vec<u64> {
    let list = state["groups"].as_array().unwrap().iter().map(|group| group.as_u64().unwrap());
    let mut groups: Vec<u64> = list.filter(|group| *group != state["gids"][0].as_u64().unwrap()).collect();
    groups.sort();
    groups
}

#[test]
fn u01_user_name() {
    require!(gosu);
    check("U01", |program| {
        let scratch = Scratch::new();
        let state = start(program, &scratch).user("app").probe("state").spawn().state();
        assert_eq!(state["uids"], json!([4242, 4242, 4242]));
        assert_eq!(state["gids"], json!([4343, 4343, 4343]));
        assert_eq!(supplementary(&state), [44, 5555]);
        assert_eq!(state.variable("HOME"), Some(b"/home/app".to_vec()));
    });
}

#[test]
fn u02_ids_without_a_passwd_entry() {
    require!(gosu);
    check("U02", |program| {
        let scratch = Scratch::new();
        let state = start(program, &scratch).user("7777:8888").probe("state").spawn().state();
        assert_eq!(state["uids"], json!([7777, 7777, 7777]));
        assert_eq!(state["gids"], json!([8888, 8888, 8888]));
        assert_eq!(supplementary(&state), [0; 0]);
    });
}

#[test]
fn u03_user_and_group_by_name() {
    require!(gosu);
    check("U03", |program| {
        let scratch = Scratch::new();
        let state = start(program, &scratch).user("app:other").probe("state").spawn().state();
        assert_eq!(state["uids"], json!([4242, 4242, 4242]));
        assert_eq!(state["gids"], json!([6000, 6000, 6000]));
        assert_eq!(supplementary(&state), [0; 0]);
    });
}

#[test]
fn u04_unknown_user_is_refused() {
    require!(gosu);
    check("U04", |program| {
        for user in ["nobody-such", "app:nogroup-such", "nobody-such:app"] {
            let scratch = Scratch::new();
            let ended = start(program, &scratch).user(user).probe("say:ran").run();
            assert!(ended.failed() && ended.stdout.is_empty() && ended.stderr.contains("such"), "{ended:?}");
            if program == Program::Init {
                ended.expect(125).expect_one_line();
            }
        }
    });
}

#[test]
fn u05_capabilities_are_gone() {
    require!(gosu);
    check("U05", |program| {
        let scratch = Scratch::new();
        let state = start(program, &scratch).user("app").probe("state").spawn().state();
        let sets: Vec<&str> =
            state["capabilities"].as_array().unwrap().iter().map(|set| set.as_str().unwrap()).collect();
        let [inheritable, permitted, effective, bounding, ambient] = sets[..] else { panic!("{sets:?}") };
        let none = "0000000000000000";
        assert_eq!([inheritable, permitted, effective, ambient], [none; 4]);
        if program == Program::Init {
            assert_eq!((bounding, &state["no_new_privs"]), (none, &json!(1)));
        } else {
            assert_ne!((bounding, &state["no_new_privs"]), (none, &json!(1)), "gosu leaves the bounding set");
        }
    });
}

#[test]
fn u06_signals_reach_a_child_of_another_uid() {
    require!(gosu);
    check("U06", |program| {
        let scratch = Scratch::new();
        let start = start(program, &scratch).user("app");
        let mut running = start.probe("hold:USR1 hold:TERM state until:USR1 until:TERM exit:9").spawn();
        assert_eq!(running.state()["uids"], json!([4242, 4242, 4242]));
        running.signal("USR1");
        running.signal("TERM");
        running.wait().expect(9);
    });
}

#[test]
fn u07_exec_failure_after_the_drop_is_127() {
    require!(gosu);
    check("U07", |program| {
        let scratch = Scratch::new();
        start(program, &scratch).user("app").command(["no-such-program"]).run().expect(127);
    });
}

#[test]
fn default_is_uid_1000() {
    check_init(|program| {
        let state = Start::new(program).probe("state").spawn().state();
        assert_eq!((&state["uids"], &state["gids"]), (&json!([1000, 1000, 1000]), &json!([1000, 1000, 1000])));
        assert_eq!(supplementary(&state), [0; 0]);
    });
}

#[test]
fn puid_and_pgid() {
    check_init(|program| {
        let scratch = Scratch::new();
        let of = |settings: &[(&str, &str)]| {
            let start = settings.iter().fold(start(program, &scratch), |start, (name, value)| start.env(name, value));
            let state = start.probe("state").spawn().state();
            [state["uids"][1].as_u64().unwrap(), state["gids"][1].as_u64().unwrap()]
        };
        assert_eq!(of(&[("PUID", "7000")]), [7000, 7000]);
        assert_eq!(of(&[("PUID", "4242")]), [4242, 4343]);
        assert_eq!(of(&[("PUID", "4242"), ("PGID", "9000")]), [4242, 9000]);
        assert_eq!(of(&[("PGID", "9000")]), [1000, 9000]);
        assert_eq!(of(&[("PUID", "7000"), ("PGID", "9000"), ("TAKUMI_USER", "app")]), [4242, 4343]);
        assert_eq!(of(&[("TAKUMI_USER", "4294967294:4294967294")]), [4294967294, 4294967294]);
    });
}

#[test]
fn supplementary_groups_by_setting() {
    check_init(|program| {
        let scratch = Scratch::new();
        let of = |groups: &str| {
            let start = start(program, &scratch).user("app").env("TAKUMI_GROUPS", groups);
            supplementary(&start.probe("state").spawn().state())
        };
        assert_eq!(of("auto"), [44, 5555]);
        assert_eq!(of("other,7001"), [6000, 7001]);
    });
}

#[test]
fn group_0_never_comes_along() {
    check_init(|program| {
        let scratch = Scratch::new();
        let group = scratch.file("group-with-roots", 0o644, GROUP);
        let start =
            Start::new(program).bind(scratch.file("passwd", 0o644, PASSWD), "/etc/passwd").bind(group, "/etc/group");
        assert_eq!(supplementary(&start.user("app").probe("state").spawn().state()), [44, 5555]);
    });
}

#[test]
fn home_user_and_logname() {
    check_init(|program| {
        let scratch = Scratch::new();
        let of = |user: &str, home: Option<&str>| {
            let start = start(program, &scratch).user(user).env("USER", "stale").env("LOGNAME", "stale");
            let start = home.into_iter().fold(start, |start, home| start.env("HOME", home));
            let state = start.probe("state").spawn().state();
            ["HOME", "USER", "LOGNAME"].map(|name| String::from_utf8(state.variable(name).unwrap_or_default()).unwrap())
        };
        assert_eq!(of("app", None), ["/home/app", "app", "app"]);
        assert_eq!(of("app", Some("/")), ["/home/app", "app", "app"]);
        assert_eq!(of("app", Some("/root")), ["/home/app", "app", "app"]);
        assert_eq!(of("app", Some("/data")), ["/data", "app", "app"]);
        assert_eq!(of("app", Some("/home/app")), ["/home/app", "app", "app"]);
        assert_eq!(of("4242", None), ["/home/app", "app", "app"]);
        assert_eq!(of("7777", None), ["/", "7777", "7777"]);
        assert_eq!(of("7777", Some("/root")), ["/", "7777", "7777"]);
        assert_eq!(of("7777", Some("/data")), ["/data", "7777", "7777"]);
    });
}

#[test]
fn an_ordinary_user_stays_who_it_is() {
    check_init(|program| {
        let scratch = Scratch::new();
        let as_app = || start(program, &scratch).started_as(4242, 4343);
        let state = as_app().probe("state").spawn().state();
        assert_eq!((&state["uids"], &state["no_new_privs"]), (&json!([4242, 4242, 4242]), &json!(1)));
        as_app().env("PUID", "4242").probe("exit:3").run().expect(3);
        as_app().user("app").probe("exit:3").run().expect(3);
        for (name, value) in [("PUID", "4243"), ("PGID", "1000"), ("TAKUMI_USER", "root"), ("TAKUMI_USER", "4242:1")] {
            let ended = as_app().env(name, value).probe("say:ran").run();
            ended.expect(125).expect_one_line();
            assert!(ended.stdout.is_empty() && ended.stderr.contains(name), "{ended:?}");
        }
    });
}

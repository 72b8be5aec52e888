//! Every refusal is one line and 125, and COMMAND does not run.

use super::support::{Program, ProgramEnd, Start, check_init};

/// A start that must be refused with a line that has all of these.
#[track_caller]
fn refused(start: Start, said: &[&str]) -> ProgramEnd {
    let ended = start.probe("say:ran").run();
    ended.expect(125).expect_one_line();
    assert!(ended.stdout.is_empty(), "{ended:?}");
    for part in said {
        assert!(ended.stderr.contains(part), "{part:?} is not said: {ended:?}");
    }
    ended
}

fn with(program: Program, name: &str, value: &str) -> Start {
    Start::new(program).env(name, value)
}

#[test]
fn malformed_ids() {
    check_init(|program| {
        let malformed = [
            "", " ", "-1", "+1", " 1000", "1000 ", "1000\n", "0x3e8", "1e3", "1_000", "1000.0", "4294967295",
            "4294967296", "18446744073709552616", "99999999999999999999", "\u{0663}", "1000:1000", "abc",
        ];
        for value in malformed {
            refused(with(program, "PUID", value), &["PUID"]);
            refused(with(program, "PGID", value), &["PGID"]);
        }
        for value in
            ["", ":", "app:", ":1000", "-1", "+1", "4294967295", "4294967296", "1000:-1", "1:2:3", "1000:", " 1000"]
        {
            refused(with(program, "TAKUMI_USER", value), &["TAKUMI_USER"]);
        }
        with(program, "PUID", "4294967294").probe("exit:3").run().expect(3);
        with(program, "PUID", "007").probe("exit:3").run().expect(3);
    });
}

#[test]
fn root_as_target() {
    check_init(|program| {
        for (name, value) in
            [("PUID", "0"), ("PUID", "00"), ("TAKUMI_USER", "0"), ("TAKUMI_USER", "root"), ("TAKUMI_USER", "0:1000")]
        {
            refused(with(program, name, value), &[name, "TAKUMI_ALLOW_ROOT"]);
            let state = with(program, name, value).env("TAKUMI_ALLOW_ROOT", "yes").probe("state").spawn().state();
            assert_eq!(state["uids"], serde_json::json!([0, 0, 0]));
            assert_eq!(state["capabilities"], serde_json::json!(vec!["0000000000000000"; 5]));
        }
    });
}

#[test]
fn bad_settings_name_variable_and_value() {
    check_init(|program| {
        let bad = [
            ("UMASK", "8"),
            ("UMASK", "1000"),
            ("UMASK", "-1"),
            ("UMASK", "0x12"),
            ("TAKUMI_ALLOW_ROOT", "maybe"),
            ("TAKUMI_GROUPS", "no-such-group"),
            ("TAKUMI_GROUPS", "4294967295"),
            ("TAKUMI_OWNERSHIP", "none"),
            ("TAKUMI_VOLUMES", "relative/path"),
            ("TAKUMI_GPU", "yes"),
            ("TAKUMI_EGRESS", "maybe"),
            ("TAKUMI_REQUIRE", "nonsense"),
            ("TAKUMI_SKIP", "nonsense"),
            ("TAKUMI_SKIP", "no-new-privileges"),
            ("TAKUMI_CONFINE", "on"),
            ("TAKUMI_CONNECT", "65536"),
            ("TAKUMI_SIGNALS", "TERM"),
            ("TAKUMI_SIGNALS", "FOO=TERM"),
            ("TAKUMI_SIGNALS", "TERM=FOO"),
            ("TAKUMI_SIGNALS", "TERM=65"),
            ("TAKUMI_SIGNALS", "=TERM"),
            ("TAKUMI_SIGNAL_SCOPE", "tree"),
            ("TAKUMI_STOP", "TERM"),
            ("TAKUMI_STOP", "TERM:1"),
            ("TAKUMI_STOP", "TERM:1h"),
            ("TAKUMI_STOP", "FOO:1s"),
            ("TAKUMI_STOP", "TERM:-1s"),
            ("TAKUMI_LEFTOVER_GRACE", "2"),
            ("TAKUMI_LEFTOVER_GRACE", "-1s"),
            ("TAKUMI_LEFTOVER_GRACE", "99999999999999999999s"),
            ("TAKUMI_PARENT_DEATH", "BOGUS"),
            ("TAKUMI_PARENT_DEATH", "0"),
            ("TAKUMI_REBOOT", "yes"),
            ("TAKUMI_KEEP_FDS", "x"),
            ("TAKUMI_KEEP_FDS", "-1"),
            ("TAKUMI_EXIT_OK", "256"),
            ("TAKUMI_HEALTH_URL", "ftp://127.0.0.1/"),
            ("TAKUMI_HEALTH_TIMEOUT", "soon"),
            ("TAKUMI_SCAN", "maybe"),
            ("TAKUMI_LOG", "loud"),
            ("TAKUMI_LOG_FORMAT", "xml"),
        ];
        for (name, value) in bad {
            refused(with(program, name, value), &[name, value]);
        }
        refused(with(program, "UMASK", ""), &["UMASK"]);
    });
}

#[test]
fn good_settings_are_taken() {
    check_init(|program| {
        let good = [
            ("TAKUMI_SIGNALS", "TERM=INT,10=SIGUSR2,HUP="),
            ("TAKUMI_SIGNAL_SCOPE", "all"),
            ("TAKUMI_STOP", "INT:1500ms,TERM:1s,HUP:2m"),
            ("TAKUMI_LEFTOVER_GRACE", "0s"),
            ("TAKUMI_PARENT_DEATH", "TERM"),
            ("TAKUMI_PARENT_DEATH", "RTMIN+1"),
            ("TAKUMI_EXIT_OK", "143,130"),
            ("TAKUMI_LOG_FORMAT", "json"),
            ("TAKUMI_GROUPS", ""),
            ("TAKUMI_VOLUMES", ""),
            ("TAKUMI_SIGNALS", ""),
            ("TAKUMI_STOP", ""),
            ("TAKUMI_EXIT_OK", ""),
            ("TAKUMI_KEEP_FDS", ""),
        ];
        for (name, value) in good {
            let ended = with(program, name, value).probe("exit:3").run();
            ended.expect(3);
            assert!(ended.stderr.is_empty(), "{name}={value}: {ended:?}");
        }
    });
}

#[test]
fn unknown_setting_names_the_nearest() {
    check_init(|program| {
        for (name, nearest) in [
            ("TAKUMI_USR", "TAKUMI_USER"),
            ("TAKUMI_SINGALS", "TAKUMI_SIGNALS"),
            ("TAKUMI_VOLUME", "TAKUMI_VOLUMES"),
            ("TAKUMI_LOGFORMAT", "TAKUMI_LOG_FORMAT"),
        ] {
            refused(with(program, name, "some-value"), &[name, "some-value", nearest]);
        }
    });
}

#[test]
fn two_bad_settings_are_both_reported() {
    check_init(|program| {
        let ended =
            with(program, "PUID", "abc").env("TAKUMI_GPU", "perhaps").env("TAKUMI_USR", "x").probe("say:ran").run();
        ended.expect(125);
        assert_eq!(ended.stderr.lines().count(), 3, "{ended:?}");
        for name in ["PUID", "TAKUMI_GPU", "TAKUMI_USR"] {
            assert_eq!(ended.stderr.lines().filter(|line| line.contains(name)).count(), 1, "{name}: {ended:?}");
        }
    });
}

#[test]
fn a_working_directory_outside_of_the_root_is_refused() {
    const ROOT: &str = "/run/root";
    check_init(|program| {
        let start = || Start::new(program).bind("/", ROOT).root(ROOT);
        refused(start(), &["the working directory is outside the container"]);
        // The control: nothing else about that root is a reason.
        start().directory(ROOT).probe("exit:3").run().expect(3);
    });
}

#[test]
fn refusal_in_json_is_one_object() {
    check_init(|program| {
        let ended = refused(with(program, "PUID", "a\"b\n").env("TAKUMI_LOG_FORMAT", "json"), &["PUID"]);
        assert!(serde_json::from_str::<serde_json::Value>(&ended.stderr).unwrap().is_object(), "{ended:?}");
    });
}

#[test]
fn missing_capability_is_named() {
    const SETGID: u32 = 6;
    const SETUID: u32 = 7;
    const SETPCAP: u32 = 8;
    check_init(|program| {
        for (capability, name) in [(SETGID, "SETGID"), (SETUID, "SETUID"), (SETPCAP, "SETPCAP")] {
            refused(Start::new(program).without_capability(capability), &[name]);
        }
        let only = |kept: &[u32]| {
            let dropped = (0..=40).filter(|capability| !kept.contains(capability));
            dropped.fold(Start::new(program), Start::without_capability)
        };
        refused(only(&[]), &["SETUID"]);
        let state = only(&[SETGID, SETUID, SETPCAP]).probe("state").spawn().state();
        assert_eq!(state["capabilities"], serde_json::json!(vec!["0000000000000000"; 5]));
    });
}

#[test]
fn help_lists_every_setting() {
    check_init(|program| {
        let ended = Start::new(program).argument("--help").run();
        ended.expect(0);
        let settings = "PUID PGID UMASK TAKUMI_USER TAKUMI_ALLOW_ROOT TAKUMI_GROUPS TAKUMI_VOLUMES TAKUMI_OWNERSHIP TAKUMI_TMPFS \
            TAKUMI_BAKED TAKUMI_GPU TAKUMI_EGRESS TAKUMI_REQUIRE TAKUMI_SKIP TAKUMI_CONFINE TAKUMI_WRITABLE TAKUMI_CONNECT \
            TAKUMI_SIGNALS TAKUMI_SIGNAL_SCOPE TAKUMI_STOP TAKUMI_LEFTOVER_GRACE TAKUMI_PARENT_DEATH TAKUMI_REBOOT \
            TAKUMI_KEEP_FDS TAKUMI_EXIT_OK TAKUMI_HEALTH_URL TAKUMI_HEALTH_TIMEOUT TAKUMI_ENV_FILE TAKUMI_SECRETS TAKUMI_NODES \
            TAKUMI_STATE TAKUMI_SCAN_COMMAND TAKUMI_SCAN TAKUMI_LOG TAKUMI_LOG_FORMAT";
        for setting in settings.split_whitespace() {
            assert!(ended.stdout.contains(setting), "{setting} is not in the help");
        }
        assert!(ended.stderr.is_empty(), "{ended:?}");
    });
}

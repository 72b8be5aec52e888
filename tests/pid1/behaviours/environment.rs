//! What of the environment reaches COMMAND.

use super::support::{PROBE, Start, check_init};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

#[test]
fn settings_are_removed() {
    check_init(|program| {
        let settings = [
            ("PUID", "1000"),
            ("PGID", "1000"),
            ("UMASK", "022"),
            ("TAKUMI_SIGNAL_SCOPE", "child"),
            ("TAKUMI_EXIT_OK", ""),
            ("TAKUMI_SKIP", ""),
            ("DOTENV_PRIVATE_KEY", "00"),
            ("DOTENV_PRIVATE_KEY_PRODUCTION", "00"),
            ("TAKUMI_LOG", "warn"),
            ("TAKUMI_LOG_FORMAT", "text"),
        ];
        let others = [
            ("PUIDS", "1"),
            ("XPUID", "1"),
            ("UMASKED", "1"),
            ("DOTENV_PRIVATE", "1"),
            ("takumi_log", "1"),
            ("TAKUMI", "1"),
        ];
        let all = settings.iter().chain(&others);
        let start = all.fold(Start::new(program), |start, (name, value)| start.env(name, value));
        let mut names: Vec<String> = start.probe("state").spawn().state().environment().into_iter().map(text).collect();
        names.retain(|name| !["PATH", "HOME", "USER", "LOGNAME"].contains(&name.as_str()));
        let mut expected = vec!["TAKUMI_LOG", "TAKUMI_LOG_FORMAT"];
        expected.extend(others.map(|(name, _)| name));
        names.sort();
        expected.sort();
        assert_eq!(names, expected);
    });
}

fn text((name, _): (Vec<u8>, Vec<u8>)) -> String {
    String::from_utf8(name).unwrap()
}

#[test]
fn name_that_is_not_text_is_no_setting() {
    check_init(|program| {
        let name = OsStr::from_bytes(b"TAKUM\xff_LOG");
        let state = Start::new(program).env(name, "x").probe("state").spawn().state();
        assert!(state.environment().contains(&(b"TAKUM\xff_LOG".to_vec(), b"x".to_vec())));
    });
}

#[test]
fn value_of_a_setting_that_is_not_text_is_refused() {
    check_init(|program| {
        for name in ["PUID", "TAKUMI_USER", "TAKUMI_SIGNALS", "TAKUMI_LOG", "TAKUMI_FOO"] {
            let ended = Start::new(program).env(name, OsStr::from_bytes(b"\xff\xfe")).probe("say:ran").run();
            ended.expect(125).expect_one_line();
            assert!(ended.stdout.is_empty() && ended.stderr.contains(name), "{ended:?}");
        }
    });
}

#[test]
fn volume_name_that_is_not_text_passes() {
    check_init(|program| {
        let scratch = super::support::Scratch::new();
        let path = [scratch.path("").as_bytes(), b"vol\xffume"].concat();
        Start::new(program).env("TAKUMI_VOLUMES", OsStr::from_bytes(&path)).probe("exit:3").run().expect(3);
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(OsStr::from_bytes(&path)).unwrap().uid(), 1000);
    });
}

#[test]
fn large_environment_passes() {
    check_init(|program| {
        let big = "x".repeat(100_000);
        let start = (0..10).fold(Start::new(program), |start, number| start.env(format!("BIG_{number}"), &big));
        let start = (0..2000).fold(start, |start, number| start.env(format!("SMALL_{number}"), number.to_string()));
        let state = start.command([PROBE, "state"]).spawn().state();
        assert_eq!(state.environment().iter().filter(|(name, _)| name.starts_with(b"BIG_")).count(), 10);
        assert_eq!(state.variable("BIG_9").unwrap().len(), 100_000);
        assert_eq!(state.environment().iter().filter(|(name, _)| name.starts_with(b"SMALL_")).count(), 2000);
    });
}

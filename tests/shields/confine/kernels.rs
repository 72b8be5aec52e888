//! Kernels that have less, and answers in the kernel's place. An engine's filter stands for both.

use super::tried::open;
use std::fmt::Write as _;
use takumi_test::folder::Folder;
use takumi_test::image::Image;
use takumi_test::program::Ended;
use takumi_test::require;

/// A filter of the engine's that answers these calls (name, errno, conditions on arguments).
fn answering(rules: &[(&str, i32, &str)]) -> (Folder, String) {
    let folder = Folder::new();
    let path = folder.0.join("profile.json");
    let mut text = String::new();
    for (call, errno, arguments) in rules {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"names":["{call}"],"action":"SCMP_ACT_ERRNO","errnoRet":{errno},"args":[{arguments}]}}"#
        );
    }
    std::fs::write(&path, format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{text}]}}"#)).unwrap();
    let option = format!("seccomp={}", path.display());
    (folder, option)
}

fn under(image: &Image, rules: &[(&str, i32, &str)], settings: &[(&str, &str)]) -> Ended {
    let (_folder, option) = answering(rules);
    // The later option wins.
    let start = settings.iter().fold(open(image, "auto"), |start, (name, value)| start.env(name, value));
    start.options(&["--security-opt", &option]).shell("touch /data/file && echo ran").run()
}

const NO_LANDLOCK: [(i32, &str); 2] = [
    (libc::ENOSYS, "no Landlock: Function not implemented"),
    (libc::EOPNOTSUPP, "no Landlock: turned off in this kernel"),
];

#[test]
fn a_kernel_without_landlock_is_told_and_refused_where_more_is_asked_for() {
    require!(landlock, demo);
    let image = Image::demo();
    for (errno, words) in NO_LANDLOCK {
        let rules = [("landlock_create_ruleset", errno, "")];
        let ended = under(&image, &rules, &[("TAKUMI_LOG", "info")]);
        assert_eq!((ended.code, &ended.stdout[..]), (0, "ran\n"), "{ended:?}");
        let told = ended.stderr.lines().find(|line| line.contains("confined")).unwrap();
        assert!(told.contains(" fail ") && told.contains(words), "{told}");
        for setting in [("TAKUMI_CONFINE", "strict"), ("TAKUMI_REQUIRE", "confined"), ("TAKUMI_REQUIRE", "file")] {
            let ended = under(&image, &rules, &[setting]);
            assert!(ended.code == 125 && ended.stdout.is_empty(), "{setting:?}: {ended:?}");
            assert!(
                ended.stderr.contains("required check failed: confined: ") && ended.stderr.contains(words),
                "{ended:?}"
            );
        }
    }
}

#[test]
fn off_is_told_and_no_answer_to_who_requires_it() {
    require!(landlock, demo);
    let image = Image::demo();
    let ended = open(&image, "off").env("TAKUMI_LOG", "debug").shell("echo ran").run();
    assert_eq!((ended.code, &ended.stdout[..]), (0, "ran\n"), "{ended:?}");
    assert!(ended.stderr.contains("no sandbox around COMMAND (TAKUMI_CONFINE=off)"), "{ended:?}");
    for require in ["confined", "file", "all"] {
        let ended = open(&image, "off").env("TAKUMI_REQUIRE", require).shell("echo ran").run();
        assert!(ended.code == 125 && ended.stdout.is_empty(), "{require}: {ended:?}");
        assert!(
            ended.stderr.contains("confined: no sandbox") && ended.stderr.contains("TAKUMI_CONFINE=auto"),
            "{ended:?}"
        );
    }
    let ended = open(&image, "auto").env("TAKUMI_REQUIRE", "confined").shell("echo ran").run();
    assert_eq!((ended.code, &ended.stdout[..]), (0, "ran\n"), "control: {ended:?}");
}

/// SECCOMP_SET_MODE_FILTER; the engine's own filter is on by then.
const INSTALL: &str = r#"{"index":0,"value":1,"op":"SCMP_CMP_EQ"}"#;

#[test]
fn what_was_said_to_be_held_and_is_not_ends_in_125() {
    require!(landlock, demo);
    let image = Image::demo();
    let calls = [
        ("landlock_restrict_self", "", "Landlock"),
        ("landlock_create_ruleset", r#"{"index":2,"value":0,"op":"SCMP_CMP_EQ"}"#, "landlock_create_ruleset"),
        ("seccomp", INSTALL, "seccomp"),
    ];
    for (call, arguments, words) in calls {
        // 0: it was done, says the answer, and it was not.
        for errno in [0, libc::EPERM, libc::ENOSYS, libc::E2BIG] {
            for confine in ["auto", "strict"] {
                let ended = under(&image, &[(call, errno, arguments)], &[("TAKUMI_CONFINE", confine)]);
                assert!(ended.code == 125 && ended.stdout.is_empty(), "{call} {errno} {confine}: {ended:?}");
                assert!(ended.stderr.lines().count() == 1 && ended.stderr.contains(words), "{ended:?}");
            }
        }
    }
    let ended = under(&image, &[("swapon", 1, "")], &[]);
    assert_eq!((ended.code, &ended.stdout[..]), (0, "ran\n"), "control: {ended:?}");
}

/// A rule that was not made closes a place, and opens none.
#[test]
fn a_rule_that_is_only_said_to_be_made_opens_nothing() {
    require!(landlock, demo);
    let image = Image::demo();
    let ended = under(&image, &[("landlock_add_rule", 0, "")], &[]);
    assert!(ended.code != 0 && ended.stdout.is_empty(), "{ended:?}");
}

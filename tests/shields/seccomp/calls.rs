//! Each removed call is refused behind the profile, and without it the kernel itself answers.

use super::{PROFILE, PROGRAMS, behind};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use takumi_test::engine::ask;
use takumi_test::folder::fresh_name;
use takumi_test::image::Image;
use takumi_test::require;

/// What the kernel wants to see before it looks at a call's arguments. The engine's own list of all may hold more than its kernel lends.
const CAPABILITIES: [&str; 13] = [
    "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_BOOT", "SYS_RAWIO", "SYS_PACCT", "SYS_TIME", "SYS_TTY_CONFIG",
    "SYS_NICE", "SYSLOG", "NET_ADMIN", "NET_RAW", "DAC_READ_SEARCH",
];

/// A kernel in lockdown says EPERM to these by itself.
const UNDER_LOCKDOWN: [&str; 7] =
    ["kexec_load", "kexec_file_load", "init_module", "finit_module", "iopl", "ioperm", "perf_event_open"];

type CallResults = BTreeMap<String, String>;

/// What calls.py says of the removed and of the allowed calls.
fn answers(image: &Image, profile: &str) -> (CallResults, CallResults) {
    let name = fresh_name("calls");
    let programs = format!("{PROGRAMS}:/programs:ro");
    let security = behind(profile);
    let mut words = vec!["run", "--rm", "--name", &name, "--network", "none", "--volume", &programs];
    words.extend(security.iter().map(String::as_str));
    words.extend(["--security-opt", "apparmor=unconfined", "--user", "0", "--entrypoint", "python3"]);
    let capabilities = CAPABILITIES.map(|capability| format!("--cap-add={capability}"));
    words.extend(capabilities.iter().map(String::as_str));
    words.extend([image.name.as_str(), "/programs/calls.py"]);
    let (mut removed, mut allowed) = (CallResults::new(), CallResults::new());
    for line in ask(&words).lines() {
        let [kind, name, answer] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("calls.py says '{line}'") };
        let of_kind = if kind == "removed" { &mut removed } else { &mut allowed };
        of_kind.insert(name.to_owned(), answer.to_owned());
    }
    (removed, allowed)
}

#[test]
fn each_removed_call_is_refused_and_unconfined_it_is_not() {
    require!(demo);
    let image = Image::demo();
    let (behind, allowed) = answers(&image, PROFILE);
    let (unconfined, _) = answers(&image, "unconfined");
    assert!(allowed.len() >= 10 && allowed.values().all(|answer| answer == "ok"), "{allowed:?}");

    for (name, answer) in &behind {
        let expected: &[&str] = match name.as_str() {
            "clone3" => &["ENOSYS"],
            "int 0x80" => &["SIGSYS"],
            // What no rule matches gets the default, which Docker 20.10 cannot be told.
            name if name.contains('(') => &["EPERM", "ENOSYS"],
            _ => &["EPERM"],
        };
        assert!(expected.contains(&answer.as_str()), "{name}: {answer}");
        let same = unconfined[name] == *answer && !UNDER_LOCKDOWN.contains(&name.as_str());
        assert!(!same, "control: without the profile {name} says {answer} too, so this shows nothing");
    }
}

#[test]
fn every_line_of_the_table_is_tried() {
    require!(demo);
    let image = Image::demo();
    let (tried, _) = answers(&image, PROFILE);
    let tried: BTreeSet<&str> = tried.keys().map(String::as_str).collect();
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/image/seccomp.py");
    let output = Command::new("python3").args(["-B", table, "--removed"]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let table: BTreeSet<&str> = table.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    assert!(table.len() > 50, "{table:?}");
    let forgotten: Vec<_> = table.difference(&tried).collect();
    assert!(forgotten.is_empty(), "calls.py does not make {forgotten:?}");
}

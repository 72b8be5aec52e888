//! A real seccomp filter in the kernel's place, as engines and sandboxes install them: what it refuses, and what it says was
//! done, ends in 125.

use super::start::Stage;
use libc::{EPERM, c_long};
use takumi_test::program::installed;
use takumi_test::require;

const USER: &[c_long] = &[libc::SYS_setuid, libc::SYS_setreuid, libc::SYS_setresuid];
const GROUP: &[c_long] = &[libc::SYS_setgid, libc::SYS_setregid, libc::SYS_setresgid];

fn under(stage: &Stage, errno: i32, calls: &[c_long]) -> String {
    let numbers: Vec<String> = calls.iter().map(ToString::to_string).collect();
    format!("{} deny {errno} {} --", stage.probe, numbers.join(" "))
}

#[test]
fn a_filter_that_refuses_or_lies_ends_in_125() {
    require!(namespaces);
    let stage = Stage::set();
    for calls in [USER, GROUP, &[libc::SYS_setgroups], &[libc::SYS_prctl], &[libc::SYS_capget]] {
        for errno in [EPERM, libc::ENOSYS, 0] {
            stage.init(&under(&stage, errno, calls), &[("TAKUMI_USER", "app")]).refused(&[]);
        }
    }
}

/// The change of user has emptied the sets already; capset is the second way to the same end.
#[test]
fn a_filter_over_capset_weakens_nothing() {
    require!(namespaces);
    let stage = Stage::set();
    for errno in [EPERM, 0] {
        let seen = stage.init(&under(&stage, errno, &[libc::SYS_capset]), &[("TAKUMI_USER", "app")]);
        match &seen.state {
            None => seen.refused(&[]),
            Some(state) => super::start::holds_nothing(state),
        }
    }
}

#[test]
fn gosu_runs_command_as_root_under_a_filter_that_lies() {
    require!(namespaces, gosu);
    let stage = Stage::set();
    let gosu = installed("gosu");
    let gosu = gosu.display();
    let seen = stage.start(&format!("{} {gosu} app", under(&stage, 0, USER)), &[]);
    assert_eq!(seen.ran().get("uid"), "0 0 0 0");
    let seen = stage.start(&format!("{} {gosu} app", under(&stage, 0, GROUP)), &[]);
    assert_eq!(seen.ran().get("gid"), "0 0 0 0");
}

//! A machine that withholds something: a process, /proc, a standard stream.

use crate::start::{Stage, until};
use std::fs;

#[test]
fn no_process_left_for_command_is_a_refusal() {
    let Some(stage) = Stage::set(&["prlimit"]) else { return };
    // A user of nobody else's: the limit counts all of a user's processes, `init` itself is one.
    let user = [("PUID", "4242")];
    stage.init("prlimit --nproc=1:1", &user).refused(&["temporarily unavailable"]);
    stage.init("prlimit --nproc=100:100", &user).ran();
}

#[test]
fn without_proc_the_start_goes_on_and_says_so() {
    let Some(stage) = Stage::set(&["unshare"]) else { return };
    let script = stage.path("without_proc");
    fs::write(&script, "umount -l /proc && test ! -e /proc/self && exec \"$@\"\n").unwrap();
    let seen =
        stage.init(&format!("unshare --mount /bin/sh {script}"), &[("TAKUMI_USER", "app"), ("TAKUMI_LOG", "info")]);
    let state = seen.ran();
    assert_eq!((state.get("uid"), state.get("gid")), ("1000 1000 1000 1000", "1000 1000 1000 1000"), "{state:?}");
    assert_eq!(state.get("groups"), "44 105 1000");
    for set in ["effective", "permitted", "inheritable", "ambient", "bounding"] {
        assert_eq!(state.get(set), "0", "{set}: {state:?}");
    }
    assert_eq!(
        (state.get("no_new_privs"), state.get("securebits"), state.get("regained")),
        ("1", "eb", ""),
        "{state:?}"
    );
    assert!(seen.said.contains("/proc"), "what could not be seen is said: {seen:?}");
}

#[test]
fn closed_standard_streams_are_no_refusal() {
    let Some(stage) = Stage::set(&[]) else { return };
    let script = stage.path("closed");
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        fs::write(&script, format!("exec \"$@\" {closed}\n")).unwrap();
        let seen = stage.init(&format!("/bin/sh {script}"), &[("PUID", "1000")]);
        assert_eq!(seen.ran().get("regained"), "", "{closed}");
        let open = seen.ran().get("descriptors").to_owned();
        assert!(open.split(' ').all(|number| ["", "0", "1", "2"].contains(&number)), "{closed}: {open}");
    }
}

/// The signal that ends COMMAND when `init` dies is set after the last change of identity, which clears it.
#[test]
fn command_dies_with_init() {
    let Some(stage) = Stage::set(&[]) else { return };
    let mut command = stage.command(&format!("{} /bin/sleep 61", stage.init), &[("PUID", "1000")]);
    let mut child = command.spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let mut sleeper = String::new();
    let started = until(|| {
        sleeper = fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
        fs::read_to_string(format!("/proc/{sleeper}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    started.expect("COMMAND never ran");
    let gone = || fs::read_to_string(format!("/proc/{sleeper}/stat")).map_or(true, |stat| stat.contains(") Z "));
    until(gone).expect("COMMAND outlived init");
}

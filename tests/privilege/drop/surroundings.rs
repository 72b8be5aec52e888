//! A machine that withholds something: a process, /proc, a standard stream.

use super::start::Stage;
use std::fs;
use takumi_test::poll::eventually;
use takumi_test::require;

#[test]
fn no_process_left_for_command_is_a_refusal() {
    require!(namespaces, prlimit);
    let stage = Stage::set();
    // A user of nobody else's: the limit counts all of a user's processes, `init` itself is one.
    let user = [("PUID", "4242")];
    stage.init("prlimit --nproc=1:1", &user).refused(&["temporarily unavailable"]);
    stage.init("prlimit --nproc=100:100", &user).ran();
}

#[test]
fn without_proc_the_start_goes_on_and_says_so() {
    require!(namespaces, unshare);
    let stage = Stage::set();
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
    require!(namespaces);
    let stage = Stage::set();
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
    require!(namespaces);
    let stage = Stage::set();
    let mut command = stage.command(&format!("{} /bin/sleep 61", stage.init), &[("PUID", "1000")]);
    let mut child = command.spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let sleeper = eventually("COMMAND", || {
        let sleeper = fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
        let name = fs::read_to_string(format!("/proc/{sleeper}/comm")).unwrap_or_default();
        (name == "sleep\n").then_some(sleeper)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = || fs::read_to_string(format!("/proc/{sleeper}/stat")).map_or(true, |stat| stat.contains(") Z "));
    eventually("the end of COMMAND, which outlived init", || gone().then_some(()));
}

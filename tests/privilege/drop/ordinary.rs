//! Started as an ordinary user: nothing is changed, what must be gone is gone, what cannot be done is refused.

use super::start::Stage;
use takumi_test::require;
use takumi_test::state::State;

const PLAIN: &str = "setpriv --reuid 1001 --regid 1001 --clear-groups";

#[test]
fn an_ordinary_user_stays_who_it_is_without_a_way_up() {
    require!(namespaces, setpriv);
    let stage = Stage::set();
    let seen = stage.init(PLAIN, &[]);
    let state = seen.ran();
    assert_eq!((state.get("uid"), state.get("gid")), ("1001 1001 1001 1001", "1001 1001 1001 1001"), "{state:?}");
    assert_eq!((state.get("no_new_privs"), state.get("regained")), ("1", ""), "{state:?}");
    assert_eq!((state.get("parent_owner"), state.get("parent_open")), ("0", ""), "{state:?}");
    assert_eq!(seen.said, "");
    let control = stage.start(PLAIN, &[]);
    assert_eq!(control.ran().get("no_new_privs"), "0");
}

/// `docker run --user 1000` gives group 0 and a bounding set: not the caller's fault.
#[test]
fn group_0_of_an_ordinary_user_is_no_refusal() {
    require!(namespaces, setpriv);
    let stage = Stage::set();
    let seen = stage.init("setpriv --reuid 1001 --regid 0 --clear-groups", &[]);
    assert_eq!(seen.ran().get("gid"), "0 0 0 0");
    let told = stage.init("setpriv --reuid 1001 --regid 0 --clear-groups", &[("TAKUMI_LOG", "info")]);
    assert!(told.said.contains("group 0") || told.said.contains("gid 0"), "{told:?}");
}

#[test]
fn inherited_capabilities_of_an_ordinary_user_are_gone() {
    require!(namespaces, setpriv);
    let stage = Stage::set();
    let ambient = format!("{PLAIN} --inh-caps=-all,+net_raw,+kill --ambient-caps=-all,+net_raw");
    let control = stage.start(&ambient, &[]);
    assert_eq!((control.ran().get("effective"), control.ran().get("ambient")), ("2000", "2000"), "{control:?}");
    let seen = stage.init(&ambient, &[]);
    for set in ["effective", "permitted", "inheritable", "ambient"] {
        assert_eq!(seen.ran().get(set), "0", "{set}: {seen:?}");
        assert_eq!(seen.ran().get(&format!("parent_{set}")), "0000000000000000", "{set}: {seen:?}");
    }
}

#[test]
fn an_ordinary_user_cannot_become_somebody_else() {
    require!(namespaces, setpriv);
    let stage = Stage::set();
    for (name, value) in
        [("PUID", "1000"), ("PGID", "44"), ("TAKUMI_USER", "app"), ("TAKUMI_USER", "1001:44"), ("TAKUMI_USER", "0")]
    {
        stage.init(PLAIN, &[(name, value)]).refused(&[name]);
    }
    for settings in [[("PUID", "1001")], [("PGID", "1001")], [("TAKUMI_USER", "plain")], [("TAKUMI_USER", "1001:1001")]]
    {
        assert_eq!(stage.init(PLAIN, &settings).ran().get("uid"), "1001 1001 1001 1001");
    }
}

/// A set-user-id `init` would read root's files on the caller's word.
#[test]
fn a_setuid_copy_refuses() {
    require!(namespaces, setpriv);
    let stage = Stage::set();
    let copy =
        |source: &str, name: &str| stage.world.program_as(source.as_ref(), name, 0o4755).to_str().unwrap().to_owned();
    let (init, probe, report) =
        (copy(&stage.init, "setuid_init"), copy(&stage.probe, "setuid_probe"), stage.path("own"));
    stage.command(&format!("{PLAIN} {probe} report {report}"), &[]).status().unwrap();
    let control = State::read(report.as_ref()).unwrap();
    assert_eq!(control.get("uid"), "1001 0 0 0", "the scratch directory is mounted nosuid (TMPDIR moves it)");
    stage.start(&format!("{PLAIN} {init}"), &[]).refused(&["setuid"]);
}

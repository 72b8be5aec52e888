use super::*;

fn read(variables: &[&CStr]) -> Result<Settings, Vec<SettingsError>> {
    Settings::from_environment(variables)
}

fn mistakes(variables: &[&CStr]) -> Vec<String> {
    read(variables).err().unwrap_or_default().iter().map(|mistake| mistake.to_string()).collect()
}

#[test]
fn an_empty_environment_is_the_defaults() {
    assert_eq!(read(&[c"PATH=/bin", c"odd", c"=x", c"PUIDS=x"]), Ok(Settings::default()));
}

#[test]
fn every_setting_of_the_table_is_read() {
    for setting in table::SETTINGS {
        // No setting expects this value, so one that is read refuses it; free texts take it, and are seen in the
        // result.
        let variable = CString::new(format!("{}=\u{1}", setting.name)).unwrap();
        let changed = match read(&[&variable]) {
            Err(mistakes) => !mistakes[0].to_string().contains("not read"),
            Ok(settings) => settings != Settings::default(),
        };
        assert!(changed, "{} is not read", setting.name);
    }
}

#[test]
fn two_mistakes_are_both_told() {
    let said = mistakes(&[c"PUID=+0", c"TAKUMI_LOG=loud", c"TAKUMI_VOLUME=/data"]);
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(said[0], "cannot use PUID=\"+0\": expected a decimal id, 0 to 4294967294, digits only");
    assert!(said[1].contains("TAKUMI_LOG=\"loud\"") && said[1].contains("error, warn, info, debug or trace"));
    assert!(said[2].contains("TAKUMI_VOLUME=\"/data\"") && said[2].contains("TAKUMI_VOLUMES"));
}

#[test]
fn an_empty_id_is_a_mistake_and_an_empty_list_is_not() {
    for name in [c"PUID=", c"PGID=", c"UMASK=", c"TAKUMI_USER=", c"TAKUMI_LOG=", c"TAKUMI_ALLOW_ROOT="] {
        assert_eq!(mistakes(&[name]).len(), 1, "{name:?}");
    }
    let empty = [
        c"TAKUMI_VOLUMES=", c"TAKUMI_STOP=", c"TAKUMI_SIGNALS=", c"TAKUMI_EXIT_OK=", c"TAKUMI_REQUIRE=",
        c"TAKUMI_HEALTH_URL=", c"TAKUMI_STATE=", c"TAKUMI_PARENT_DEATH=", c"TAKUMI_GROUPS=", c"TAKUMI_REBOOT=",
        c"TAKUMI_SCAN_COMMAND=",
    ];
    assert_eq!(read(&empty), Ok(Settings::default()));
}

#[test]
fn a_setting_that_stands_twice_is_a_mistake() {
    assert!(mistakes(&[c"PUID=1", c"PUID=2"])[0].contains("more than once"));
}

#[test]
fn what_is_always_required_cannot_be_skipped() {
    for id in Check::ALWAYS {
        let skip = CString::new(format!("TAKUMI_SKIP={id}")).unwrap();
        assert_eq!(mistakes(&[&skip]).len(), 1, "{id}");
    }
    assert!(read(&[c"TAKUMI_SKIP=limits,http"]).is_err(), "http is the probe's alone");
    assert!(read(&[c"TAKUMI_SKIP=limits,apparmor"]).is_ok());
}

#[test]
fn a_scan_that_is_demanded_cannot_be_left_out() {
    const NODES: &CStr = c"TAKUMI_NODES=/data/custom_nodes";
    for scan in [c"TAKUMI_SCAN=block", c"TAKUMI_SCAN=quarantine"] {
        assert_eq!(mistakes(&[scan]).len(), 1, "{scan:?} without nodes");
        assert_eq!(mistakes(&[scan, NODES, c"TAKUMI_SKIP=node-scan"]).len(), 1, "{scan:?}");
        assert!(read(&[scan, NODES]).is_ok(), "{scan:?}");
    }
    assert_eq!(mistakes(&[c"TAKUMI_SCAN=off", NODES, c"TAKUMI_REQUIRE=nodes"]).len(), 1);
    assert!(read(&[c"TAKUMI_REQUIRE=all", NODES]).is_ok_and(|settings| settings.require.contains(&Check::NodeScan)));
}

#[test]
fn approvals_lie_where_command_cannot_write() {
    for (volumes, state, right) in [
        (c"TAKUMI_VOLUMES=/data:/cache", c"TAKUMI_STATE=/state", true),
        (c"TAKUMI_VOLUMES=/data:/cache", c"TAKUMI_STATE=/data/state", false),
        (c"TAKUMI_VOLUMES=/data:/state/", c"TAKUMI_STATE=/state", false),
        (c"TAKUMI_VOLUMES=/stat", c"TAKUMI_STATE=/state", true),
    ] {
        assert_eq!(read(&[volumes, state]).is_ok(), right, "{volumes:?} {state:?}");
    }
}

#[test]
fn what_a_setting_requires_cannot_be_skipped() {
    for variables in [
        [c"TAKUMI_REQUIRE=file", c"TAKUMI_SKIP=tmpfs"],
        [c"TAKUMI_EGRESS=require", c"TAKUMI_SKIP=proxy-denies"],
        [c"TAKUMI_GPU=require", c"TAKUMI_SKIP=gpu-driver"],
        [c"TAKUMI_CONFINE=strict", c"TAKUMI_SKIP=confined"],
    ] {
        assert_eq!(mistakes(&variables).len(), 1, "{variables:?}");
    }
    assert!(read(&[c"TAKUMI_EGRESS=require", c"TAKUMI_SKIP=gpu-driver"]).is_ok());
}

#[test]
fn a_drain_needs_somebody_to_ask() {
    assert!(mistakes(&[c"TAKUMI_STOP=drain:8s,TERM:1s"])[0].contains("TAKUMI_HEALTH_URL"));
    assert!(read(&[c"TAKUMI_STOP=TERM:1s"]).is_ok());
    assert!(read(&[c"TAKUMI_STOP=drain:8s", c"TAKUMI_HEALTH_URL=http://127.0.0.1:8188/prompt"]).is_ok());
}

#[test]
fn a_secret_has_a_name_of_commands_own() {
    assert_eq!(read(&[c"TAKUMI_SECRETS=A, B_1"]).unwrap().secrets, [b"A".to_vec(), b"B_1".to_vec()]);
    for names in
        [c"TAKUMI_SECRETS=1A", c"TAKUMI_SECRETS=A,,B", c"TAKUMI_SECRETS=DOTENV_PRIVATE_KEY", c"TAKUMI_SECRETS=PUID"]
    {
        assert_eq!(mistakes(&[names]).len(), 1, "{names:?}");
    }
}

#[test]
fn gid_0_is_no_supplementary_group() {
    assert_eq!(mistakes(&[c"TAKUMI_GROUPS=44,0"]).len(), 1);
    let settings = read(&[c"TAKUMI_GROUPS=44, video"]).unwrap();
    assert_eq!(settings.groups, Some(vec![AccountRef::Id(44), AccountRef::Name(b"video".to_vec())]));
}

#[test]
fn command_does_not_see_our_settings() {
    for ours in ["PUID=1", "UMASK=1", "TAKUMI_USER=x", "DOTENV_PRIVATE_KEY_CI=x", "DOTENV_PRIVATE_KEY=x"] {
        assert!(is_reserved(ours.as_bytes()), "{ours}");
    }
    for others in
        ["PATH=/", "TAKUMI_LOG=info", "TAKUMI_LOG_FORMAT=json", "PUIDX=1", "XTAKUMI_A=1", "DOTENV_PUBLIC_KEY=x"]
    {
        assert!(!is_reserved(others.as_bytes()), "{others}");
    }
}

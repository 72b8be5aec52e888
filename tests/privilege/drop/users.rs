//! Whom COMMAND becomes: every form of a user, odd lines of /etc/passwd, and every id that is none.

use super::start::{Stage, is_user};
use takumi_test::require;

/// The /etc of a world is its own.
fn put(path: &str, content: &[u8]) {
    std::fs::write(path, content).unwrap();
}

#[test]
fn a_user_is_named_in_every_form() {
    require!(namespaces, gosu);
    let stage = Stage::set();
    for (spec, uid, gid, groups, home) in [
        ("app", 1000, 1000, "44 105 1000", "/home/app"),
        ("1000", 1000, 1000, "44 105 1000", "/home/app"),
        ("app:video", 1000, 44, "44", "/home/app"),
        ("app:44", 1000, 44, "44", "/home/app"),
        ("1000:2000", 1000, 2000, "2000", "/home/app"),
        ("plain", 1001, 1001, "1001", "/home/plain"),
        ("4000:4001", 4000, 4001, "4001", "/"),
        ("4294967294:4294967294", 4_294_967_294, 4_294_967_294, "4294967294", "/"),
    ] {
        let seen = stage.init("", &[("TAKUMI_USER", spec)]);
        is_user(seen.ran(), uid, gid, groups);
        assert_eq!(seen.ran().get("home"), home, "{spec}");
        // gosu stops at 2^31 - 1, and keeps the primary group out of the list.
        if uid < 1 << 31 {
            let peer = stage.start(&format!("gosu {spec}"), &[]);
            for key in ["uid", "gid", "home"] {
                assert_eq!(peer.ran().get(key), seen.ran().get(key), "{spec}: {key} of gosu");
            }
        }
    }
    is_user(stage.init("", &[]).ran(), 1000, 1000, "44 105 1000");
    is_user(stage.init("", &[("PUID", "4000")]).ran(), 4000, 4000, "4000");
    is_user(stage.init("", &[("PUID", "4000"), ("TAKUMI_USER", "app")]).ran(), 1000, 1000, "44 105 1000");
    let listed = [("TAKUMI_USER", "app"), ("TAKUMI_GROUPS", "video,2000")];
    is_user(stage.init("", &listed).ran(), 1000, 1000, "44 1000 2000");
}

#[test]
fn an_id_that_is_none_is_refused() {
    require!(namespaces, gosu, setpriv);
    let stage = Stage::set();
    let ids = [
        "", " ", "-1", "+1000", " 1000", "1000 ", "1000\n", "\t1000", "0x3e8", "1e3", "1_000", "1,000", "1000.0",
        "4294967295", "4294967296", "4294968296", "18446744073709551616", "99999999999999999999999", "１０００", "१",
        "app", "1000:1000", "+0", "-0",
    ];
    for id in ids {
        for name in ["PUID", "PGID"] {
            stage.init("", &[(name, id)]).refused(&[name]);
        }
    }
    for spec in [
        "", " ", ":", "-1", "+1000", "+0", " 1000", "0x3e8", "4294967295", "4294967296", "1000:-1", "1000:+1",
        "1000:0x2c", "1000:4294967295", "1000:4294967296", "1000:1000:1000", "nosuch", "app:nosuch", "app ",
        "app:video ",
    ] {
        let unknown = spec.rsplit(':').next().unwrap().trim();
        stage.init("", &[("TAKUMI_USER", spec)]).refused(&[unknown]);
    }
    for list in ["-1", "+44", "4294967295", "4294967296", "0x2c", "nosuch", "44,nosuch", "44 105", "video:44"] {
        stage.init("", &[("TAKUMI_GROUPS", list)]).refused(&[list.rsplit(',').next().unwrap()]);
    }
    for mask in ["", "8", "0o22", "0x12", "-1", "+22", "abc", "22 ", "99999999999999999999"] {
        stage.init("", &[("UMASK", mask)]).refused(&["UMASK"]);
    }
    let seen = stage.start("setpriv --reuid=4294967296 --regid=1000 --clear-groups", &[]);
    assert_eq!(seen.ran().get("uid"), "0 0 0 0", "setpriv took the id for what it says");
    assert_eq!(stage.start("gosu +0", &[]).ran().get("uid"), "0 0 0 0", "gosu took the id for what it says");
}

#[test]
fn gid_0_is_never_a_supplementary_group() {
    require!(namespaces);
    let stage = Stage::set();
    put("/etc/group", b"root:x:0:app\nnobody:x:65534:app\nvideo:x:44:app\n");
    is_user(stage.init("", &[("TAKUMI_USER", "app")]).ran(), 1000, 1000, "44 1000");
    for list in ["0", "root", "44,0"] {
        let seen = stage.init("", &[("TAKUMI_USER", "app"), ("TAKUMI_GROUPS", list)]);
        match &seen.state {
            None => seen.refused(&["TAKUMI_GROUPS"]),
            Some(state) => assert!(!state.get("groups").split(' ').any(|group| group == "0"), "{state:?}"),
        }
    }
}

#[test]
fn odd_lines_of_passwd_harm_nobody() {
    require!(namespaces);
    let stage = Stage::set();
    let mut passwd = b"# a comment\n\n:\n::::::\n+::::::\n-banned::::::\n+@netgroup::::::\nshort:x\n".to_vec();
    passwd.extend_from_slice(
        b"letters:x:1000a:1000::/:\nempty:x::::/:\nminus:x:-1:0::/:\nhuge:x:4294967296:4294967296::/:\n",
    );
    passwd.extend_from_slice(b"reserved:x:4294967295:1::/:\nzero:x:0:1000::/:\nspace:x: 1000:1000::/:\n");
    passwd.extend_from_slice(b"latin\xe9:x:3100:3100:\xff\xfe:/home/\xe9:/bin/sh\nnul\0:x:3200:3200::/:\n");
    passwd
        .extend_from_slice(&[b"long:x:3300:3300:".as_slice(), &vec![b'x'; 100_000], b":/home/long:/bin/sh\n"].concat());
    passwd.extend_from_slice(b"twice:x:3400:3400::/home/twice:/bin/sh\ntwice:x:0:0::/root:/bin/sh\n");
    passwd.extend_from_slice(b"windows:x:3500:3500::/home/windows:/bin/sh\r\n1000:x:0:0::/root:/bin/sh\n");
    passwd.extend_from_slice(b"last:x:3000:3001:Last:/home/last:/bin/sh");
    put("/etc/passwd", &passwd);
    put("/etc/group", b"# groups\n+:::\nshort\nbad:x:-1:last\nlate:x:3600:other,last");

    let seen = stage.init("", &[("TAKUMI_USER", "last")]);
    is_user(seen.ran(), 3000, 3001, "3001 3600");
    assert_eq!(seen.ran().get("home"), "/home/last");
    is_user(stage.init("", &[("TAKUMI_USER", "long")]).ran(), 3300, 3300, "3300");
    is_user(stage.init("", &[("TAKUMI_USER", "twice")]).ran(), 3400, 3400, "3400");
    is_user(stage.init("", &[("TAKUMI_USER", "windows")]).ran(), 3500, 3500, "3500");
    // A line whose name is a number is no reason to become what it says.
    is_user(stage.init("", &[("PUID", "1000")]).ran(), 1000, 1000, "1000");
    for name in [
        "+", "-banned", "+@netgroup", "short", "letters", "empty", "minus", "huge", "reserved", "zero", "space", "#",
        "nosuch",
    ] {
        stage.init("", &[("TAKUMI_USER", name)]).refused(&[]);
    }
}

#[test]
fn without_a_passwd_numbers_work_and_names_do_not() {
    require!(namespaces);
    let stage = Stage::set();
    put("/etc/passwd", b"");
    put("/etc/group", b"");
    is_user(stage.init("", &[]).ran(), 1000, 1000, "1000");
    is_user(stage.init("", &[("TAKUMI_USER", "1000:44")]).ran(), 1000, 44, "44");
    stage.init("", &[("TAKUMI_USER", "app")]).refused(&["app"]);
    stage.init("", &[("TAKUMI_GROUPS", "video")]).refused(&["video"]);
}

//! Who runs in the container, what it holds, and which starts are refused.

use takumi_test::container::{APP, Process, Start};
use takumi_test::engine::Volume;
use takumi_test::image::Image;
use takumi_test::require;

#[test]
fn the_app_answers_and_nobody_holds_anything() {
    require!(demo, "tini-static", gosu);
    let image = Image::demo();
    let volume = Volume::new();
    let app = Start::hardened(&image).data(&volume).app();
    let first = Process::first(&app.container);
    assert_eq!(first.faults(), [""; 0], "PID 1");
    assert_eq!(first.child().faults(), [""; 0], "the app");
    assert!(first.mount_options("/").starts_with("ro"), "the root is writable: {}", first.mount_options("/"));
    assert!(app.get("/identity").unwrap().contains("\"Uid\": \"1000\\t1000\\t1000\\t1000\""));

    let classic = Image::classic();
    let control = Start::hardened(&classic).fresh_data().command(&APP).app();
    let first = Process::first(&control.container);
    assert_eq!(first.field("Uid"), "0 0 0 0", "the control's PID 1 stays root");
    assert!(first.child().faults().iter().any(|fault| fault.starts_with("CapBnd")), "gosu leaves the bounding set");
}

#[test]
fn looser_starts_end_in_the_same_state() {
    require!(demo);
    let image = Image::demo();
    let many = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "DAC_OVERRIDE", "KILL"].map(|each| format!("--cap-add={each}"));
    let mut loose = vec!["--security-opt", "seccomp=unconfined", "--group-add", "4242"];
    loose.extend(many.iter().map(String::as_str));
    for options in [[].as_slice(), &loose] {
        let app = Start::plain(&image).options(options).fresh_data().app();
        let first = Process::first(&app.container);
        assert_eq!(first.faults(), [""; 0], "PID 1 under {options:?}");
        assert_eq!(first.child().faults(), [""; 0], "the app under {options:?}");
    }
}

#[test]
fn an_ordinary_user_is_verified_only() {
    require!(demo);
    let image = Image::demo();
    let volume = Volume::new();
    // Docker gives an empty volume the owner of the image's directory at every mount.
    volume.root_shell(&image, "touch /data/file; chown -R 1000:1000 /data");
    let app = Start::hardened(&image).capabilities(&[]).options(&["--user", "1000:1000"]).data(&volume).app();
    let first = Process::first(&app.container);
    assert_eq!(first.faults(), [""; 0], "PID 1");
    assert_eq!(first.child().faults(), [""; 0], "the app");

    // Without the engine's help: no_new_privs is then `init`'s own, the bounding set is the engine's and only reported.
    let app = Start::plain(&image).options(&["--user", "1000:1000"]).data(&volume).app();
    for process in [Process::first(&app.container), Process::first(&app.container).child()] {
        let faults = process.faults();
        assert!(faults.len() == 1 && faults[0].starts_with("CapBnd"), "only the bounding set is left: {faults:?}");
    }

    let other =
        Start::hardened(&image).capabilities(&[]).options(&["--user", "1000:1000"]).env("PUID", "1001").shell("true");
    other.env("TAKUMI_LOG", "error").run().expect_refusal(&["PUID"]);
}

#[test]
fn the_app_cannot_read_init_nor_its_environment() {
    require!(demo);
    let image = Image::demo();
    let read = "cat $0 2>/dev/null >&2 && echo read $0 || echo refused $0";
    let line = ["/init", "/proc/1/environ", "/proc/1/mem", "/proc/1/root/etc/hostname", "/proc/self/environ"]
        .map(|file| format!("sh -c '{read}' {file}"))
        .join(";");
    let ended = Start::hardened(&image).fresh_data().shell(&line).run();
    let expected = [
        "refused /init", "refused /proc/1/environ", "refused /proc/1/mem", "refused /proc/1/root/etc/hostname",
        "read /proc/self/environ",
    ];
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), expected, "{ended:?}");
}

#[test]
fn home_and_name_are_the_users_and_settings_stay_out_of_the_environment() {
    require!(demo);
    let image = Image::demo();
    let start = Start::hardened(&image).fresh_data().env("TAKUMI_USER", "app").env("UMASK", "027").env("KEPT", "yes");
    let ended =
        start.shell("echo $HOME $USER $LOGNAME $KEPT; umask; env | grep -E '^(TAKUMI_|PUID|PGID|UMASK)'; id -u").run();
    assert_eq!(ended.stdout, "/data app app yes\n0027\n1000\n", "{ended:?}");
}

#[test]
fn a_capability_that_is_missing_for_the_drop_is_named() {
    require!(demo);
    let image = Image::demo();
    let start = Start::hardened(&image).fresh_data().env("TAKUMI_LOG", "error").shell("true");
    assert_eq!(start.run().code, 0, "control: with all six it starts");
    for missing in ["SETUID", "SETGID", "SETPCAP"] {
        let start = Start::hardened(&image).fresh_data().env("TAKUMI_LOG", "error").shell("true");
        start.without_capability(missing).run().expect_refusal(&[missing]);
    }
}

#[test]
fn a_capability_that_is_missing_for_a_volume_is_named() {
    require!(demo);
    let image = Image::demo();
    let volumes = [
        ("CHOWN", "touch /data/file; chown -R 4242:4242 /data"),
        ("DAC_READ_SEARCH", "mkdir /data/sub; touch /data/sub/file; chown -R 4242:4242 /data; chmod 700 /data/sub"),
        ("FOWNER", "touch /data/file; chown -R 4242:4242 /data; chmod 4755 /data/file"),
    ];
    for (missing, make) in volumes {
        let volume = Volume::new();
        volume.root_shell(&image, make);
        let start = || Start::hardened(&image).data(&volume).env("TAKUMI_LOG", "error").shell("true");
        println!("without {missing}");
        start().without_capability(missing).run().expect_refusal(&[missing]);
        assert_eq!(start().run().code, 0, "control: with all six the same start succeeds");
    }
    let volume = Volume::new();
    volume.root_shell(&image, "touch /data/file; chown -R 1000:1000 /data");
    for (unneeded, _) in volumes {
        let ended = Start::hardened(&image).data(&volume).without_capability(unneeded).shell("true").run();
        assert_eq!(ended.code, 0, "right owners need no {unneeded}: {ended:?}");
    }
}

#[test]
fn wrong_settings_are_refused() {
    require!(demo);
    let image = Image::demo();
    let refusal = |name: &str, value: &str, words: &[&str]| {
        let start = Start::hardened(&image).env(name, value).env("TAKUMI_LOG", "error").shell("echo ran");
        let ended = start.run();
        ended.expect_refusal(words);
        assert_eq!(ended.stdout, "", "COMMAND ran: {ended:?}");
    };
    refusal("PUID", "12a", &["PUID", "12a"]);
    refusal("PUID", "4294967295", &["PUID", "4294967295"]);
    refusal("PGID", "-1", &["PGID", "-1"]);
    refusal("PUID", "", &["PUID"]);
    refusal("PUID", "0", &["0", "TAKUMI_ALLOW_ROOT"]);
    refusal("TAKUMI_USER", "nobody-here", &["TAKUMI_USER", "nobody-here"]);
    refusal("TAKUMI_VOLUMS", "/data", &["TAKUMI_VOLUMS", "TAKUMI_VOLUMES"]);
    refusal("TAKUMI_VOLUMES", "data", &["TAKUMI_VOLUMES", "data"]);

    let both = Start::hardened(&image).env("PUID", "x").env("TAKUMI_SIGNALS", "y").shell("true").run();
    assert_eq!(both.code, 125);
    assert!(both.stderr.contains("PUID") && both.stderr.contains("TAKUMI_SIGNALS"), "both are told: {both:?}");
}

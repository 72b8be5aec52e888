//! `init` starts behind the profile, as container root and as an ordinary user, under docker and under Podman.

use super::{Changed, PROFILE, behind};
use takumi_test::container::{Process, Start};
use takumi_test::engine::Volume;
use takumi_test::image::Image;
use takumi_test::podman::Loaded;
use takumi_test::require;

fn hardened<'a>(image: &'a Image, profile: &str) -> Start<'a> {
    let security = behind(profile);
    Start::hardened(image).options(&security.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn the_hardened_app_answers() {
    require!(demo);
    let image = Image::demo();
    let app = hardened(&image, PROFILE).fresh_data().app();
    let first = Process::first(&app.container);
    for process in [&first, &first.child()] {
        assert_eq!(process.faults(), Vec::<String>::new());
        assert_eq!(process.field("Seccomp"), "2");
    }
    let prompt = r#"{"prompt": {"1": {"class_type": "Work", "inputs": {"seconds": 0}}}}"#;
    assert!(app.post("/prompt", prompt).is_some_and(|answer| answer.contains("prompt_id")));
    let ended = app.container.stop();
    assert_eq!(ended.code, 143, "{ended:?}");

    refused_without_prctl(|profile| hardened(&image, profile).fresh_data());
}

/// The control: without prctl no drop can be made or verified, and a start that is behind no profile would not notice.
#[track_caller]
fn refused_without_prctl<'a>(start: impl FnOnce(&str) -> Start<'a>) {
    let without = Changed::new(|text| text.replace("\"prctl\",", ""));
    let ended = start(without.path.to_str().unwrap()).shell("echo ran").run();
    assert!(ended.code == 125 && ended.stdout.is_empty(), "control: {ended:?}");
}

#[test]
fn an_ordinary_user_starts_it() {
    require!(demo);
    let image = Image::demo();
    let volume = Volume::new();
    // The engine gives an empty volume the owner that the image has there.
    volume.root_shell(&image, "touch /data/kept; chown -R 1000:1000 /data");
    let start = |profile: &str| hardened(&image, profile).data(&volume).options(&["--user", "1000"]).capabilities(&[]);
    let ended = start(PROFILE).shell("id -u; touch /data/file").run();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "1000\n"), "{ended:?}");
    refused_without_prctl(start);
}

#[test]
fn volumes_are_walked_and_mended() {
    require!(demo);
    let image = Image::demo();
    for (ownership, expected) in
        [("chown", "1000:1000\n1000:1000\n1000:1000\n"), ("share", "4242:4242\n4242:4242\n0:0\n")]
    {
        let volume = Volume::new();
        volume.root_shell(
            &image,
            "mkdir -p /data/closed; touch /data/closed/file; ln -s /etc/passwd /data/link
             chown -hR 4242:4242 /data/closed; chmod 0700 /data/closed; chmod 6755 /data/closed/file",
        );
        let start = hardened(&image, PROFILE).data(&volume).env("TAKUMI_OWNERSHIP", ownership);
        let ended = start.shell("echo x >> /data/closed/file && echo written").run();
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "written\n"), "{ownership}: {ended:?}");
        let owners = volume.root_shell(&image, "stat -c %u:%g /data/closed /data/closed/file /data/link");
        assert_eq!(owners.as_str(), expected.trim_end(), "{ownership}");
    }
}

#[test]
fn podman_starts_it() {
    require!(podman, runc, demo);
    let image = Image::demo();
    let loaded = Loaded::new(&image);
    let run = |profile: &str| {
        // Podman's own default lets everybody ask for keys and allows vmsplice to nobody: keyctl tells the two profiles apart.
        let keys = "import ctypes; c = ctypes.CDLL(None, use_errno=True)
c.syscall(250, 9999); print(ctypes.get_errno(), c.syscall(39) > 0)";
        let start = hardened(&image, profile).fresh_data().env("TAKUMI_LOG", "warn").python(keys);
        loaded.run(&[], &start).1.ends_with(0).stdout
    };
    assert_eq!(run(PROFILE), "1 True\n");
    assert_eq!(run("unconfined"), "95 True\n", "control: the kernel knows no such operation");
}

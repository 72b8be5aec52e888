//! Where COMMAND may write.

use super::tried::{AttemptErrnos, open, tried};
use libc::EACCES;
use takumi_test::container::Start;
use takumi_test::engine::Volume;
use takumi_test::folder::Folder;
use takumi_test::image::Image;
use takumi_test::require;

const PREPARE: &str = "mkdir /data/empty /data/sub && touch /data/file /data/gone && chown -R 1000:1000 /data";

/// Everything that writes.
const WRITES: [&str; 13] = [
    "create", "unnamed", "write", "append", "mkdir", "rmdir", "unlink", "rename", "rename to another directory",
    "link", "symlink", "fifo", "socket",
];

/// A volume that COMMAND's user owns, at /other.
fn other(image: &Image) -> (Volume, String) {
    let volume = Volume::new();
    volume.root_shell(image, PREPARE);
    let mount = format!("{}:/other", volume.name);
    (volume, mount)
}

fn without_lock(image: &Image) -> AttemptErrnos {
    let (_volume, mount) = other(image);
    tried(open(image, "off").options(&["--volume", &mount]), &["files", "/other"])
}

/// The control, and what a place looks like in which COMMAND may write.
#[track_caller]
fn all_succeed(answers: &AttemptErrnos) {
    assert!(answers.len() == WRITES.len() + 3 && answers.values().all(|errno| *errno == 0), "{answers:?}");
}

#[test]
fn a_directory_of_the_users_own_is_closed_by_the_lock_alone() {
    require!(landlock, demo);
    let image = Image::demo();
    all_succeed(&without_lock(&image));
    for (confine, truncate) in [("auto", 0), ("strict", EACCES)] {
        for user in ["0", "1000"] {
            let (_volume, mount) = other(&image);
            let data = Volume::new();
            data.root_shell(&image, "chown 1000:1000 /data; touch /data/x");
            let at = format!("{}:/data", data.name);
            let start = Start::plain(&image)
                .options(&["--security-opt", "seccomp=unconfined", "--volume", &at, "--volume", &mount, "--user", user])
                .env("TAKUMI_VOLUMES", "/data")
                .env("TAKUMI_CONFINE", confine)
                .env("TAKUMI_LOG", "warn");
            let answers = tried(start, &["files", "/other"]);
            for write in WRITES {
                let refused = [EACCES, libc::EXDEV].contains(&answers[write]);
                assert!(refused, "{confine}, user {user}, {write}: {answers:?}");
            }
            assert_eq!(answers["truncate"], truncate, "{confine}: docs/shields.md says which");
            assert_eq!((answers["read"], answers["list"]), (0, 0), "reading is not handled: {answers:?}");
        }
    }
}

#[test]
fn volumes_and_what_is_named_are_open() {
    require!(landlock, demo);
    let image = Image::demo();
    for confine in ["auto", "strict"] {
        let (_volume, mount) = other(&image);
        let start = open(&image, confine).options(&["--volume", &mount]).env("TAKUMI_WRITABLE", "/srv:/other");
        all_succeed(&tried(start, &["files", "/other"]));
        // A volume, and one that is the host's own directory.
        let (_volume, mount) = other(&image);
        let start = open(&image, confine).options(&["--volume", &mount]).env("TAKUMI_VOLUMES", "/data:/other");
        all_succeed(&tried(start, &["files", "/other"]));
        let folder = Folder::new();
        std::os::unix::fs::chown(&folder.0, Some(1000), Some(1000)).unwrap();
        for (name, directory) in [("empty", true), ("sub", true), ("file", false), ("gone", false)] {
            let path = folder.0.join(name);
            if directory { std::fs::create_dir(path).unwrap() } else { std::fs::write(path, "x").unwrap() }
        }
        let mount = format!("{}:/bound", folder.0.display());
        let start = open(&image, confine).options(&["--volume", &mount]).env("TAKUMI_VOLUMES", "/data:/bound");
        all_succeed(&tried(start, &["files", "/bound"]));
    }
}

#[test]
fn memory_and_devices_are_open_and_no_others() {
    require!(landlock, demo);
    let image = Image::demo();
    let off = tried(open(&image, "off"), &["devices"]);
    assert!(off.values().all(|errno| *errno == 0), "control: {off:?}");
    for confine in ["auto", "strict"] {
        let mut answers = tried(open(&image, confine), &["devices"]);
        assert_eq!(answers.remove("urandom"), Some(EACCES));
        assert!(answers.values().all(|errno| *errno == 0), "{confine}: {answers:?}");
    }
}

#[test]
fn threads_and_children_have_names() {
    require!(landlock, demo);
    let image = Image::demo();
    for confine in ["off", "auto", "strict"] {
        let answers = tried(open(&image, confine), &["threads"]);
        assert!(answers.len() == 2 && answers.values().all(|errno| *errno == 0), "{confine}: {answers:?}");
    }
}

#[test]
fn a_link_leads_no_further_than_its_volume() {
    require!(landlock, demo);
    let image = Image::demo();
    for (confine, expected) in [("off", 0), ("auto", EACCES), ("strict", EACCES)] {
        let (_volume, mount) = other(&image);
        let data = Volume::new();
        data.root_shell(
            &image,
            "ln -s /other/file /data/link; ln -s /other /data/directory; chown -hR 1000:1000 /data",
        );
        let at = format!("{}:/data", data.name);
        let start = Start::plain(&image)
            .options(&["--volume", &at, "--volume", &mount])
            .env("TAKUMI_VOLUMES", "/data")
            .env("TAKUMI_CONFINE", confine)
            .env("TAKUMI_LOG", "warn");
        let answers = tried(start, &["write", "/data/link", "/data/directory/file"]);
        assert!(answers.len() == 2 && answers.values().all(|errno| *errno == expected), "{confine}: {answers:?}");
    }
}

#[test]
fn a_writable_directory_that_is_not_there_or_a_link_is_refused() {
    require!(landlock, demo);
    let image = Image::demo();
    for directory in ["/not/there", "/var/run"] {
        let ended = open(&image, "auto").env("TAKUMI_WRITABLE", directory).shell("echo ran").run();
        ended.expect_refusal(&[directory, "TAKUMI_WRITABLE"]);
    }
    let ended = open(&image, "auto").env("TAKUMI_WRITABLE", "/var").shell("echo ran").run();
    assert_eq!((ended.code, &ended.stdout[..]), (0, "ran\n"), "control: {ended:?}");
}

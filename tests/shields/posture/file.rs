//! The file shield.

use super::seen::{hardened, report, with_tmpfs};
use crate::seen::ReportRun;
use takumi_test::container::Start;
use takumi_test::folder::Folder;
use takumi_test::image::Image;
use takumi_test::require;

/// Answers in the kernel's place: (system call, errno; 0 is a lie, further conditions).
fn profile(folder: &Folder, call: &str, errno: i32, arguments: &str) -> String {
    let path = folder.0.join(format!("{call}-{errno}.json"));
    let rule =
        format!("{{\"names\":[\"{call}\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":{errno},\"args\":[{arguments}]}}");
    std::fs::write(&path, format!("{{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{rule}]}}")).unwrap();
    format!("seccomp={}", path.display())
}

/// `__O_TMPFILE` among the flags: a file without a name.
const UNNAMED: &str = r#"{"index":2,"value":4194304,"valueTwo":4194304,"op":"SCMP_CMP_MASKED_EQ"}"#;

#[test]
fn a_read_only_root_must_be_agreed_on() {
    require!(demo);
    let image = Image::demo();
    let folder = Folder::new();
    let lies = [
        ("statfs", 0, "", "mountinfo says read-only, statvfs nothing, writing read-only"),
        ("openat", libc::EACCES, UNNAMED, "mountinfo says read-only, statvfs read-only, writing writable"),
        // A descriptor, says the filter; there is a file then, by its word.
        ("openat", 0, UNNAMED, "mountinfo says read-only, statvfs read-only, writing writable"),
    ];
    for (call, errno, arguments, disagree) in lies {
        let option = profile(&folder, call, errno, arguments);
        let seen = report(hardened(&image).options(&["--security-opt", &option]));
        seen.missing("readonly-root", &format!("answers about / disagree: {disagree}"));
    }
    let option = profile(&folder, "openat", libc::EROFS, UNNAMED);
    let seen = report(Start::plain(&image).options(&["--security-opt", &option]));
    let disagree = "mountinfo says writable, statvfs writable, writing read-only";
    seen.missing("readonly-root", &format!("answers about / disagree: {disagree}"));
    // The control: a filter that touches none of it.
    let option = profile(&folder, "swapon", libc::EPERM, "");
    report(hardened(&image).options(&["--security-opt", &option])).held(&["readonly-root"]);
}

#[test]
fn each_property_of_a_tmpfs_is_seen() {
    require!(demo);
    let image = Image::demo();
    let folder = Folder::new();
    let bind = format!("{}:/bound", folder.0.display());
    let start = with_tmpfs(
        &image,
        &[
            "/right:rw,nosuid,nodev,noexec,size=1m", "/exec:rw,nosuid,nodev,exec,size=1m",
            "/suid:rw,suid,nodev,noexec,size=1m", "/dev-too:rw,nosuid,dev,noexec,size=1m",
            "/large:rw,nosuid,nodev,noexec",
        ],
    );
    let start = start.env("TAKUMI_TMPFS", "/right:/exec:/suid:/dev-too:/large:/bound:/srv").options(&["-v", &bind]);
    let seen = report(start);
    let finding = seen.finding("tmpfs");
    let (before, after) = finding.detail.split_once("; /bound is not a tmpfs, but ").expect(&finding.detail);
    assert_eq!(before, "/exec lacks noexec; /suid lacks nosuid; /dev-too lacks nodev; /large lacks size");
    assert!(after.ends_with("; /srv is not a tmpfs"), "{after}");
    assert_eq!(finding.fix.as_deref().unwrap().matches("--tmpfs").count(), 6, "{finding:?}");
    assert!(!finding.fix.as_deref().unwrap().contains("/right"), "{finding:?}");
}

#[test]
fn what_lies_over_the_image_is_seen() {
    require!(demo);
    let image = Image::demo();
    let folder = Folder::new();
    std::fs::write(folder.0.join("file"), "x").unwrap();
    let over = "is mounted over files of the image";
    for (mount, detail) in [
        (":/app", format!("/app {over} and is writable")),
        (":/app:ro", format!("/app {over}")),
        ("/file:/app/comfyui_standin.py:ro", format!("/app/comfyui_standin.py {over}")),
    ] {
        let mount = format!("{}{mount}", folder.0.display());
        report(hardened(&image).options(&["-v", &mount])).missing("baked-paths", &detail);
    }
    let mount = format!("{}:/app/standin", folder.0.display());
    let below = || Start::plain(&image).options(&["-v", &mount]).env("TAKUMI_BAKED", "/app");
    report(below()).missing("baked-paths", &format!("/app/standin {over} and is writable"));
    // The control: the same, declared.
    let seen = report(below().env("TAKUMI_VOLUMES", "/app/standin"));
    seen.is("baked-paths", "pass", "nothing is mounted over /app");
    // A parent of what is baked hides it whole.
    let seen = report(below().env("TAKUMI_BAKED", "/app/standin/nodes"));
    seen.missing("baked-paths", &format!("/app/standin {over} and is writable"));
}

#[test]
fn directories_of_the_host_are_seen() {
    require!(demo);
    let image = Image::demo();
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join(".ssh")).unwrap();
    let keys = folder.0.join(".ssh");
    let keys = keys.to_str().unwrap();
    for (path, danger) in [
        ("/etc", "the host's /etc".to_owned()),
        ("/root", "the host's /root".to_owned()),
        (keys, format!("the host's {keys}")),
    ] {
        let seen = report(hardened(&image).options(&["-v", &format!("{path}:/data/x:ro")]));
        let finding = seen.finding("dangerous-mounts");
        assert!(finding.detail.starts_with("/data/x is the host's "), "{finding:?}");
        // Its path is the host's where it lies on the host's root; a disk or a subvolume of its own hides the beginning.
        if std::fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .lines()
            .all(|line| !path.starts_with("/tmp") || line.split(' ').nth(4) != Some("/tmp"))
        {
            assert_eq!(finding.detail, format!("/data/x is {danger}"));
        }
    }
    let whole = |path: &str| report(hardened(&image).options(&["-v", &format!("{path}:/data/x:ro")]));
    for (path, danger) in
        [("/", "a whole system"), ("/proc", "another /proc"), ("/sys", "another /sys"), ("/dev", "the host's /dev")]
    {
        assert_eq!(first_danger(&whole(path)), format!("/data/x is {danger}"));
    }
    // The control: a directory of the user's.
    let own = folder.0.to_str().unwrap();
    whole(own).is("dangerous-mounts", "pass", "no system directory of the host is mounted");
}

fn first_danger(seen: &ReportRun) -> &str {
    let finding = seen.says("dangerous-mounts", "fail", "");
    finding.detail.split(';').next().unwrap()
}

#[test]
fn the_engines_own_directory_is_seen() {
    require!(rootful_docker, demo);
    let image = Image::demo();
    let seen = report(hardened(&image).options(&["-v", "/var/lib/docker:/data/x:ro"]));
    assert_eq!(first_danger(&seen), "/data/x is the host's /var/lib/docker");
}

#[test]
fn unmasked_paths_are_seen() {
    require!(demo);
    let image = Image::demo();
    let seen = report(hardened(&image).options(&["--security-opt", "systempaths=unconfined"]));
    // Not every kernel has /proc/kcore.
    let kcore = if std::path::Path::new("/proc/kcore").exists() { ", /proc/kcore is not hidden" } else { "" };
    seen.missing("masked-paths", &format!("/proc/sys is writable{kcore}"));
    let seen = report(hardened(&image).options(&["-v", "/sys:/sys"]));
    assert!(seen.finding("masked-paths").detail.starts_with("/sys is writable"), "{}", seen.ended.stdout);
}

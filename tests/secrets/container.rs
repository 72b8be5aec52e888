//! The same in a real container, hardened as scripts/up.sh starts it, with a key file as compose mounts it.

use crate::support::{KEY, cipher};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use takumi_test::container::Start;
use takumi_test::folder::Folder;
use takumi_test::hunt::Needles;
use takumi_test::image::Image;
use takumi_test::program::example;
use takumi_test::require;

/// An encrypted .env, a key that a user of the host owns alone, and the searcher.
fn files() -> Folder {
    let folder = Folder::new();
    fs::write(folder.join(".env"), format!("HF_TOKEN={}\n", cipher("HF_TOKEN"))).unwrap();
    fs::write(folder.join("key"), KEY).unwrap();
    fs::set_permissions(folder.join("key"), Permissions::from_mode(0o600)).unwrap();
    chown(folder.join("key"), Some(4321), Some(4321)).unwrap();
    fs::copy(example("searcher"), folder.join("searcher")).unwrap();
    folder
}

fn mount(folder: &Path, name: &str, to: &str) -> String {
    format!("type=bind,source={},destination={to},readonly", folder.join(name).display())
}

fn with_files<'a>(start: Start<'a>, files: &Folder) -> Start<'a> {
    let mounts = [(".env", "/etc/app/.env"), ("key", "/run/secrets/key"), ("searcher", "/searcher")];
    mounts.iter().fold(start, |start, (name, to)| start.options(&["--mount", &mount(&files.0, name, to)]))
}

fn searcher() -> Vec<String> {
    std::iter::once("/searcher".to_owned()).chain(Needles::of_key(KEY).words()).collect()
}

#[test]
fn a_container_has_the_secret_and_nowhere_the_key() {
    require!(root, demo);
    let image = Image::demo();
    let files = files();
    let start = || {
        let start = Start::hardened(&image).fresh_data().env("TAKUMI_LOG", "trace");
        let start = start.env("TAKUMI_ENV_FILE", "/etc/app/.env").env("DOTENV_PRIVATE_KEY_FILE", "/run/secrets/key");
        with_files(start, &files)
    };
    let ended = start().shell("printf %s \"$HF_TOKEN\"; cat /run/secrets/key").run();
    assert_eq!((ended.code, &*ended.stdout), (1, "hf_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "{ended:?}");

    let words = searcher();
    let container = start().command(&words.iter().map(String::as_str).collect::<Vec<_>>()).spawn();
    let ended = container.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(matches!(lines[..], [looked] if looked.ends_with("environments=1 memories=1")), "{lines:?}");
    assert!(!ended.stderr.contains(KEY) && !ended.stderr.contains("hf_aaaa"), "{ended:?}");
    assert!(!container.inspect("json .").contains(KEY));
}

/// tini, entrypoint.sh and gosu with the key in the environment; what the engine shows is the same with any init.
#[test]
fn the_classic_container_has_the_key_in_the_app_and_in_the_engine() {
    require!(root, demo, gosu, "tini-static");
    let image = Image::classic();
    let (files, words) = (files(), searcher());
    let start = with_files(Start::plain(&image).fresh_data(), &files).env("DOTENV_PRIVATE_KEY", KEY);
    let container = start.command(&words.iter().map(String::as_str).collect::<Vec<_>>()).spawn();
    let ended = container.end();
    for place in ["/environ", "/mem"] {
        let found = ended.stdout.lines().any(|line| line.starts_with("hex in /proc/") && line.contains(place));
        assert!(found, "{place}: {ended:?}");
    }
    assert!(container.inspect("json .").contains(KEY));
}

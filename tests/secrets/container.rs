//! The same in a real container, hardened as scripts/up.sh starts it, with a key file as compose mounts it.

use crate::engine::{Folder, Image};
use crate::hunt::Needles;
use crate::start::Start;
use crate::support::{KEY, cipher};
use crate::world;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

/// An encrypted .env, a key that a user of the host owns alone, and the searcher.
fn files() -> Folder {
    let folder = Folder::new();
    fs::set_permissions(&folder.0, Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.0.join(".env"), format!("HF_TOKEN={}\n", cipher("HF_TOKEN"))).unwrap();
    fs::write(folder.0.join("key"), KEY).unwrap();
    fs::set_permissions(folder.0.join("key"), Permissions::from_mode(0o600)).unwrap();
    chown(folder.0.join("key"), Some(4321), Some(4321)).unwrap();
    fs::copy(world::probe().with_file_name("searcher"), folder.0.join("searcher")).unwrap();
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
    let Some(image) = Image::demo() else { return };
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
    let Some(_demo) = Image::demo() else { return };
    let Some(image) = Image::classic() else { return };
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

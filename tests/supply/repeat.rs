//! Two builds of one source are one file, wherever they are made.

use crate::tools::{ROOT, build, release};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use takumi_test::folder::Folder;
use takumi_test::program::run;

/// The sources alone, somewhere else.
fn copy_sources(to: &Path) {
    for entry in std::fs::read_dir(ROOT).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name != ".git" && name != "target" {
            run(Command::new("cp").arg("-a").arg(&path).arg(to)).ends_with(0);
        }
    }
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME")
        .map_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cargo"), PathBuf::from)
}

/// Where scripts/common.sh keeps what it built.
fn own_tools() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(ROOT).join("target"), PathBuf::from).join("tools")
}

#[test]
fn two_builds_in_different_places_are_byte_identical() {
    let folder = Folder::new();
    let [source, target, home] =
        ["some/where else/source", "target-of-another-name", "cargo home"].map(|name| folder.join(name));
    for each in [&source, &target, &home] {
        std::fs::create_dir_all(each).unwrap();
    }
    copy_sources(&source);
    // The same crates by another way, so that nothing is fetched twice.
    for entry in std::fs::read_dir(cargo_home()).unwrap() {
        let entry = entry.unwrap();
        symlink(entry.path(), home.join(entry.file_name())).unwrap();
    }
    let here = std::fs::read(release()).unwrap();
    run(Command::new("cp").arg("-a").arg(own_tools()).arg(&target)).ends_with(0);

    let there = build(&source, &[("CARGO_TARGET_DIR", &target), ("CARGO_HOME", &home)]);
    assert!(there.starts_with(&target), "{}", there.display());
    let there = std::fs::read(there).unwrap();
    let differing = here.iter().zip(&there).filter(|(here, there)| here != there).count();
    assert!(here == there, "{} and {} bytes, {differing} of them differ", here.len(), there.len());
}

#[test]
fn the_binary_names_no_place_of_the_machine_that_built_it() {
    let home = cargo_home();
    let places = [ROOT, home.to_str().unwrap(), release().ancestors().nth(3).unwrap().to_str().unwrap()];
    let named = |binary: &Path| -> Vec<&str> {
        let bytes = std::fs::read(binary).unwrap();
        let contains = |place: &&str| bytes.windows(place.len()).any(|window| window == place.as_bytes());
        places.iter().copied().filter(contains).collect()
    };
    assert_eq!(named(release()), Vec::<&str>::new());
    // The control: a build for debugging names where its crates lie.
    assert!(named(Path::new(env!("CARGO_BIN_EXE_init"))).contains(&home.to_str().unwrap()));
}

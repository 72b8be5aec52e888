//! The list of crates in the binary, as a scanner reads it out of an image.

use crate::tools::{ROOT, release, tools};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use takumi_test::engine::ask;
use takumi_test::folder::{Folder, fresh_name};
use takumi_test::image::Image;
use takumi_test::program::{installed, run};
use takumi_test::require;

/// An image of nothing but `files`: `require!(docker)`.
#[track_caller]
pub fn image_of(files: &[(&Path, &str)]) -> Image {
    let lines: String = files.iter().map(|(_, name)| format!("COPY {name} /{name}\n")).collect();
    let files: Vec<_> = files.iter().map(|(from, name)| (*from, *name, 0o755)).collect();
    Image::build("supply", "scratch", &lines, &files)
}

/// The package URLs in the SBOM that scripts/scan_image.sh writes, without qualifiers.
fn packages(image: &str) -> BTreeSet<String> {
    let folder = Folder::new();
    run(Command::new(Path::new(ROOT).join("scripts/scan_image.sh"))
        .args(["--sbom", "--output", folder.0.to_str().unwrap(), image])
        .env("SYFT", tools().join("bin/syft")))
    .ends_with(0);
    let sbom = std::fs::read(folder.join("sbom.cdx.json")).unwrap();
    let sbom: serde_json::Value = serde_json::from_slice(&sbom).unwrap();
    let spdx = std::fs::read_to_string(folder.join("sbom.spdx.json")).unwrap();
    let components = sbom["components"].as_array().cloned().unwrap_or_default();
    let urls = components.iter().filter_map(|component| component["purl"].as_str());
    let urls: BTreeSet<String> = urls.map(|url| url.split('?').next().unwrap().to_owned()).collect();
    for url in &urls {
        assert!(spdx.contains(url.as_str()), "{url} is in the CycloneDX file and not in the SPDX file");
    }
    urls
}

/// What Cargo.lock resolves to for `init` at run time: no build script's and no procedural macro's crates.
fn runtime_set() -> BTreeSet<String> {
    let arguments = [
        "tree", "--package", "takumi-init", "--locked", "--edges", "normal,no-proc-macro", "--target",
        "x86_64-unknown-linux-gnu", "--prefix", "none",
    ];
    let tree = run(Command::new("cargo").args(arguments).args(["--format", "{p}"]).current_dir(ROOT)).ends_with(0);
    let crates = tree.stdout.lines().map(|line| {
        let mut words = line.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap().trim_start_matches('v'));
        (name.to_owned(), version.to_owned())
    });
    let crates: BTreeSet<(String, String)> = crates.collect();
    let lock = std::fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    for (name, version) in &crates {
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")), "{name} is not in Cargo.lock");
    }
    // A plus is written out in a package URL.
    crates.iter().map(|(name, version)| format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))).collect()
}

#[test]
fn the_sbom_of_an_image_lists_the_crates_that_the_lock_file_resolves_to() {
    require!(pip3, docker, jq, objcopy);
    let image = image_of(&[(release(), "init")]);
    let expected = runtime_set();
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(packages(&image.name), expected);

    // The control: the same program without its list.
    let folder = Folder::new();
    let bare = folder.join("bare");
    run(Command::new("objcopy").args(["--remove-section", ".dep-v0"]).arg(release()).arg(&bare)).ends_with(0);
    let image = image_of(&[(&bare, "init")]);
    assert_eq!(packages(&image.name), BTreeSet::new());
}

#[test]
fn the_demonstration_images_sbom_has_the_packages_of_its_base_and_no_go_program() {
    require!(pip3, demo, jq, gosu);
    let demo = Image::demo();
    let line = "dpkg-query --show --showformat '${Package} ${Version}\\n'";
    let listed = ask(&["run", "--rm", "--name", &fresh_name("dpkg"), "--entrypoint", "sh", &demo.name, "-c", line]);
    let names: BTreeSet<&str> = listed.lines().map(|line| line.split(' ').next().unwrap()).collect();
    let urls = packages(&demo.name);
    let found: BTreeSet<&str> = urls
        .iter()
        .filter_map(|url| url.strip_prefix("pkg:deb/debian/").or_else(|| url.strip_prefix("pkg:deb/ubuntu/")))
        .map(|rest| rest.split('@').next().unwrap())
        .collect();
    assert!(names.len() > 20, "{names:?}");
    let decoded = |name: &&str| found.contains(name) || found.contains(name.replace('+', "%2B").as_str());
    let missing: Vec<_> = names.iter().filter(|name| !decoded(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");

    let go =
        |urls: &BTreeSet<String>, module: &str| urls.iter().any(|url| url.starts_with(&format!("pkg:golang/{module}")));
    assert!(!go(&urls, ""), "{urls:?}");
    // The control: what init replaces is a Go program, with the Go standard library of the day it was built.
    let of_gosu = packages(&image_of(&[(&installed("gosu"), "gosu")]).name);
    assert!(go(&of_gosu, "stdlib@"), "{of_gosu:?}");
}

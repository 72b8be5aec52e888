//! The list of crates in the binary, as a scanner reads it out of an image.

use crate::engine::{Folder, Image, ask, engine, fresh_name, installed};
use crate::tools::{ROOT, release, run, text, tools};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// An image of nothing but `files`, or None where no engine answers (and says so).
pub fn image_of(files: &[(&Path, &str)]) -> Option<Image> {
    if !engine(&["info"]).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no container engine answers");
        return None;
    }
    let context = Folder::new();
    let mut lines = String::from("FROM scratch\n");
    for (from, name) in files {
        std::fs::copy(from, context.0.join(name)).unwrap();
        lines += &format!("COPY {name} /{name}\n");
    }
    std::fs::write(context.0.join("Dockerfile"), lines).unwrap();
    let image = Image { name: fresh_name("supply") };
    let mut build = engine(&["build", "--tag", &image.name, context.0.to_str().unwrap()]);
    if !engine(&["buildx", "version"]).output().is_ok_and(|output| output.status.success()) {
        build.env("DOCKER_BUILDKIT", "0");
    }
    let output = run(&mut build);
    assert!(output.status.success(), "{}", text(&output));
    Some(image)
}

/// The package URLs in the SBOM that scripts/scan_image.sh writes, without qualifiers.
fn packages(tools: &Path, image: &str) -> BTreeSet<String> {
    let folder = Folder::new();
    let output = run(Command::new(Path::new(ROOT).join("scripts/scan_image.sh"))
        .args(["--sbom", "--output", folder.0.to_str().unwrap(), image])
        .env("SYFT", tools.join("bin/syft")));
    assert!(output.status.success(), "{}", text(&output));
    let sbom = std::fs::read(folder.0.join("sbom.cdx.json")).unwrap();
    let sbom: serde_json::Value = serde_json::from_slice(&sbom).unwrap();
    let spdx = std::fs::read_to_string(folder.0.join("sbom.spdx.json")).unwrap();
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
        "tree", "--locked", "--edges", "normal,no-proc-macro", "--target", "x86_64-unknown-linux-gnu", "--prefix",
        "none",
    ];
    let output = run(Command::new("cargo").args(arguments).args(["--format", "{p}"]).current_dir(ROOT));
    assert!(output.status.success(), "{}", text(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    let crates = lines.lines().map(|line| {
        let mut words = line.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap().trim_start_matches('v'));
        format!("pkg:cargo/{name}@{version}")
    });
    let crates: BTreeSet<String> = crates.collect();
    let lock = std::fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    for each in &crates {
        let (name, version) = each.trim_start_matches("pkg:cargo/").split_once('@').unwrap();
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")), "{each} is not in Cargo.lock");
    }
    crates
}

#[test]
fn the_sbom_of_an_image_lists_the_crates_that_the_lock_file_resolves_to() {
    let Some(tools) = tools() else { return };
    let Some(image) = image_of(&[(release(), "init")]) else { return };
    let expected = runtime_set();
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(packages(tools, &image.name), expected);

    // The control: the same program without its list.
    let folder = Folder::new();
    let bare = folder.0.join("bare");
    let cut = run(Command::new("objcopy").args(["--remove-section", ".dep-v0"]).arg(release()).arg(&bare));
    assert!(cut.status.success(), "{}", text(&cut));
    let Some(image) = image_of(&[(&bare, "init")]) else { return };
    assert_eq!(packages(tools, &image.name), BTreeSet::new());
}

#[test]
fn the_demonstration_image_holds_no_go_program() {
    let Some(tools) = tools() else { return };
    let Some(demo) = Image::demo() else { return };
    let go = |image: &str| -> Vec<String> {
        packages(tools, image).into_iter().filter(|url| url.starts_with("pkg:golang/")).collect()
    };
    assert_eq!(go(&demo.name), Vec::<String>::new());

    // The control: what init replaces is a Go program, with the Go standard library of the day it was built.
    let Some(gosu) = installed("gosu") else {
        println!("skipped: the control needs gosu");
        return;
    };
    let Some(image) = image_of(&[(&gosu, "gosu")]) else { return };
    assert!(go(&image.name).iter().any(|url| url.starts_with("pkg:golang/stdlib@")), "{:?}", go(&image.name));
}

#[test]
fn the_packages_of_the_base_are_in_the_sbom_too() {
    let Some(tools) = tools() else { return };
    let Some(demo) = Image::demo() else { return };
    let line = "dpkg-query --show --showformat '${Package} ${Version}\\n'";
    let listed = ask(&["run", "--rm", "--name", &fresh_name("dpkg"), "--entrypoint", "sh", &demo.name, "-c", line]);
    let names: BTreeSet<&str> = listed.lines().map(|line| line.split(' ').next().unwrap()).collect();
    let urls = packages(tools, &demo.name);
    let found: BTreeSet<&str> = urls
        .iter()
        .filter_map(|url| url.strip_prefix("pkg:deb/debian/").or_else(|| url.strip_prefix("pkg:deb/ubuntu/")))
        .map(|rest| rest.split('@').next().unwrap())
        .collect();
    assert!(names.len() > 20, "{names:?}");
    let decoded = |name: &&str| found.contains(name) || found.contains(name.replace('+', "%2B").as_str());
    let missing: Vec<_> = names.iter().filter(|name| !decoded(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

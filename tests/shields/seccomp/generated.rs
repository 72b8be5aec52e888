//! The profile is what seccomp.py makes of Docker's own, and nothing of that is lost without a reason.

use super::PROFILE;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use takumi_test::folder::Folder;

const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image");

/// The generator with its files, to be changed.
fn copy() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join("seccomp")).unwrap();
    for file in ["seccomp.py", "seccomp.json", "seccomp/moby-20.10.24.json"] {
        std::fs::copy(Path::new(IMAGE).join(file), folder.0.join(file)).unwrap();
    }
    folder
}

fn change(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "no '{from}' in {}", file.display());
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}

fn check(folder: &Path) -> Output {
    Command::new("python3").arg("-B").arg(folder.join("seccomp.py")).arg("--check").output().unwrap()
}

fn output_text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_profile_is_what_the_generator_writes() {
    let here = check(Path::new(IMAGE));
    assert!(here.status.success() && here.stdout.is_empty(), "run image/seccomp.py: {}", output_text(&here));

    let other = copy();
    change(&other.0.join("seccomp.json"), "\"accept\",", "\"accept\", \"bpf\",");
    let check = check(&other.0);
    assert!(
        !check.status.success() && output_text(&check).contains("bpf"),
        "control: a call was slipped in: {}",
        output_text(&check)
    );
}

#[test]
fn upstream_is_the_file_that_is_named() {
    let other = copy();
    change(&other.0.join("seccomp/moby-20.10.24.json"), "\"accept\",", "\"accept\", \"bpf\",");
    let check = check(&other.0);
    assert!(
        !check.status.success() && output_text(&check).contains("not the file that is named"),
        "{}",
        output_text(&check)
    );
}

#[test]
fn a_rule_for_some_is_decided_on_and_never_passed_to_all() {
    // `ptrace` and `mount` stand in upstream under a condition; without their line in the table the generator must not guess.
    for line in ["    \"ptrace\": ", "    \"mount\": "] {
        let other = copy();
        change(&other.0.join("seccomp.py"), line, &line.replace(": ", "-no-more\": ").replacen("\"-no", "-no", 1));
        let check = check(&other.0);
        assert!(
            !check.status.success() && output_text(&check).contains("decide in seccomp.py"),
            "{line}: {}",
            output_text(&check)
        );
    }
}

/// Fields that the OCI runtime specification does not know: containerd and CRI-O pass over them.
fn unknown_fields(profile: &str) -> Vec<String> {
    let profile: Value = serde_json::from_str(&std::fs::read_to_string(profile).unwrap()).unwrap();
    let mut unknown = Vec::new();
    let mut expect = |value: &Value, known: &[&str]| {
        let fields = value.as_object().unwrap().keys();
        unknown.extend(fields.filter(|field| !known.contains(&field.as_str())).cloned());
    };
    expect(&profile, &["defaultAction", "defaultErrnoRet", "architectures", "syscalls"]);
    for rule in profile["syscalls"].as_array().unwrap() {
        expect(rule, &["names", "action", "errnoRet", "args"]);
        for argument in rule["args"].as_array().unwrap_or(&Vec::new()) {
            expect(argument, &["index", "value", "valueTwo", "op"]);
        }
    }
    unknown
}

#[test]
fn the_profile_says_the_same_to_every_runtime() {
    assert_eq!(unknown_fields(PROFILE), Vec::<String>::new());
    let upstream = unknown_fields(&format!("{IMAGE}/seccomp/moby-20.10.24.json"));
    for field in ["archMap", "includes", "excludes"] {
        assert!(upstream.iter().any(|unknown| unknown == field), "control: {upstream:?}");
    }
}

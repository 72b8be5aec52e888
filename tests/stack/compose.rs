//! image/compose.yaml for old and new compose. compose-spec.json is the schema of Compose v2, from github.com/compose-spec/compose-spec
//! (Apache-2.0), commit 170098ba07d9f53c383a41bfd4c5166b0a4529a6.

use crate::engine::installed;
use crate::stack::{REPOSITORY, text};
use std::process::Command;

/// Prints what the schema and docker-compose 1.29's memory of old have against a file; a word before it breaks the file first.
const VALIDATE: &str = r#"
import json, sys, jsonschema, yaml
schema = json.load(open(sys.argv[1]))
file = yaml.safe_load(open(sys.argv[2]))
if len(sys.argv) > 3:
    file["services"]["comfyui"][sys.argv[3]] = "x"
for error in jsonschema.Draft7Validator(schema).iter_errors(file):
    print(list(error.path), error.message[:200])
for name in ("version", "name", "configs", "secrets"):
    if name in file:
        print("top-level", name)
for name, service in file["services"].items():
    if "gpus" in service:
        print("gpus in", name)
"#;

#[test]
fn the_compose_files_are_valid_for_compose_v2() {
    let python = "/usr/bin/python3";
    let has_modules = Command::new(python).args(["-c", "import jsonschema, yaml"]).output();
    if !has_modules.is_ok_and(|output| output.status.success()) {
        println!("skipped: python3-jsonschema or python3-yaml is not installed");
        return;
    }
    let validate = |file: &str, broken: &[&str]| {
        let schema = format!("{REPOSITORY}/tests/stack/compose-spec.json");
        let file = format!("{REPOSITORY}/image/{file}");
        let output = Command::new(python).args(["-c", VALIDATE, &schema, &file]).args(broken).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    for file in ["compose.yaml", "compose.gpu.yaml"] {
        assert_eq!(validate(file, &[]), "", "{file}");
    }
    assert!(validate("compose.yaml", &["read_onyl"]).contains("read_onyl"));
    assert!(validate("compose.yaml", &["gpus"]).contains("gpus in comfyui"));
}

#[test]
fn the_compose_file_is_valid_for_each_compose_that_is_here() {
    let mut found = Vec::new();
    if installed("docker-compose").is_some() {
        found.push(vec!["docker-compose"]);
    }
    if Command::new("docker").args(["compose", "version"]).output().is_ok_and(|output| output.status.success()) {
        found.push(vec!["docker", "compose"]);
    }
    if found.is_empty() {
        println!("skipped: neither docker-compose nor docker compose is installed");
    }
    for words in found {
        // In its own folder with no variable set: as somebody does who knows compose and not our scripts.
        let mut config = Command::new(words[0]);
        config.args(&words[1..]).args(["config", "--quiet"]).current_dir(format!("{REPOSITORY}/image"));
        let output = config.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{words:?}");
    }
}

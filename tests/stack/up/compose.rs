//! image/compose.yaml for old and new compose. compose-spec.json is the schema of Compose v2, from github.com/compose-spec/compose-spec
//! (Apache-2.0), commit 170098ba07d9f53c383a41bfd4c5166b0a4529a6.

use crate::python::python;
use std::process::Command;
use takumi_test::program::{REPOSITORY, run};
use takumi_test::require;

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
    require!(python3, pip3);
    let validate = |file: &str, broken: &[&str]| {
        let schema = format!("{REPOSITORY}/tests/stack/up/compose-spec.json");
        let file = format!("{REPOSITORY}/image/{file}");
        let ended = python(&[&["-c", VALIDATE, &schema, &file], broken].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    for file in ["compose.yaml", "compose.gpu.yaml"] {
        assert_eq!(validate(file, &[]), "", "{file}");
    }
    assert!(validate("compose.yaml", &["read_onyl"]).contains("read_onyl"));
    assert!(validate("compose.yaml", &["gpus"]).contains("gpus in comfyui"));
}

#[test]
fn the_compose_file_is_valid_for_each_compose_that_is_here() {
    require!("docker-compose");
    let mut found = vec![vec!["docker-compose"]];
    if Command::new("docker").args(["compose", "version"]).output().is_ok_and(|output| output.status.success()) {
        found.push(vec!["docker", "compose"]);
    }
    for words in found {
        // In its own folder with no variable set: as somebody does who knows compose and not our scripts.
        let mut config = Command::new(words[0]);
        config.args(&words[1..]).args(["config", "--quiet"]).current_dir(format!("{REPOSITORY}/image"));
        let ended = run(&mut config);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}");
    }
}

//! kubernetes-validate, which brings the API's schemas, PyYAML and jsonschema, for the programs that use them: `require!(python3, pip3)`.

use std::path::PathBuf;
use std::process::Command;
use takumi_test::folder::fresh_name;
use takumi_test::image::alone;
use takumi_test::program::{Ended, kept, run};

/// Pinned: its schemas are those of Kubernetes 1.25 to 1.37.
const VALIDATOR: &str = "kubernetes-validate==1.37.0";

/// Python with these words, which finds the packages.
#[track_caller]
pub fn python(words: &[&str]) -> Ended {
    run(Command::new("python3").arg("-B").args(words).env("PYTHONPATH", packages()))
}

/// Where they lie, installed once.
#[track_caller]
fn packages() -> PathBuf {
    let _alone = alone(VALIDATOR);
    let folder = kept(VALIDATOR);
    if !folder.exists() {
        let fetching = kept(&fresh_name("packages"));
        let mut pip = Command::new("pip3");
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--target"]).arg(&fetching).arg(VALIDATOR);
        let pip = run(&mut pip);
        assert_eq!(pip.code, 0, "pip3 cannot install {VALIDATOR}: {}", pip.text());
        std::fs::rename(&fetching, &folder).unwrap();
    }
    folder
}

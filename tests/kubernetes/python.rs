//! kubernetes-validate, which brings the API's schemas and PyYAML, and the programs that use them.

use crate::engine::fresh_name;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

/// Pinned: its schemas are those of Kubernetes 1.25 to 1.37.
const VALIDATOR: &str = "kubernetes-validate==1.37.0";

/// Where the packages lie, installed once, or None where pip cannot get them (and says so).
fn packages() -> Option<PathBuf> {
    static ONE: Mutex<()> = Mutex::new(());
    let _alone = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(VALIDATOR);
    if !folder.exists() {
        let fetching = Path::new(env!("CARGO_TARGET_TMPDIR")).join(fresh_name("packages"));
        let pip = Command::new("pip3")
            .args(["install", "--quiet", "--disable-pip-version-check", "--target"])
            .arg(&fetching)
            .arg(VALIDATOR)
            .output();
        if !pip.as_ref().is_ok_and(|pip| pip.status.success()) {
            let _ = std::fs::remove_dir_all(&fetching);
            println!("skipped: pip3 cannot install {VALIDATOR}: {pip:?}");
            return None;
        }
        std::fs::rename(&fetching, &folder).unwrap();
    }
    Some(folder)
}

/// Python with these words, or None where the packages are missing.
pub fn python(words: &[&str]) -> Option<Output> {
    let packages = packages()?;
    Some(Command::new("python3").arg("-B").args(words).env("PYTHONPATH", packages).output().unwrap())
}

/// What manifest.py prints.
pub fn manifest(words: &[&str]) -> Option<String> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes/manifest.py");
    let output = python(&[&[program], words].concat())?;
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What manifest.py prints of each file.
pub fn of_each(words: &[&str], files: &[&str]) -> Option<Vec<String>> {
    let said = manifest(&[words, files].concat())?;
    let each: Vec<String> = said.split_terminator("--\n").map(str::to_owned).collect();
    assert_eq!(each.len(), files.len(), "{said}");
    Some(each)
}

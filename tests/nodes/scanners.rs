//! Bandit and banditrs, had by pip once and kept beside the tests' other output.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use takumi_init::nodes::scan::Scanner;

/// Both, with their names; or none (and says so).
pub fn both() -> Option<[(&'static str, Scanner); 2]> {
    let folder = match installed() {
        Ok(folder) => folder,
        Err(reason) => {
            println!("skipped: {reason}");
            return None;
        }
    };
    Some(["bandit", "banditrs"].map(|name| {
        let path = folder.join("bin").join(name);
        (name, Scanner::find_anywhere(path.to_str().unwrap().as_bytes()).unwrap())
    }))
}

/// The virtual environment that they are in.
pub fn installed() -> Result<PathBuf, String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nodes/scanners.txt");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scanners");
    let wanted = std::fs::read_to_string(&list).unwrap();
    let stamp = folder.join("stamp");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    let _ = std::fs::remove_dir_all(&folder);
    // The system's own first: another may lie where only its owner comes.
    let pythons = ["/usr/bin/python3", "python3"];
    let python = pythons.into_iter().find(|python| run(Command::new(python).args(["-m", "pip", "--version"])).is_ok());
    let python = python.ok_or("pip is missing (on Debian: python3-pip)")?;
    run(Command::new(python).args(["-m", "venv", "--without-pip"]).arg(&folder))?;
    let mut install = Command::new(python);
    install.args(["-m", "pip", "--python"]).arg(folder.join("bin/python3"));
    install.args(["install", "--quiet", "--disable-pip-version-check", "--root-user-action", "ignore"]);
    run(install.args(["--only-binary", ":all:", "--timeout", "15", "--retries", "8", "--requirement"]).arg(&list))?;
    std::fs::write(stamp, wanted).unwrap();
    Ok(folder)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = || format!("the scanners cannot be had: {}", errors.lines().last().unwrap_or("no word"));
    if output.status.success() { Ok(()) } else { Err(last()) }
}

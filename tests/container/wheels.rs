//! Wheels, had by pip once and kept beside the tests' other output.

use super::engine::{engine, fresh_name};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The wheels of these lists of requirements for the Python of an image, in a folder of this name; or why there are none.
pub fn wheels(name: &str, image: &str, lists: &[PathBuf]) -> Result<PathBuf, String> {
    kept(name, image, lists, &["download"], "--dest")
}

/// What is in the wheels, where Python can be sent by PYTHONPATH.
pub fn unpacked(name: &str, image: &str, lists: &[PathBuf]) -> Result<PathBuf, String> {
    kept(name, image, lists, &["install", "--no-compile", "--upgrade"], "--target")
}

fn kept(name: &str, image: &str, lists: &[PathBuf], pip: &[&str], to: &str) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = python_of(image)?;
    let wanted = lists.iter().map(|list| std::fs::read_to_string(list).unwrap()).collect::<String>() + &python;
    let stamp = folder.join("stamp");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for list in lists {
        fetch(&[pip, &[to, folder.to_str().unwrap(), "--requirement", list.to_str().unwrap()]].concat(), &python)?;
    }
    std::fs::write(stamp, wanted).unwrap();
    Ok(folder)
}

/// As `311`.
fn python_of(image: &str) -> Result<String, String> {
    let program = "import sys; print('%d%d' % sys.version_info[:2])";
    let name = fresh_name("python");
    let output = run(&mut engine(&["run", "--rm", "--name", &name, "--entrypoint", "python3", image, "-c", program]));
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(version) } else { Err(last_line(&output, "the image has no Python")) }
}

fn fetch(words: &[&str], python: &str) -> Result<(), String> {
    let pip = ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(|python| run(Command::new(python).args(["-m", "pip", "--version"])).status.success());
    let pip = pip.ok_or("pip is missing (on Debian: python3-pip)")?;
    let fill = || {
        let mut command = Command::new(pip);
        command.args(["-m", "pip"]).args(words).args(["--quiet", "--disable-pip-version-check", "--no-deps"]);
        command.args(["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]);
        command.args(["--abi", &format!("cp{python}"), "--abi", "abi3", "--abi", "none", "--platform", "any"]);
        command.args(["--platform", "manylinux1_x86_64", "--platform", "manylinux2014_x86_64"]);
        for minor in 5..=36 {
            command.args(["--platform", &format!("manylinux_2_{minor}_x86_64")]);
        }
        run(command.args(["--timeout", "15", "--retries", "8"]))
    };
    // An index that does not answer looks to pip like one that knows no such package.
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut filled = fill();
    while !filled.status.success() && Instant::now() < deadline {
        filled = fill();
    }
    if filled.status.success() { Ok(()) } else { Err(last_line(&filled, "pip cannot have the libraries")) }
}

pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn last_line(output: &Output, what: &str) -> String {
    format!("{what}: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("no word"))
}

//! Wheels, had by pip once and kept beside the tests' other output.

use crate::engine::{Ended, engine};
use crate::folder::fresh_name;
use crate::image::alone;
use crate::program::{installed, run};
use std::path::{Path, PathBuf};
use std::process::Command;
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
    let folder = crate::program::kept(name);
    let _alone = alone(name);
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

/// A virtual environment of the system's Python with these requirements, in a folder of this name; `options` are those of `pip install`.
/// One that cannot be had fails the test: `require!(pip3)` is what it needs of the machine, and an index is the rest.
#[track_caller]
pub fn environment(name: &str, list: &Path, options: &[&str]) -> PathBuf {
    let folder = crate::program::kept(name);
    let _alone = alone(name);
    let wanted = std::fs::read_to_string(list).unwrap();
    let stamp = folder.join("stamp");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return folder;
    }
    let _ = std::fs::remove_dir_all(&folder);
    let python = installed("python3");
    run(Command::new(&python).args(["-m", "venv", "--without-pip"]).arg(&folder)).ends_with(0);
    let fill = || {
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "--python"]).arg(folder.join("bin/python3"));
        install.args(["install", "--quiet", "--disable-pip-version-check", "--root-user-action", "ignore"]);
        install.args(["--only-binary", ":all:", "--timeout", "15", "--retries", "8"]).args(options);
        run(install.arg("--requirement").arg(list))
    };
    patiently(fill).ends_with(0);
    std::fs::write(stamp, wanted).unwrap();
    folder
}

/// As `311`.
fn python_of(image: &str) -> Result<String, String> {
    let program = "import sys; print('%d%d' % sys.version_info[:2])";
    let name = fresh_name("python");
    let ended = run(&mut engine(&["run", "--rm", "--name", &name, "--entrypoint", "python3", image, "-c", program]));
    let version = ended.stdout.trim().to_owned();
    if ended.code == 0 { Ok(version) } else { Err(last_line(&ended, "the image has no Python")) }
}

fn fetch(words: &[&str], python: &str) -> Result<(), String> {
    let pip = ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(|python| run(Command::new(python).args(["-m", "pip", "--version"])).code == 0);
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
    let filled = patiently(fill);
    if filled.code == 0 { Ok(()) } else { Err(last_line(&filled, "pip cannot have the libraries")) }
}

/// An index that does not answer looks to pip like one that knows no such package.
fn patiently(fill: impl Fn() -> Ended) -> Ended {
    let deadline = Instant::now() + Duration::from_secs(90);
    let mut filled = fill();
    while filled.code != 0 && Instant::now() < deadline {
        filled = fill();
    }
    filled
}

fn last_line(ended: &Ended, what: &str) -> String {
    format!("{what}: {}", ended.stderr.lines().last().unwrap_or("no word"))
}

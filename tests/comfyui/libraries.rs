//! Real libraries, had by pip once and kept beside the tests' other output.

use crate::engine::{Image, Volume, engine, fresh_name};
use crate::world::IMAGE;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The wheels of libraries.txt and needs.txt, for the image's Python.
pub fn wheels() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("comfyui-wheels");
    let lists = ["libraries.txt", "needs.txt"].map(|name| Path::new(ROOT).join("tests/comfyui").join(name));
    let python = python_of_the_image()?;
    let wanted = lists.iter().map(|list| std::fs::read_to_string(list).unwrap()).collect::<String>() + &python;
    let stamp = folder.join("stamp");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for list in lists {
        download(&list, &folder, &python)?;
    }
    std::fs::write(stamp, wanted).unwrap();
    Ok(folder)
}

/// As `311`.
fn python_of_the_image() -> Result<String, String> {
    let program = "import sys; print('%d%d' % sys.version_info[:2])";
    let name = fresh_name("python");
    let output = run(&mut engine(&["run", "--rm", "--name", &name, "--entrypoint", "python3", &IMAGE, "-c", program]));
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(version) } else { Err(last_line(&output, "the image has no Python")) }
}

fn download(list: &Path, to: &Path, python: &str) -> Result<(), String> {
    let pip = ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(|python| run(Command::new(python).args(["-m", "pip", "--version"])).status.success());
    let pip = pip.ok_or("pip is missing (on Debian: python3-pip)")?;
    let fill = || {
        let mut command = Command::new(pip);
        command.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        command.args(["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]);
        command.args(["--abi", &format!("cp{python}"), "--abi", "abi3", "--abi", "none", "--platform", "any"]);
        command.args(["--platform", "manylinux1_x86_64", "--platform", "manylinux2014_x86_64"]);
        for minor in 5..=36 {
            command.args(["--platform", &format!("manylinux_2_{minor}_x86_64")]);
        }
        command.args(["--timeout", "15", "--retries", "8", "--requirement"]).arg(list).arg("--dest").arg(to);
        run(&mut command)
    };
    // An index that does not answer looks to pip like one that knows no such package.
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut filled = fill();
    while !filled.status.success() && Instant::now() < deadline {
        filled = fill();
    }
    if filled.status.success() { Ok(()) } else { Err(last_line(&filled, "pip cannot have the libraries")) }
}

/// The image's virtual environment with the libraries in it, as a volume: an image's layer would take minutes.
pub fn installed(image: &Image, wheels: &Path) -> Volume {
    let volume = Volume::new();
    // An empty volume takes what the image has at its place.
    let place = format!("{}:/opt/venv", volume.name);
    let from = format!("{}:/wheels:ro", wheels.display());
    let list = format!("{ROOT}/tests/comfyui/libraries.txt:/libraries.txt:ro");
    let name = fresh_name("install");
    let mut words = vec!["run", "--rm", "--name", &name, "--network", "none", "-v", &place, "-v", &from, "-v", &list];
    words.extend(["--entrypoint", "/opt/venv/bin/python", &image.name]);
    words.extend(["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-cache-dir"]);
    words.extend(["--root-user-action", "ignore", "--find-links", "/wheels", "--requirement", "/libraries.txt"]);
    let output = run(&mut engine(&words));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    volume
}

pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn last_line(output: &Output, what: &str) -> String {
    format!("{what}: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("no word"))
}

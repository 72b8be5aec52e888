//! Real libraries in the image's virtual environment.

use crate::engine::{Image, Volume, engine, fresh_name};
use crate::wheels::run;
use crate::world::IMAGE;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The wheels of libraries.txt and needs.txt, for the image's Python.
pub fn wheels() -> Result<PathBuf, String> {
    let lists = ["libraries.txt", "needs.txt"].map(|name| Path::new(ROOT).join("tests/comfyui").join(name));
    crate::wheels::wheels("comfyui-wheels", &IMAGE, &lists)
}

/// Triton as it belongs to the PyTorch of this image.
pub fn triton(image: &str) -> Result<PathBuf, String> {
    crate::wheels::unpacked("triton", image, &[Path::new(ROOT).join("tests/confine/programs/triton.txt")])
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

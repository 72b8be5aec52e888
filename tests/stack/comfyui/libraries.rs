//! Real libraries in the image's virtual environment.

use std::path::{Path, PathBuf};
use takumi_test::engine::{engine, succeeds};
use takumi_test::folder::fresh_name;
use takumi_test::image::{Image, alone, comfyui};
use takumi_test::program::{REPOSITORY, run};

/// The wheels of libraries.txt and needs.txt, for the image's Python.
#[track_caller]
pub fn wheels() -> PathBuf {
    let lists = ["libraries.txt", "needs.txt"].map(|name| Path::new(REPOSITORY).join("tests/stack/comfyui").join(name));
    takumi_test::wheels::wheels("comfyui-wheels", &comfyui(), &lists).unwrap_or_else(|why| panic!("{why}"))
}

/// Triton as it belongs to the PyTorch of this image.
#[track_caller]
pub fn triton(image: &Image) -> PathBuf {
    let list = Path::new(REPOSITORY).join("tests/shields/confine/programs/triton.txt");
    takumi_test::wheels::unpacked("triton", &image.name, &[list]).unwrap_or_else(|why| panic!("{why}"))
}

/// What is imported in nearly every test: compiled once, as it is in a real image, instead of at each start.
const WARM_UP: &str = "python -m pip --version && python -c 'import aiohttp, huggingface_hub, matplotlib.pyplot, numba' && \
     python -c 'from transformers import dynamic_module_utils'";

/// The image's virtual environment with the libraries in it, and what Python compiled of them, as options of a start. They lie in volumes
/// of the run, because an image's layer would take minutes.
#[track_caller]
pub fn installed(image: &Image, wheels: &Path) -> [String; 2] {
    let volumes = ["libraries", "compiled"].map(|which| format!("{}-{which}", image.name));
    let mounts = [format!("{}:/opt/venv", volumes[0]), format!("{}:/opt/pycache/opt/venv", volumes[1])];
    let _alone = alone(&volumes[0]);
    // A volume is there before it is filled.
    let filled = std::env::temp_dir().join(&volumes[0]);
    if filled.exists() && volumes.iter().all(|volume| succeeds(&["volume", "inspect", volume])) {
        return mounts;
    }
    let from = format!("{}:/wheels:ro", wheels.display());
    let list = format!("{REPOSITORY}/tests/stack/comfyui/libraries.txt:/libraries.txt:ro");
    let name = fresh_name("install");
    // An empty volume takes what the image has at its place.
    let mut words = vec!["run", "--rm", "--name", &name, "--network", "none", "-v", &mounts[0], "-v", &mounts[1]];
    let line = format!(
        "python -m pip install --quiet --no-index --no-deps --no-cache-dir --no-compile --root-user-action ignore \
         --find-links /wheels --requirement /libraries.txt && {WARM_UP}"
    );
    words.extend(["-v", &from, "-v", &list, "--entrypoint", "sh", &image.name, "-c", &line]);
    run(&mut engine(&words)).ends_with(0);
    std::fs::write(filled, "").unwrap();
    mounts
}

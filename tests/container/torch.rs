//! A Python with PyTorch and a compiler, in an image that has nothing else: the rest of ComfyUI's image is mounted, or told.

use super::engine::{Image, ask, engine};
use super::start::Start;
use std::mem::ManuallyDrop;

/// What scripts/build.sh makes of Debian's packages.
const IMAGE: &str = "takumi-torch";
/// Whose variables COMMAND has.
const COMFYUI: &str = "takumi-comfyui";

/// The image, which stays; or None (and says so).
pub fn image() -> Option<ManuallyDrop<Image>> {
    for name in [IMAGE, COMFYUI] {
        if !engine(&["image", "inspect", name]).output().is_ok_and(|output| output.status.success()) {
            println!("skipped: no image {name}: run scripts/build.sh --stand-in comfyui torch");
            return None;
        }
    }
    Some(ManuallyDrop::new(Image { name: IMAGE.into() }))
}

/// A hardened start under the binary under test, with the variables of ComfyUI's image.
pub fn start(image: &Image) -> Start<'_> {
    let init = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
    let variables = ask(&["image", "inspect", "--format", "{{json .Config.Env}}", COMFYUI]);
    let variables: Vec<String> = serde_json::from_str(&variables).unwrap();
    let start = Start::hardened(image).options(&["--entrypoint", "/init", "--volume", &format!("{init}:/init:ro")]);
    // A compiler and what it compiles for.
    let start = start.options(&["--memory", "3g"]);
    let start = variables.iter().fold(start, |start, variable| start.options(&["--env", variable]));
    // Debian's compiled files lie beside their sources; to compile all of PyTorch's anew takes longer than the test.
    start.env("PYTHONPYCACHEPREFIX", "")
}

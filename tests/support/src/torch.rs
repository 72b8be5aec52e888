//! A Python with PyTorch and a compiler, in an image that has nothing else: the rest of ComfyUI's image is mounted, or told.

use crate::container::Start;
use crate::engine::ask;
use crate::image::{Image, comfyui};
use crate::program::init;

/// Of Debian's packages alone, and so the same for every checkout.
pub const IMAGE: &str = "takumi-torch";

/// What scripts/build.sh makes of Debian's packages: `require!(torch, comfyui)`.
pub fn image() -> Image {
    Image { name: IMAGE.into() }
}

/// A hardened start under the binary under test, with the variables of ComfyUI's image.
pub fn start(image: &Image) -> Start<'_> {
    let variables = ask(&["image", "inspect", "--format", "{{json .Config.Env}}", &comfyui()]);
    let variables: Vec<String> = serde_json::from_str(&variables).unwrap();
    let mount = format!("{}:/init:ro", init().display());
    let start = Start::hardened(image).options(&["--entrypoint", "/init", "--volume", &mount]);
    // A compiler and what it compiles for.
    let start = start.options(&["--memory", "3g"]);
    let start = variables.iter().fold(start, |start, variable| start.options(&["--env", variable]));
    // Debian's compiled files lie beside their sources; to compile all of PyTorch's anew takes longer than the test.
    start.env("PYTHONPYCACHEPREFIX", "")
}

//! What scripts/build.sh made, with the binary under test as /init: `require!(comfyui, gateway)`.

use takumi_test::image::Image;

/// The stand-in for ComfyUI.
pub fn comfyui() -> Image {
    Image::under_test("comfyui")
}

/// The one way out.
pub fn egress() -> Image {
    Image::under_test("egress")
}

/// The one way in.
pub fn gateway() -> Image {
    Image::under_test("gateway")
}

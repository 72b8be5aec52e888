//! pip, numpy, ffmpeg and git behind the profile, in ComfyUI's own image.

use super::PROFILE;
use super::work::work;
use crate::confine::packages::with_wheels;
use takumi_test::image::{Image, comfyui};
use takumi_test::require;

#[test]
fn pip_numpy_ffmpeg_and_git_work() {
    require!(comfyui, pip3);
    let image = Image { name: comfyui() };
    let ended = work(with_wheels(&image).options(&["--volume", "/cache"]), PROFILE, &["--packages"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for part in ["pip", "numpy", "ffmpeg", "git"] {
        assert!(ended.stdout.contains(&format!("ok {part}\n")), "{ended:?}");
    }
}

//! TAKUMI_GPU=require: no start without a GPU that COMMAND can use.

use super::stand_in::{NVIDIA, Nodes, OPEN, WHOLE, start};
use takumi_test::image::Image;
use takumi_test::require;

#[test]
fn a_start_without_a_gpu_is_refused_and_says_why() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let required = || start(&image, &[]).env("TAKUMI_GPU", "require").shell("echo ran");
    let refused = required().run();
    assert_eq!((refused.code, refused.stdout.as_str()), (125, ""), "{refused:?}");
    let line = refused.stderr.lines().find(|line| line.contains("gpu-nodes")).unwrap_or_else(|| panic!("{refused:?}"));
    assert!(line.contains("no GPU in /dev") && line.contains("--gpus all"), "{refused:?}");
    // The control: the same container without the wish.
    let ran = start(&image, &[]).shell("echo ran").run();
    assert_eq!((ran.code, ran.stdout.trim()), (0, "ran"), "{ran:?}");
}

#[test]
fn every_check_that_is_not_held_has_one_line() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let refused = |number| {
        let ended =
            start(&image, &Nodes::of(&WHOLE, number).given("rwm")).env("TAKUMI_GPU", "require").shell("id").run();
        assert_eq!((ended.code, ended.stdout.as_str()), (125, ""), "{ended:?}");
        let lines = |id: &str| ended.stderr.lines().filter(|line| line.contains(id)).count();
        ["gpu-nodes", "gpu-access", "gpu-driver", "gpu-libraries"].map(lines)
    };
    assert_eq!(refused(NVIDIA), [0, 1, 1, 1]);
    assert_eq!(refused(OPEN), [0, 0, 1, 1]);
}

//! Threads, processes, shared memory, files and sockets behind the profile, as the app's user.

use super::{Changed, PROFILE, PROGRAMS, behind};
use takumi_test::container::Start;
use takumi_test::image::Image;
use takumi_test::program::Ended;
use takumi_test::require;

/// work.py behind a profile.
pub fn work(start: Start, profile: &str, arguments: &[&str]) -> Ended {
    let [option, profile] = behind(profile);
    let programs = format!("{PROGRAMS}:/programs:ro");
    let start = start.fresh_data().options(&[&option, &profile, "--volume", &programs]);
    start.command(&[&["python3", "/programs/work.py"], arguments].concat()).run()
}

#[test]
fn a_days_work_goes_on() {
    require!(demo);
    let image = Image::demo();
    let ended = work(Start::hardened(&image), PROFILE, &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.stdout.lines().filter(|line| line.starts_with("ok ")).count(), 10, "{ended:?}");
}

#[test]
fn work_fails_behind_a_profile_that_is_too_narrow() {
    require!(demo);
    let image = Image::demo();
    // EPERM in place of ENOSYS is what broke pthread_create when clone3 was new: moby#42681.
    let rule = "\"clone3\"\n   ],\n   \"action\": \"SCMP_ACT_ERRNO\",\n   \"errnoRet\": ";
    let narrow = Changed::new(|text| text.replace(&format!("{rule}38"), &format!("{rule}1")));
    let ended = work(Start::hardened(&image), narrow.path.to_str().unwrap(), &[]);
    assert!(ended.code == 1 && ended.stdout.contains("failed threads: "), "control: {ended:?}");
}

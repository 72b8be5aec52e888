//! A capability that is missing refuses the start and is named with what to type, also where the volume would be of use: the
//! app would find the file that was left at some later hour.

use super::support::{APP, OTHER, Outcome, VolumeFixture, own, owner};
use takumi_test::require;

#[test]
fn without_chown() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let file = place.file("file", OTHER, 0o644);
    let init = || place.init().capable_of("-chown,-dac_override");
    init().run().refused().says("--cap-add CHOWN");
    assert_eq!(owner(&file), OTHER);
    own(&place.volume, APP, 0o755);
    init().run().refused().says("--cap-add CHOWN");
    // Where everything is right nobody asks for it.
    own(&file, APP, 0o644);
    init().run().succeeded().never_says("--cap-add CHOWN");
}

#[test]
fn without_fowner_a_setuid_file_refuses_the_start() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let setuid = place.file("setuid", OTHER, 0o4755);
    let plain = place.file("z/plain", OTHER, 0o644);
    place
        .init()
        .capable_of("-fowner,-dac_override")
        .run()
        .refused()
        .says("--cap-add FOWNER")
        .says(setuid.to_str().unwrap());
    assert_eq!((owner(&setuid), owner(&plain)), (OTHER, APP));
    place.init().run().succeeded().never_says("--cap-add FOWNER");
    assert_eq!(owner(&setuid), APP);
}

#[test]
fn without_dac_read_search_a_closed_directory_refuses_the_start() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let hidden = place.file("closed/hidden", OTHER, 0o644);
    let closed = place.directory("closed", OTHER, 0o700);
    let plain = place.file("z/plain", OTHER, 0o644);
    let ended = place.init().capable_of("-dac_read_search,-dac_override").run().refused();
    ended.says("--cap-add DAC_READ_SEARCH").says(closed.to_str().unwrap());
    assert_eq!((owner(&closed), owner(&hidden), owner(&plain)), (OTHER, OTHER, APP));
    place.init().run().succeeded().never_says("DAC_READ_SEARCH");
    assert_eq!((owner(&closed), owner(&hidden)), (APP, APP));
}

#[test]
fn a_closed_volume_of_the_apps_own_needs_nothing_to_be_of_use() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    own(&place.volume, APP, 0o700);
    place.init().capable_of("-dac_read_search,-dac_override").run().succeeded().says("--cap-add DAC_READ_SEARCH");
}

#[test]
fn nothing_is_changed_for_a_user_that_nobody_can_become() {
    require!(root, setpriv);
    for missing in ["setuid", "setgid", "setpcap"] {
        let place = VolumeFixture::new();
        let file = place.file("file", OTHER, 0o644);
        let ended = place.init().capable_of(&format!("-{missing}")).run().refused();
        ended.says(&format!("--cap-add {}", missing.to_uppercase()));
        assert_eq!(owner(&file), OTHER, "{missing}");
    }
}

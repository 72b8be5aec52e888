//! A volume's own path.

use super::support::{APP, Init, OTHER, Outcome, ROOT, VolumeFixture, own, owner};
use std::os::unix::fs::{lchown, symlink};
use takumi_test::require;

#[test]
fn a_missing_volume_is_created_for_the_app() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let volume = place.outside.join("deep/er/volume");
    Init::on(&volume).run().succeeded();
    assert_eq!(owner(&volume), APP);
    assert_eq!(owner(&place.outside.join("deep/er")), ROOT, "what leads to the volume is not the app's");
}

#[test]
fn a_missing_volume_inside_the_apps_directory_is_created_as_the_app() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    own(&place.volume, APP, 0o755);
    let volume = place.volume.join("a/b");
    // Without DAC_OVERRIDE root may not write there.
    Init::on(&volume).run().succeeded();
    assert_eq!((owner(&volume), owner(&place.volume.join("a"))), (APP, APP));
}

#[test]
fn a_missing_volume_inside_a_strangers_directory_is_refused() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    own(&place.volume, OTHER, 0o755);
    Init::on(&place.volume.join("a")).run().refused().says("cannot create").says("Permission denied");
}

#[test]
fn verify_creates_nothing() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    own(&place.volume, APP, 0o755);
    let volume = place.volume.join("a");
    Init::on(&volume).with("TAKUMI_OWNERSHIP", "verify").run().refused().says("No such file or directory");
    assert!(!volume.exists());
}

#[test]
fn a_link_in_the_path_is_refused_and_named() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let link = place.root().join("link");
    symlink(&place.outside, &link).unwrap();
    for volume in [link.clone(), link.join("below")] {
        let ended = Init::on(&volume).run().refused();
        ended
            .says("is a symbolic link")
            .says(place.outside.to_str().unwrap())
            .says("(use the directory that it points to)");
    }
    // Nobody is told to name the aim of a link that the app may have made.
    lchown(&link, Some(APP.0), Some(APP.1)).unwrap();
    for volume in [link.clone(), link.join("below")] {
        let ended = Init::on(&volume).run().refused();
        let command = format!("--entrypoint rm IMAGE {}", link.display());
        ended.says(&format!("uid {} owns it", APP.0)).says("do not use its target").says(&command);
    }
    assert_eq!(owner(&place.outside), ROOT);
    // The control: the directory itself is taken.
    Init::on(&place.outside).run().succeeded();
}

#[test]
fn a_file_in_the_path_is_refused() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let file = place.file("file", ROOT, 0o644);
    Init::on(&file).run().refused().says("is not a directory");
    Init::on(&file.join("below")).run().refused().says("is not a directory");
}

#[test]
fn the_root_directory_is_no_volume() {
    require!(root, setpriv);
    for path in ["/", "/tmp/../etc"] {
        Init::on(path.as_ref()).run().refused();
    }
    assert_eq!(owner("/etc".as_ref()), ROOT);
}

#[test]
fn an_ordinary_users_start_proves_and_creates_and_changes_no_owner() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let as_app = ["setpriv", "--reuid", "61000", "--regid", "61001", "--clear-groups", "--"];
    own(&place.volume, APP, 0o755);
    let stranger = place.file("stranger", OTHER, 0o644);
    let volume = place.volume.join("a");
    Init::on(&volume).through(&as_app).run().succeeded();
    assert_eq!((owner(&volume), owner(&stranger)), (APP, OTHER));
    place.init().through(&as_app).run().succeeded();
    Init::on(&place.outside).through(&as_app).run().refused().says("cannot write in").says("61000:61001");
}

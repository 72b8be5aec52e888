//! Nothing leads out of the volume, and nothing dangerous is handed over.

use super::support::{APP, OTHER, Outcome, ROOT, VolumeFixture, file, own, owner};
use std::fs;
use std::os::unix::fs::symlink;
use takumi_test::require;

#[test]
fn links_are_changed_themselves_and_not_followed() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let victim = file(&place.outside.join("below/victim"), OTHER, 0o644);
    symlink(&victim, place.volume.join("to_file")).unwrap();
    symlink(place.outside.join("below"), place.volume.join("to_directory")).unwrap();
    symlink("loop", place.volume.join("loop")).unwrap();
    place.init().run().succeeded();
    assert_eq!((owner(&victim), owner(victim.parent().unwrap())), (OTHER, ROOT));
    for link in ["to_file", "to_directory", "loop"] {
        assert_eq!(owner(&place.volume.join(link)), APP);
    }
    // The control: a chown that follows.
    sh!("chown", "-RL", "61000", place.volume.join("to_directory"));
    assert_eq!(owner(&victim).0, APP.0);
}

#[test]
fn a_bind_mount_of_the_same_filesystem_is_not_crossed() {
    require!(root, setpriv, namespaces);
    let place = VolumeFixture::new();
    let victim = file(&place.outside.join("victim"), OTHER, 0o644);
    let lone = file(&place.root().join("lone"), OTHER, 0o644);
    let mount = place.directory("mount", ROOT, 0o755);
    let mounted_file = place.file("mounted_file", ROOT, 0o644);
    sh!("mount", "--bind", place.outside, mount);
    sh!("mount", "--bind", lone, mounted_file);
    let inside = place.file("inside", ROOT, 0o644);
    place.init().run().succeeded();
    assert_eq!((owner(&victim), owner(&place.outside), owner(&lone)), (OTHER, ROOT, OTHER));
    assert_eq!(owner(&inside), APP);
    // The control: the device is the same, so that `find -xdev` goes on.
    let found = sh!("find", place.volume, "-xdev", "-name", "victim");
    assert!(found.contains("victim"), "{found}");
}

#[test]
fn a_hard_link_is_left_and_reported() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let victim = file(&place.outside.join("victim"), OTHER, 0o644);
    let link = place.volume.join("link");
    fs::hard_link(&victim, &link).unwrap();
    place.directory("app", APP, 0o755);
    fs::hard_link(&victim, place.volume.join("app/link")).unwrap();
    let right = file(&place.outside.join("right"), APP, 0o644);
    fs::hard_link(&right, place.volume.join("right")).unwrap();
    let ended = place
        .init()
        .run()
        .succeeded()
        .says("2 entries not changed (more than one hard link)")
        .says(link.to_str().unwrap());
    ended.says("cp -p").never_says("volume/right");
    assert_eq!(owner(&victim), OTHER);
    sh!("chown", "-R", "61000", place.volume);
    assert_eq!(owner(&victim).0, APP.0);
}

#[test]
fn fifos_and_sockets_are_given_and_never_opened_and_devices_are_left() {
    require!(root, setpriv, strace);
    let place = VolumeFixture::new();
    let fifo = place.volume.join("fifo");
    sh!("mkfifo", fifo);
    let socket = place.volume.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let devices = [place.volume.join("null"), place.volume.join("loop")];
    sh!("mknod", devices[0], "c", "1", "3");
    sh!("mknod", devices[1], "b", "7", "0");
    let (ended, trace) = place.init().traced(&["-f", "-e", "trace=openat,openat2,open"]);
    ended.succeeded().says("2 entries not changed (device)").says("never changes the owner of a device");
    assert_eq!((owner(&fifo), owner(&socket)), (APP, APP));
    assert_eq!(devices.map(|device| owner(&device)), [ROOT, ROOT]);
    let opened = |name: &str| trace.lines().any(|line| line.contains(name) && !line.contains("O_PATH"));
    assert!(!["\"fifo\"", "\"socket\"", "\"null\"", "\"loop\""].into_iter().any(opened), "{trace}");
}

#[test]
fn an_immutable_file_is_left_and_the_rest_is_fixed() {
    require!(root, setpriv, chattr);
    let place = VolumeFixture::new();
    let frozen = place.file("frozen", OTHER, 0o644);
    sh!("chattr", "+i", frozen);
    let after = place.file("z/after", OTHER, 0o644);
    place.init().run().succeeded().says("immutable or append-only").says("chattr -i");
    assert_eq!((owner(&frozen), owner(&after)), (OTHER, APP));
    sh!("chattr", "-i", frozen);
    own(&frozen, OTHER, 0o644);
    place.init().run().succeeded();
    assert_eq!(owner(&frozen), APP);
}

//! What is done to the directories that COMMAND must be able to write.

use takumi_test::container::Start;
use takumi_test::engine::Volume;
use takumi_test::image::Image;
use takumi_test::require;

#[test]
fn wrong_owners_are_mended_and_right_ones_not_touched() {
    require!(demo);
    let image = Image::demo();
    let volume = Volume::new();
    volume.root_shell(
        &image,
        "mkdir -p /data/right /data/wrong/deep /data/closed
         touch /data/right/file /data/wrong/deep/file /data/closed/file
         ln -s /etc/passwd /data/wrong/link
         chown -R 1000:1000 /data
         chown -hR 4242:4343 /data/wrong /data/closed
         chmod 0700 /data/closed; chmod 6755 /data/right/file",
    );
    let stat = |what: &str| volume.root_shell(&image, &format!("stat -c '%u:%g %a %z' {what}"));
    let (file, folder) = (stat("/data/right/file"), stat("/data/right"));

    let list = "stat -c '%u:%g %n' /data /data/*/* /data/wrong/deep/file; stat -Lc '%u:%g' /data/wrong/link";
    let ended = Start::hardened(&image).data(&volume).shell(list).run();
    assert_eq!(ended.code, 0, "{ended:?}");
    let owners: Vec<&str> = ended.stdout.lines().collect();
    let (target, owned) = owners.split_last().unwrap();
    assert_eq!(owned.len(), 6, "{ended:?}");
    assert!(owned.iter().all(|line| line.starts_with("1000:1000 ")), "{ended:?}");
    assert_eq!(*target, "0:0", "a link is mended, what it points to is not: {ended:?}");

    assert_eq!(stat("/data/right/file"), file, "even a chown to the same owner strips setuid and changes ctime");
    assert_eq!(stat("/data/right"), folder);
    volume.root_shell(&image, "chown -R 1000:1000 /data");
    assert_ne!(stat("/data/right/file"), file, "control: chown -R does change it");
}

#[test]
fn a_missing_directory_is_made_as_the_user() {
    require!(demo);
    let image = Image::demo();
    let start = Start::hardened(&image).fresh_data().env("TAKUMI_VOLUMES", "/data:/data/new/deeper");
    let ended = start.shell("touch /data/new/deeper/file && stat -c %u:%g /data/new /data/new/deeper").run();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "1000:1000\n1000:1000\n"), "{ended:?}");
}

#[test]
fn a_volume_that_cannot_be_written_is_refused() {
    require!(demo);
    let image = Image::demo();
    let volume = Volume::new();
    volume.root_shell(&image, "touch /data/file; chown -R 1000:1000 /data");
    let mount = format!("{}:/data:ro", volume.name);
    let start = Start::hardened(&image).env("TAKUMI_LOG", "error").shell("true");
    start.options(&["--volume", &mount]).run().expect_refusal(&["/data"]);

    // No volume at all: the directory is the read-only image's, owned by root.
    let start = Start::hardened(&image).env("TAKUMI_LOG", "error").shell("true");
    start.run().expect_refusal(&["/data"]);
}

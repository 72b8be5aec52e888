//! One start under Podman, where it is installed beside docker.

use std::process::{Command, Stdio};
use takumi_test::container::Start;
use takumi_test::engine::ask;
use takumi_test::folder::{Folder, fresh_name};
use takumi_test::image::Image;
use takumi_test::require;

/// Removes a container and an image of Podman's.
struct Leave(&'static [&'static str], String);

impl Drop for Leave {
    fn drop(&mut self) {
        let _ = Command::new("podman").args(self.0).arg(&self.1).output();
    }
}

#[test]
fn the_hardened_start_works_under_podman() {
    require!(demo, podman);
    let image = Image::demo();
    let archive = Folder::new();
    let file = archive.join("image.tar");
    ask(&["save", "--output", file.to_str().unwrap(), &image.name]);
    let load = Command::new("podman").args(["load", "--quiet", "--input"]).arg(&file).output().unwrap();
    assert!(load.status.success(), "{}", String::from_utf8_lossy(&load.stderr));
    let _image = Leave(&["image", "rm", "--force"], image.name.clone());

    let name = fresh_name("podman");
    let _container = Leave(&["rm", "--force", "--volumes"], name.clone());
    let status = "cat /proc/1/status /proc/self/status | grep -E '^(Uid|CapBnd|CapPrm|NoNewPrivs)'; echo ok > /dev/stdout; exit 5";
    let start = Start::hardened(&image).fresh_data().env("TAKUMI_LOG", "warn").shell(status);
    // Podman asks for limits that a host may not be allowed to give; none of them is needed here.
    let run = Command::new("podman")
        .args(["--runtime", "runc", "--cgroup-manager", "cgroupfs", "run", "--network", "none"])
        .args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"])
        .args(start.words(&name))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&run.stderr);
    let stdout = String::from_utf8_lossy(&run.stdout);
    assert_eq!(run.status.code(), Some(5), "{stdout}{stderr}");
    let half = "Uid:\t1000\t1000\t1000\t1000\nCapPrm:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n";
    assert_eq!(stdout, format!("{half}{half}ok\n"), "{stderr}");
}

use super::super::{
    engines::{hardened, places},
    evaluate_check,
};
use super::*;
use crate::posture::finding::CheckStatus::{self, Fail, Pass, Skipped, Unknown};
use crate::settings::Settings;

#[track_caller]
fn expect(check: Check, change: impl FnOnce(&mut Machine), status: CheckStatus, detail: &str, fix: &str) {
    let mut machine = hardened();
    change(&mut machine);
    let finding = evaluate_check(check, &Settings::default(), &machine).unwrap();
    assert_eq!((finding.status, &finding.detail[..]), (status, detail), "{check}");
    assert_eq!(finding.fix.unwrap_or_default(), fix, "{check}");
}

/// One more line of the table: root, point, options, filesystem, its options.
fn mounted(machine: &mut Machine, lines: &[[&str; 5]]) {
    let mut text = String::new();
    for mount in machine.mounts.as_ref().unwrap().iter() {
        let of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let options = ["ro", "nosuid", "nodev", "noexec"].into_iter().filter(|option| mount.has_option(option));
        let options: Vec<&str> = options.collect();
        let size = mount.filesystem_option("size").map(|size| format!(",size={size}")).unwrap_or_default();
        text += &format!(
            "1 1 0:1 {} {} x,{} - {} x x{size}\n",
            of(mount.root()),
            of(mount.point()),
            options.join(","),
            mount.filesystem()
        );
    }
    for [root, point, options, filesystem, its] in lines {
        text += &format!("2 1 0:2 {root} {point} {options} - {filesystem} x {its}\n");
    }
    machine.mounts = Ok(Mounts::parse(text.as_bytes()));
}

#[test]
fn without_the_table_nothing_is_known() {
    let fix = "mount /proc in the container, as every engine does";
    let detail = format!("/proc/self/mountinfo cannot be read: {}", Errno(libc::ENOENT));
    for id in [Check::ReadonlyRoot, Check::Tmpfs, Check::BakedPaths, Check::DangerousMounts, Check::MaskedPaths] {
        expect(id, |m| m.mounts = Err(Errno(libc::ENOENT)), Unknown, &detail, fix);
    }
    expect(Check::Volumes, |_| (), Skipped, "TAKUMI_VOLUMES is empty", "");
}

#[test]
fn table_statvfs_and_writing_must_agree_on_the_root() {
    let fix = "add --read-only (compose: read_only: true; Kubernetes: readOnlyRootFilesystem: true)";
    let (held, open) = ("/ is mounted read-only", "/ is writable");
    let denied = Err(Errno(libc::EACCES));
    let closed = Err(Errno(libc::EROFS));
    for table in [Some("ro"), Some("rw"), None] {
        for statvfs in [Ok(true), Ok(false), Err(Errno(libc::ENOSYS))] {
            for writing in [closed, denied, Ok(())] {
                let change = |m: &mut Machine| {
                    let line =
                        table.map(|options| format!("1 1 0:1 / / {options} - overlay x rw\n")).unwrap_or_default();
                    m.mounts = Ok(Mounts::parse((line + "2 1 0:2 / /proc rw - proc x rw\n").as_bytes()));
                    (m.directories.root_is_read_only, m.directories.write_to_root) = (statvfs, writing);
                };
                let words = |answer: Option<bool>| match answer {
                    Some(true) => "read-only",
                    Some(false) => "writable",
                    None => "nothing",
                };
                let answers = [table.map(|options| options == "ro"), statvfs.ok(), Some(writing == closed)];
                let [by_table, by_statvfs, by_writing] = answers.map(words);
                let disagree = format!(
                    "answers about / disagree: mountinfo says {by_table}, statvfs {by_statvfs}, writing {by_writing}"
                );
                match answers {
                    [Some(true), Some(true), Some(true)] => expect(Check::ReadonlyRoot, change, Pass, held, ""),
                    [Some(false), Some(false), Some(false)] => {
                        expect(Check::ReadonlyRoot, change, Fail, open, fix);
                    }
                    _ => expect(Check::ReadonlyRoot, change, Fail, &disagree, fix),
                }
            }
        }
    }
}

#[test]
fn a_tmpfs_lacks_what_it_lacks() {
    let good = "rw,nosuid,nodev,noexec";
    for (filesystem, options, its, wrong) in [
        ("tmpfs", good, "rw,size=1024k", ""),
        ("tmpfs", good, "rw", "/tmp lacks size"),
        ("tmpfs", good, "rw,size=0k", "/tmp lacks size"),
        ("tmpfs", good, "rw,size=10240k", ""),
        ("tmpfs", "rw,nodev,noexec", "rw,size=1k", "/tmp lacks nosuid"),
        ("tmpfs", "rw,nosuid,noexec", "rw,size=1k", "/tmp lacks nodev"),
        ("tmpfs", "rw,nosuid,nodev", "rw,size=1k", "/tmp lacks noexec"),
        ("tmpfs", "rw", "rw", "/tmp lacks nosuid, nodev, noexec, size"),
        ("ext4", good, "rw", "/tmp is not a tmpfs, but ext4"),
    ] {
        // The last mount at a place hides what was there.
        let change = |m: &mut Machine| mounted(m, &[["/", "/tmp", options, filesystem, its]]);
        if wrong.is_empty() {
            let held = "/tmp, /run: tmpfs with a size limit, nosuid, nodev, noexec";
            expect(Check::Tmpfs, change, Pass, held, "");
        } else {
            expect(Check::Tmpfs, change, Fail, wrong, "add --tmpfs /tmp:rw,nosuid,nodev,noexec,size=256m");
        }
    }
    expect(Check::Tmpfs, |m| m.directories.tmpfs.clear(), Skipped, "TAKUMI_TMPFS is empty", "");
    let both = "add --tmpfs /a:rw,nosuid,nodev,noexec,size=256m --tmpfs /b:rw,nosuid,nodev,noexec,size=256m";
    let change = |m: &mut Machine| m.directories.tmpfs = places(&["/a", "/tmp", "/b"]);
    expect(Check::Tmpfs, change, Fail, "/a is not a tmpfs; /b is not a tmpfs", both);
    // A link is followed; a directory that is not there is looked for by its name.
    let link = |m: &mut Machine| {
        m.directories.tmpfs =
            vec![ConfiguredPath { configured: b"/var/run".to_vec(), resolved: Some(b"/run".to_vec()) }];
    };
    expect(Check::Tmpfs, link, Pass, "/var/run: tmpfs with a size limit, nosuid, nodev, noexec", "");
    let gone =
        |m: &mut Machine| m.directories.tmpfs = vec![ConfiguredPath { configured: b"/gone".to_vec(), resolved: None }];
    let fix = "add --tmpfs /gone:rw,nosuid,nodev,noexec,size=256m";
    expect(Check::Tmpfs, gone, Fail, "/gone is not a tmpfs", fix);
}

#[test]
fn nothing_lies_over_the_image_but_volumes() {
    let fix = "mount it elsewhere, or name it in TAKUMI_VOLUMES";
    let ext4 = |point, options| ["/models", point, options, "ext4", "rw"];
    for (lines, wrong) in [
        (vec![ext4("/app", "rw")], "/app is mounted over files of the image and is writable"),
        (vec![ext4("/app", "ro")], "/app is mounted over files of the image"),
        (vec![ext4("/app/main.py", "ro")], "/app/main.py is mounted over files of the image"),
        (vec![ext4("/app/x", "ro"), ext4("/app/y", "rw")], "/app/x is mounted over files of the image; 1 more are"),
        (vec![ext4("/apps", "rw")], ""),
        (vec![ext4("/data/app", "rw")], ""),
        (vec![ext4("/app/models", "rw")], ""),
        (vec![ext4("/app/models/more", "rw")], ""),
    ] {
        let change = |m: &mut Machine| {
            mounted(m, &lines);
            m.directories.volumes = places(&["/data", "/app/models"]);
        };
        match wrong {
            "" => expect(Check::BakedPaths, change, Pass, "nothing is mounted over /app", ""),
            _ => expect(Check::BakedPaths, change, Fail, wrong, fix),
        }
    }
    expect(Check::BakedPaths, |m| m.directories.baked.clear(), Skipped, "TAKUMI_BAKED is empty", "");
    // What is mounted over a parent hides it whole.
    let parent = |m: &mut Machine| {
        mounted(m, &[ext4("/opt", "ro")]);
        m.directories.baked = places(&["/opt/comfyui", "/scripts"]);
    };
    expect(Check::BakedPaths, parent, Fail, "/opt is mounted over files of the image", fix);
    let both = |m: &mut Machine| m.directories.baked = places(&["/app", "/scripts"]);
    expect(Check::BakedPaths, both, Pass, "nothing is mounted over /app, /scripts", "");
}

#[test]
fn what_is_the_hosts_own_is_told_from_what_is_the_users() {
    const WINDOWS: &str = "rw,dirsync,aname=drvfs;path=C:\\134;uid=0,mmap";
    for (root, filesystem, its, danger) in [
        ("/etc", "ext4", "rw", "the host's /etc"),
        ("/root", "xfs", "rw", "the host's /root"),
        ("/home", "ext4", "rw", "the host's /home"),
        ("/home/u", "ext4", "rw", "the host's /home/u"),
        ("/home/u/.ssh", "ext4", "rw", "the host's /home/u/.ssh"),
        ("/home/u/.ssh/id_ed25519", "ext4", "rw", "the host's /home/u/.ssh/id_ed25519"),
        ("/root/.aws", "ext4", "rw", "the host's /root/.aws"),
        ("/home/u/.config", "ext4", "rw", "the host's /home/u/.config"),
        ("/Users/me", "9p", WINDOWS, "the host's /Users/me"),
        ("/var/lib/docker", "ext4", "rw", "the host's /var/lib/docker"),
        ("/var/lib/docker/volumes", "ext4", "rw", "the host's /var/lib/docker/volumes"),
        ("/run", "ext4", "rw", "the host's /run"),
        ("/", "proc", "rw", "another /proc"),
        ("/", "sysfs", "rw", "another /sys"),
        ("/", "devtmpfs", "rw", "the host's /dev"),
        ("/", "9p", WINDOWS, "a whole Windows drive"),
        // btrfs: the path begins with the subvolume.
        ("/@/etc", "btrfs", "rw,subvol=/@", "the host's /etc"),
        ("/@rootfs/etc", "btrfs", "rw,subvol=/@rootfs", "the host's /etc"),
        ("/root/etc", "btrfs", "rw,subvolid=257,subvol=/root", "the host's /etc"),
        ("/@home/u", "btrfs", "rw,subvol=/@home", "the host's /home/u"),
        ("/@/home/u", "btrfs", "rw,subvol=/@/home", "the host's /home/u"),
        ("/home/u", "btrfs", "rw,subvol=/home", "the host's /home/u"),
        ("/@/.snapshots/1/snapshot/etc", "btrfs", "rw,subvol=/@/.snapshots/1/snapshot", "the host's /etc"),
        ("/etc", "btrfs", "rw,subvol=/", "the host's /etc"),
        // Of the user's.
        ("/", "ext4", "rw", ""),
        ("/comfyui/models", "ext4", "rw", ""),
        ("/home/u/comfyui", "ext4", "rw", ""),
        ("/home/u/.cache/huggingface", "ext4", "rw", ""),
        ("/home/u/.config/comfyui", "ext4", "rw", ""),
        ("/home/u/.local/share/docker/volumes/x/_data", "ext4", "rw", ""),
        ("/root/comfyui", "ext4", "rw", ""),
        ("/@home/u/comfyui", "btrfs", "rw,subvol=/@home", ""),
        ("/root/srv/models", "btrfs", "rw,subvol=/root", ""),
        ("/@models", "btrfs", "rw,subvol=/@models", ""),
        ("/var/lib/docker/volumes/x/_data", "ext4", "rw", ""),
        ("/etcetera", "ext4", "rw", ""),
        ("/Users/me/ComfyUI", "9p", WINDOWS, ""),
        ("/", "9p", "ro,aname=drivers;fmask=222", ""),
        ("/", "tmpfs", "rw", ""),
        ("/", "nfs4", "rw", ""),
        ("/null", "devtmpfs", "rw", ""),
        ("/driver/nvidia/gpus/0000:01:00.0", "proc", "rw", ""),
    ] {
        let change = |m: &mut Machine| mounted(m, &[[root, "/x", "rw", filesystem, its]]);
        match danger {
            "" => {
                expect(Check::DangerousMounts, change, Pass, "no system directory of the host is mounted", "");
            }
            _ => {
                let fix = "mount only directories that the app needs, not the host's system directories";
                expect(Check::DangerousMounts, change, Fail, &format!("/x is {danger}"), fix);
            }
        }
    }
    let fix = "mount only directories that the app needs, not the host's system directories";
    let system = |m: &mut Machine| {
        mounted(m, &[["/", "/x", "rw", "ext4", "rw"], ["/etc", "/y", "ro", "ext4", "rw"]]);
        m.directories.systems = vec![b"/x".to_vec()];
    };
    expect(Check::DangerousMounts, system, Fail, "/x is a whole system; 1 more", fix);
    let run = |m: &mut Machine| {
        mounted(m, &[["/", "/x", "rw", "tmpfs", "rw"]]);
        m.directories.host_runs = vec![b"/x".to_vec()];
    };
    expect(Check::DangerousMounts, run, Fail, "/x is the host's /run", fix);
}

#[test]
fn the_kernels_own_files_are_closed() {
    let fix = "remove --privileged and --security-opt systempaths=unconfined (Kubernetes: procMount Default)";
    let line = |root, point, options, filesystem| [root, point, options, filesystem, "rw"];
    let (sys, proc_sys) = ("/sys is writable", "/proc/sys is writable");
    expect(Check::MaskedPaths, |m| mounted(m, &[line("/sys", "/proc/sys", "rw", "proc")]), Fail, proc_sys, fix);
    expect(Check::MaskedPaths, |m| mounted(m, &[line("/", "/sys", "rw", "sysfs")]), Fail, sys, fix);
    let kcore = "/proc/kcore is not hidden";
    expect(Check::MaskedPaths, |m| m.directories.kcore = true, Fail, kcore, fix);
    let held = "/proc/sys and /sys are read-only, the kernel's memory is hidden";
    let hidden = |m: &mut Machine| {
        m.directories.kcore = true;
        mounted(m, &[line("/null", "/proc/kcore", "rw", "tmpfs")]);
    };
    expect(Check::MaskedPaths, hidden, Pass, held, "");
    let bare = |m: &mut Machine| {
        let text = "1 1 0:1 / / ro - overlay x rw\n2 1 0:2 / /proc rw - proc x rw\n3 1 0:3 / /sys rw - sysfs x rw";
        (m.mounts, m.directories.kcore) = (Ok(Mounts::parse(text.as_bytes())), true);
    };
    expect(Check::MaskedPaths, bare, Fail, &format!("{proc_sys}, {sys}, {kcore}"), fix);
    // No /sys, no way in.
    let text = "1 1 0:1 / / ro - overlay x rw\n2 1 0:2 /sys /proc/sys ro - proc x rw";
    expect(Check::MaskedPaths, |m| m.mounts = Ok(Mounts::parse(text.as_bytes())), Pass, held, "");
}

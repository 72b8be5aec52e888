//! Directories that a start cares for: the root, those that the settings name, and what /proc and /dev hold.

use super::mounts::{Mount, Mounts};
use crate::settings::Settings;
use crate::sys::{Errno, filesystem, fs, io};
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

/// What is seen of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directories {
    /// Whether statvfs calls the root's mount read-only.
    pub root_is_read_only: Result<bool, Errno>,
    /// What came of making a file without a name in `/`; `Ok` is bad news.
    pub write_to_root: Result<(), Errno>,
    /// TAKUMI_TMPFS: as it was given, and where that leads when links are followed.
    pub tmpfs: Vec<ConfiguredPath>,
    pub baked: Vec<ConfiguredPath>,
    pub volumes: Vec<ConfiguredPath>,
    /// /proc/kcore, the kernel's memory, is there.
    pub kcore: bool,
    /// Names in /dev that only a host has: block devices, and the kernel's memory and log.
    pub host_devices: Result<Vec<String>, Errno>,
    /// Where a mount holds a whole system (it has etc/passwd and usr).
    pub systems: Vec<Vec<u8>>,
    /// Where a tmpfs is the /run of a running systemd: nothing in the mount table tells it from a new one.
    pub host_runs: Vec<Vec<u8>>,
}

/// A directory that a setting names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfiguredPath {
    /// As it was given.
    pub configured: Vec<u8>,
    /// Where that leads; `None` where nothing is there.
    pub resolved: Option<Vec<u8>>,
}

impl Directories {
    /// Nothing is known of them.
    pub fn unknown(why: Errno) -> Self {
        Directories {
            root_is_read_only: Err(why),
            write_to_root: Err(why),
            tmpfs: Vec::new(),
            baked: Vec::new(),
            volumes: Vec::new(),
            kcore: false,
            host_devices: Err(why),
            systems: Vec::new(),
            host_runs: Vec::new(),
        }
    }

    pub fn observe(settings: &Settings, mounts: Option<&Mounts>) -> Self {
        let each = |paths: &[CString]| paths.iter().map(|path| ConfiguredPath::resolve(path)).collect();
        Directories {
            root_is_read_only: filesystem::is_read_only(c"/"),
            write_to_root: write_to_root(),
            tmpfs: each(&settings.tmpfs),
            baked: each(&settings.baked),
            volumes: each(&settings.volumes),
            kcore: io::exists(c"/proc/kcore"),
            host_devices: host_devices(),
            systems: mounts.map(systems).unwrap_or_default(),
            host_runs: mounts.map(host_runs).unwrap_or_default(),
        }
    }
}

impl ConfiguredPath {
    fn resolve(path: &CStr) -> Self {
        let mut buffer = [0; 4096];
        let leads_to = io::open_path(path)
            .ok()
            .and_then(|file| fs::DescriptorPath::of(file.as_fd()).target(&mut buffer).ok().map(<[u8]>::to_vec));
        ConfiguredPath { configured: path.to_bytes().to_vec(), resolved: leads_to }
    }

    /// Where it is, as far as that is known.
    pub fn path(&self) -> &[u8] {
        self.resolved.as_deref().unwrap_or(&self.configured)
    }
}

fn write_to_root() -> Result<(), Errno> {
    let root = fs::open_root()?;
    fs::create_unnamed(root.as_fd()).map(drop)
}

/// The kernel's memory, ports and log; and what `mount` would take.
const HOST_DEVICES: [&[u8]; 4] = [b"mem", b"port", b"kmsg", b"kcore"];

fn host_devices() -> Result<Vec<String>, Errno> {
    let mut found = Vec::new();
    io::for_each_entry(c"/dev", |name, kind| {
        if kind == libc::DT_BLK || HOST_DEVICES.contains(&name) && kind == libc::DT_CHR {
            found.push(String::from_utf8_lossy(name).into_owned());
        }
    })?;
    found.sort_unstable();
    Ok(found)
}

/// Mounts of a whole disk or image: a data disk is one as well, so it is looked whether a system lies on it.
fn systems(mounts: &Mounts) -> Vec<Vec<u8>> {
    // Subvolumes of btrfs have a name where other filesystems have `/`.
    let is_subvolume = |mount: &Mount| {
        mount.filesystem() == "btrfs"
            && mount.filesystem_option("subvol").is_some_and(|name| name.as_bytes() == mount.root())
    };
    let whole = mounts.iter().filter(|mount| mount.root() == b"/" || is_subvolume(mount));
    let foreign = whole.filter(|mount| mount.point() != b"/" && may_hold_files(mount));
    let found = foreign.filter(|mount| contains_path(mount, "/etc/passwd") && contains_path(mount, "/usr"));
    found.map(|mount| mount.point().to_vec()).collect()
}

fn host_runs(mounts: &Mounts) -> Vec<Vec<u8>> {
    let memory = mounts.iter().filter(|mount| mount.filesystem() == "tmpfs" && mount.root() == b"/");
    // systemd's own socket: no other program makes it.
    memory.filter(|mount| contains_path(mount, "/systemd/private")).map(|mount| mount.point().to_vec()).collect()
}

fn contains_path(mount: &Mount, name: &str) -> bool {
    let point = mount.point().strip_suffix(b"/").unwrap_or(mount.point());
    CString::new([point, name.as_bytes()].concat()).is_ok_and(|path| io::exists(&path))
}

/// Whether it is looked into: not where there are no files of anybody, and not where a server's answer may take for
/// ever.
pub fn may_hold_files(mount: &Mount) -> bool {
    let filesystem = mount.filesystem();
    let remote = matches!(filesystem, "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" | "afs")
        || filesystem.starts_with("fuse.") && filesystem != "fuse.fuse-overlayfs";
    !remote && !is_kernel_filesystem(filesystem)
}

/// Filesystems that hold no files of anybody.
fn is_kernel_filesystem(filesystem: &str) -> bool {
    matches!(
        filesystem,
        "proc"
            | "sysfs"
            | "cgroup"
            | "cgroup2"
            | "devpts"
            | "mqueue"
            | "securityfs"
            | "debugfs"
            | "tracefs"
            | "bpf"
            | "pstore"
            | "configfs"
            | "efivarfs"
            | "binfmt_misc"
            | "hugetlbfs"
            | "nsfs"
            | "rpc_pipefs"
            | "selinuxfs"
            | "fusectl"
            | "autofs"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_and_the_hosts_run_are_known_by_what_they_hold() {
        let folder = std::env::temp_dir().join(format!("takumi-test-places-{}", std::process::id()));
        for name in ["system/etc", "system/usr", "disk/etc", "run/systemd"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        for name in ["system/etc/passwd", "disk/etc/passwd", "run/systemd/private"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let seen = |root: &str, name: &str, filesystem: &str| {
            let line = format!("1 0 8:1 {root} {}/{name} rw - {filesystem} x rw,subvol=/sub", folder.display());
            let mounts = Mounts::parse(line.as_bytes());
            (systems(&mounts).len(), host_runs(&mounts).len())
        };
        let answers = [
            seen("/", "system", "ext4"),
            seen("/sub", "system", "btrfs"),
            seen("/srv", "system", "ext4"),
            seen("/", "system", "nfs4"),
            seen("/", "disk", "ext4"),
            seen("/", "run", "tmpfs"),
            seen("/", "disk", "tmpfs"),
            seen("/below", "run", "tmpfs"),
        ];
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(answers, [(1, 0), (1, 0), (0, 0), (0, 0), (0, 0), (0, 1), (0, 0), (0, 0)]);
    }
}

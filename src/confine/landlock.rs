//! The rules: where COMMAND may write, and whom it may call.

use super::Error;
use crate::machine::mounts::{Mount, Mounts};
use crate::machine::sandbox::{FULL_ABI, SandboxSupport};
use crate::path::{self, is_within};
use crate::posture::ports;
use crate::settings::{ConfineMode, Settings};
use crate::sys::landlock::{Ruleset, rights};
use crate::sys::{Errno, fs, io};
use crate::text::Escaped;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

pub(super) struct RulesetInputs<'a> {
    pub settings: &'a Settings,
    pub support: &'a SandboxSupport,
    pub mounts: Option<&'a Mounts>,
    /// Nodes of a GPU.
    pub gpu_devices: Vec<String>,
    pub allow_proc: bool,
}

/// What writes, and the first ABI that knows it. Reading and executing are not handled: they would cost at every open.
const WRITE_RIGHTS: [(u32, u64); 2] = [
    (
        1,
        rights::WRITE_FILE
            | rights::REMOVE_DIR
            | rights::REMOVE_FILE
            | rights::MAKE_CHAR
            | rights::MAKE_DIR
            | rights::MAKE_REG
            | rights::MAKE_SOCK
            | rights::MAKE_FIFO
            | rights::MAKE_BLOCK
            | rights::MAKE_SYM,
    ),
    (2, rights::REFER),
];
/// These two are looked at whenever a file is opened, also for reading: `strict` alone pays for them.
const STRICT_RIGHTS: [(u32, u64); 2] = [(3, rights::TRUNCATE), (5, rights::IOCTL_DEV)];

/// Devices that programs write. /dev/ptmx is a link into /dev/pts under most engines, and a node of its own under
/// others.
const DEVICES: [&CStr; 7] =
    [c"/dev/null", c"/dev/zero", c"/dev/full", c"/dev/tty", c"/dev/console", c"/dev/ptmx", c"/dev/fuse"];
/// Terminals that programs open; memory that processes share (multiprocessing fails without).
const DEV_DIRECTORIES: [&CStr; 2] = [c"/dev/pts", c"/dev/shm"];

fn handled_rights(abi: u32, confine: ConfineMode) -> u64 {
    let strict = STRICT_RIGHTS.iter().filter(|_| confine == ConfineMode::Strict);
    WRITE_RIGHTS.iter().chain(strict).filter(|(since, _)| *since <= abi).fold(0, |all, (_, rights)| all | rights)
}

pub(super) fn command_ruleset(inputs: &RulesetInputs) -> Result<Ruleset, Error> {
    let abi = inputs.support.landlock_abi();
    let handled = handled_rights(abi, inputs.settings.confine);
    let ports = ports::allowed_ports(inputs.settings, inputs.support);
    let rules = Ruleset::new(handled, ports.is_some(), abi >= FULL_ABI)
        .map_err(|errno| Error::System("create the sandbox (landlock_create_ruleset)", errno))?;
    let allow = |place: &OwnedFd, rights| {
        let answer = rules.allow(place.as_fd(), rights);
        answer.map_err(|errno| Error::System("add a rule to the sandbox (landlock_add_rule)", errno))
    };
    let named = [("TAKUMI_VOLUMES", &inputs.settings.volumes), ("TAKUMI_WRITABLE", &inputs.settings.writable)];
    for (setting, path) in named.iter().flat_map(|(setting, paths)| paths.iter().map(move |path| (setting, path))) {
        let place =
            pin_path(path).map_err(|errno| Error::Unpinnable(Escaped(path.to_bytes()).to_string(), errno, setting))?;
        allow(&place, handled)?;
    }
    let tmpfs = inputs.mounts.into_iter().flat_map(Mounts::iter).filter(|mount| is_writable_memory(mount));
    let tmpfs = tmpfs.filter_map(|mount| pin_path(&CString::new(mount.point()).ok()?).ok());
    let dev_directories = DEV_DIRECTORIES.iter().filter_map(|path| pin_path(path).ok());
    for place in tmpfs.chain(dev_directories) {
        allow(&place, handled)?;
    }
    let gpu_devices = inputs.gpu_devices.iter().filter_map(|path| CString::new(path.as_str()).ok());
    for path in DEVICES.iter().map(|path| CString::from(*path)).chain(gpu_devices) {
        // What is not there, or closed to COMMAND's user, needs no rule.
        if let Ok(place) = io::open_path(&path) {
            allow(&place, handled & rights::FILE_RIGHTS)?;
        }
    }
    if inputs.allow_proc {
        // A thread's name is /proc/PID/task/TID/comm, and CUDA does not start where it cannot write it (cuInit says
        // 304). A rule is tied to one inode, every process has its own, and COMMAND's children name their threads too:
        // there is nothing narrower than /proc. What is writable there is what the kernel gives to a process's own
        // user. Uid 0 would be given /proc/sys.
        if let Ok(place) = io::open_path(c"/proc") {
            allow(&place, handled & (rights::WRITE_FILE | rights::TRUNCATE))?;
        }
    }
    for port in ports.unwrap_or_default() {
        let answer = rules.allow_port(port);
        answer.map_err(|errno| Error::System("add a rule to the sandbox (landlock_add_rule)", errno))?;
    }
    Ok(rules)
}

/// Rules under which nothing can be written but /dev/null, and nobody be called.
pub(super) fn read_only_ruleset(abi: u32) -> Result<Ruleset, Error> {
    let handled = handled_rights(abi, ConfineMode::Auto);
    let rules = Ruleset::new(handled, abi >= 4, abi >= FULL_ABI)
        .map_err(|errno| Error::System("create the sandbox (landlock_create_ruleset)", errno))?;
    if let Ok(null) = io::open_path(c"/dev/null") {
        let answer = rules.allow(null.as_fd(), handled & rights::FILE_RIGHTS);
        answer.map_err(|errno| Error::System("add a rule to the sandbox (landlock_add_rule)", errno))?;
    }
    Ok(rules)
}

/// Whether COMMAND may write this mount, because it is memory: not a root of memory, which would be everything, nor the
/// kernel's own trees, in which engines hide files under empty tmpfs.
fn is_writable_memory(mount: &Mount) -> bool {
    let is_kernel_tree = [&b"/proc"[..], b"/sys", b"/dev"].iter().any(|top| is_within(mount.point(), top));
    mount.filesystem() == "tmpfs" && !mount.has_option("ro") && mount.point() != b"/" && !is_kernel_tree
}

fn pin_path(path: &CStr) -> Result<OwnedFd, Errno> {
    let names = path::absolute_components(path.to_bytes()).ok_or(Errno(libc::EINVAL))?;
    path::pin_directory(fs::open_root()?, &names, |_, _, errno| Err(errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_asked_for_no_right_that_it_does_not_know() {
        // The last right that each ABI knows (linux/landlock.h).
        for (level, last) in [(1, 12), (2, 13), (3, 14), (4, 14), (5, 15), (6, 15), (7, 15)] {
            let strict = handled_rights(level, ConfineMode::Strict);
            assert_eq!(strict >> (last + 1), 0, "level {level}");
            assert_ne!(strict >> last, 0, "level {level}");
            assert_eq!(handled_rights(level, ConfineMode::Auto), strict & !(rights::TRUNCATE | rights::IOCTL_DEV));
            // Execute, read a file, list a directory.
            assert_eq!(strict & 0b1101, 0, "reading is not handled");
        }
    }

    #[test]
    fn memory_is_for_writing_and_the_kernels_trees_are_not() {
        let table = b"1 0 0:1 / / rw - tmpfs none rw\n2 1 0:2 / /tmp rw,nosuid - tmpfs none rw\n\
            3 1 0:3 / /run/secrets ro - tmpfs none rw\n4 1 0:4 / /proc/acpi rw - tmpfs none rw\n\
            5 1 0:5 / /dev rw - tmpfs none rw\n6 1 0:6 / /data rw - ext4 none rw\n7 1 0:7 / /sys/firmware rw - tmpfs none rw\n";
        let mounts = Mounts::parse(table);
        let points: Vec<_> =
            mounts.iter().filter(|mount| is_writable_memory(mount)).map(|mount| mount.point()).collect();
        assert_eq!(points, [b"/tmp"]);
    }
}

//! /proc/PID/status: ids, groups, all five capability sets, no_new_privs and umask in one read, each as the kernel
//! writes it.

use super::processes::with_proc_path;
use crate::sys::credentials::{CapabilityBits, sorted};
use crate::sys::{Errno, GroupId, ProcessId, UserId, io};
use std::ffi::CStr;

/// What it says of a process. A field that the kernel does not write is `None`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProcStatus {
    /// Real, effective, saved and filesystem user id.
    pub users: Option<[UserId; 4]>,
    /// Real, effective, saved and filesystem group id.
    pub group_ids: Option<[GroupId; 4]>,
    /// Supplementary groups, in ascending order.
    pub groups: Option<Vec<GroupId>>,
    /// Inheritable, permitted, effective, bounding and ambient capabilities.
    pub capabilities: [Option<CapabilityBits>; 5],
    /// Whether no exec can give a privilege.
    pub no_new_privileges: Option<bool>,
    /// How seccomp filter active: 0 not at all, 1 strictly, 2 by filters.
    pub seccomp: Option<u32>,
    /// How many filters there are (Linux 5.9 and newer).
    pub seccomp_filters: Option<u32>,
    /// Permission bits that new files do not get (Linux 4.7 and newer).
    pub umask: Option<u32>,
}

/// Names of the five sets in the file, in the order of [`Status::capabilities`].
pub const CAPABILITY_SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
/// Where the bounding set stands in [`Status::capabilities`].
pub const BOUNDING: usize = 3;

/// Reads it. Errors: the kernel's; ENOENT where /proc is not mounted, ENODATA where it holds nothing.
pub fn read() -> Result<ProcStatus, Errno> {
    read_from(c"/proc/self/status")
}

/// The same of another process. ENOENT where it is gone.
pub fn read_of(id: ProcessId) -> Result<ProcStatus, Errno> {
    with_proc_path(id, "status", read_from).ok_or(Errno(libc::ENOENT))?
}

fn read_from(path: &CStr) -> Result<ProcStatus, Errno> {
    let text = io::read_whole(path, 1 << 20)?;
    if text.is_empty() { Err(Errno(libc::ENODATA)) } else { Ok(parse(&text)) }
}

/// Reads the text of the file (`man 5 proc_pid_status`).
pub fn parse(text: &[u8]) -> ProcStatus {
    let mut status = ProcStatus::default();
    for line in text.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let Ok(value) = std::str::from_utf8(&line[colon + 1..]) else { continue };
        let value = value.trim();
        match &line[..colon] {
            b"Uid" => status.users = four(value).map(|ids| ids.map(UserId)),
            b"Gid" => status.group_ids = four(value).map(|ids| ids.map(GroupId)),
            b"Groups" => status.groups = numbers(value).map(|ids| sorted(ids.into_iter().map(GroupId).collect())),
            b"NoNewPrivs" => status.no_new_privileges = value.parse().ok().map(|set: u32| set == 1),
            b"Seccomp" => status.seccomp = value.parse().ok(),
            b"Seccomp_filters" => status.seccomp_filters = value.parse().ok(),
            b"Umask" => status.umask = u32::from_str_radix(value, 8).ok(),
            name => {
                if let Some(set) = CAPABILITY_SETS.iter().position(|set| set.as_bytes() == name) {
                    status.capabilities[set] = u64::from_str_radix(value, 16).ok();
                }
            }
        }
    }
    status
}

fn numbers(value: &str) -> Option<Vec<u32>> {
    value.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
}

fn four(value: &str) -> Option<[u32; 4]> {
    numbers(value)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_text_is_read() {
        let status = parse(
            b"Name:\todd: name\nUmask:\t0022\nUid:\t0\t1\t2\t3\nGid:\t4\t4\t4\t4\nGroups:\t4 27 1000 \nCapInh:\t0000000000000000\n\
              CapPrm:\t000001ffffffffff\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000000000c0\nCapAmb:\t0000000000000001\n\
              NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n",
        );
        assert_eq!(status.users, Some([0, 1, 2, 3].map(UserId)));
        assert_eq!(status.group_ids, Some([GroupId(4); 4]));
        assert_eq!(status.groups, Some(vec![GroupId(4), GroupId(27), GroupId(1000)]));
        assert_eq!(status.capabilities, [Some(0), Some(0x1ff_ffff_ffff), Some(0xa804_25fb), Some(0xc0), Some(1)]);
        assert_eq!((status.no_new_privileges, status.umask), (Some(true), Some(0o22)));
        assert_eq!((status.seccomp, status.seccomp_filters), (Some(2), Some(3)));
    }

    #[test]
    fn this_process_is_seen_by_its_id_too() {
        assert_eq!(read_of(crate::sys::process::self_pid()).unwrap().users, read().unwrap().users);
    }

    #[test]
    fn what_is_missing_or_broken_is_not_known() {
        let status = parse(b"Uid:\t0\t0\t0\nCapEff:\tnonsense\nGroups:\t\nNoNewPrivs:\t0\n");
        assert_eq!((status.users, status.capabilities[2]), (None, None));
        assert_eq!((status.groups, status.no_new_privileges), (Some(vec![]), Some(false)));
        assert_eq!(parse(b""), ProcStatus::default());
    }
}

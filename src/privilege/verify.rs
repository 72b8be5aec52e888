//! The drop as the kernel sees it. gosu, su-exec, setpriv and chroot run the workload as root where a call answers 0
//! and does nothing; so every outcome is read back, by two ways where there are two, and getting a privilege back is
//! tried.

use super::{Dropped, Error};
use crate::machine::status::{self, ProcStatus};
use crate::sys::credentials::{self, Capabilities, MAX_CAPABILITIES, ResIds};
use crate::sys::{Errno, GroupId, UserId, io};
use crate::text::List;
use std::os::fd::RawFd;

/// What must be found.
pub(super) struct Expected {
    pub users: ResIds<UserId>,
    pub group_ids: ResIds<GroupId>,
    pub groups: Vec<GroupId>,
    /// Whether the bounding set must be empty too.
    pub empty_bounding_set: bool,
    /// The secure bits, where they were set.
    pub secure_bits: Option<u32>,
}

pub(super) fn verify(expected: &Expected) -> Result<Dropped, Error> {
    verify_by_calls(expected)?;
    let (bounding, seen_in_proc) = match status::read() {
        Ok(status) => (verify_by_proc(expected, &status)?, true),
        Err(_) => (verify_sets_by_bit(expected)?, false),
    };
    verify_nothing_regained(expected)?;
    let user = expected.users.real;
    Ok(Dropped { user, bounding, secure_bits_locked: expected.secure_bits.is_some(), seen_in_proc })
}

fn verify_by_calls(expected: &Expected) -> Result<(), Error> {
    expect_equal("user ids", read("the user ids", credentials::user_ids())?, expected.users)?;
    expect_equal("group ids", read("the group ids", credentials::group_ids())?, expected.group_ids)?;
    let groups = read("the supplementary groups", credentials::groups())?;
    if groups != expected.groups {
        return Err(Error::NotDropped("supplementary groups are", List(&groups).to_string()));
    }
    expect_equal("capabilities", read("the capabilities", credentials::capabilities())?, Capabilities::NONE)?;
    expect_equal("no_new_privs", read("no_new_privs", credentials::no_new_privileges())?, true)?;
    expect_equal("dumpable", read("dumpable", credentials::dumpable())?, false)?;
    if let Some(bits) = expected.secure_bits {
        expect_equal("secure bits", read("the secure bits", credentials::secure_bits())?, bits)?;
    }
    Ok(())
}

/// The same from /proc/self/status, which has what no call shows: the filesystem ids, and all five capability sets at
/// once.
fn verify_by_proc(expected: &Expected, status: &ProcStatus) -> Result<u64, Error> {
    let users = [expected.users.real, expected.users.effective, expected.users.saved, expected.users.effective];
    expect_equal("user ids in /proc", status.users, Some(users))?;
    let ids =
        [expected.group_ids.real, expected.group_ids.effective, expected.group_ids.saved, expected.group_ids.effective];
    expect_equal("group ids in /proc", status.group_ids, Some(ids))?;
    expect_equal("groups in /proc", status.groups.as_ref(), Some(&expected.groups))?;
    expect_equal("no_new_privs in /proc", status.no_new_privileges, Some(true))?;
    for (name, set) in status::CAPABILITY_SETS.iter().zip(status.capabilities) {
        let may_remain = *name == status::CAPABILITY_SETS[status::BOUNDING] && !expected.empty_bounding_set;
        if !may_remain && set != Some(0) {
            return Err(Error::NotDropped(name, format!("is {:#x}", set.unwrap_or(u64::MAX))));
        }
    }
    Ok(status.capabilities[status::BOUNDING].unwrap_or(0))
}

/// Without /proc the two sets that no call shows whole are asked for one capability at a time.
fn verify_sets_by_bit(expected: &Expected) -> Result<u64, Error> {
    let bounding = read_set_by_bit("the bounding set", credentials::in_bounding_set)?;
    if expected.empty_bounding_set && bounding != 0 {
        return Err(Error::NotDropped("the bounding set", format!("is {bounding:#x}")));
    }
    let ambient = read_set_by_bit("the ambient set", credentials::in_ambient_set)?;
    if ambient != 0 {
        return Err(Error::NotDropped("the ambient set", format!("is {ambient:#x}")));
    }
    Ok(bounding)
}

fn read_set_by_bit(name: &'static str, has: fn(u32) -> Result<bool, Errno>) -> Result<u64, Error> {
    let mut set = 0;
    for number in 0..MAX_CAPABILITIES {
        match has(number) {
            Ok(true) => set |= 1 << number,
            Ok(false) => {}
            Err(Errno(libc::EINVAL)) if number > 0 => break,
            Err(errno) => return Err(Error::Unreadable(name, errno)),
        }
    }
    Ok(set)
}

/// Tries to get root, its group, a group and a capability back. The kernel must refuse each.
fn verify_nothing_regained(expected: &Expected) -> Result<(), Error> {
    if !expected.users.contains(UserId(0)) {
        expect_refused("uid 0", credentials::try_set_effective_user(UserId(0)))?;
    }
    if !expected.group_ids.contains(GroupId(0)) {
        expect_refused("gid 0", credentials::try_set_effective_group(GroupId(0)))?;
    }
    expect_refused("a supplementary group", credentials::set_groups(&[GroupId(0)]))?;
    expect_refused("an ambient capability", credentials::try_raise_ambient(0))
}

fn expect_refused(what: &'static str, answer: Result<(), Errno>) -> Result<(), Error> {
    match answer {
        // EINVAL: not mapped in this user namespace, or an ambient set that this kernel does not have.
        Err(Errno(libc::EPERM | libc::EINVAL)) => Ok(()),
        Err(errno) => Err(Error::Unreadable("a refusal of the kernel", errno)),
        Ok(()) => Err(Error::NotDropped(what, "could be regained".to_string())),
    }
}

/// What is open: exactly what was kept for COMMAND, and what `init` holds itself.
pub fn verify_descriptors(expected: &[RawFd]) -> Result<(), Error> {
    // 0 to 2 are open: where there are three in all, there is none of ours and none that was inherited.
    if expected.is_empty() && io::count_open_descriptors() == Ok(io::FIRST_NON_STDIO as usize) {
        return Ok(());
    }
    let found = match io::list_open_descriptors() {
        Ok(found) => found,
        // No /proc: the kernel can still be asked for each number.
        Err(_) => read("the open descriptors", io::open_descriptors_within(io::FIRST_NON_STDIO, 1024))?,
    };
    match found.iter().find(|number| !expected.contains(number)) {
        None => Ok(()),
        Some(number) => Err(Error::NotDropped("descriptor", format!("{number} is open"))),
    }
}

fn read<Value>(what: &'static str, answer: Result<Value, Errno>) -> Result<Value, Error> {
    answer.map_err(|errno| Error::Unreadable(what, errno))
}

fn expect_equal<Value: PartialEq + std::fmt::Debug>(
    what: &'static str,
    found: Value,
    expected: Value,
) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::NotDropped(what, format!("are {found:?}, not {expected:?}"))) }
}

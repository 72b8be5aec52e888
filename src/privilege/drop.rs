//! The drop itself.

use super::Error;
use super::verify::Expected;
use crate::machine::capabilities;
use crate::sys::credentials::{self, Capabilities, Credentials, MAX_CAPABILITIES, ResIds};
use crate::sys::{Errno, GroupId, UserId};

/// `SECBIT_NOROOT`, `SECBIT_NO_CAP_AMBIENT_RAISE` and their locks, and the locks of `KEEP_CAPS` and `NO_SETUID_FIXUP`, which stay
/// 0: uid 0 is a user like any other from then on, for ever (`man 7 capabilities`).
pub const SECURE_BITS: u32 = 0xEB;

/// That a drop can be tried: nothing that it needs is missing. Only [`preflight`] makes it.
pub struct Preflight {
    groups_are_right: bool,
    has_setpcap: bool,
}

/// Becomes `target`. The answer is what must be found afterwards.
pub(super) fn become_user(
    target: &Credentials,
    Preflight { groups_are_right, has_setpcap: may_lock }: Preflight,
) -> Result<Expected, Error> {
    credentials::set_no_new_privileges().map_err(|errno| Error::Syscall("set no_new_privs", errno))?;
    if !groups_are_right {
        credentials::set_groups(&target.groups)
            .map_err(|errno| Error::Syscall("set the supplementary groups", errno))?;
    }
    credentials::set_group_ids(target.group).map_err(|errno| Error::Syscall("set the group id", errno))?;
    if may_lock {
        empty_bounding_set()?;
        credentials::set_secure_bits(SECURE_BITS).map_err(|errno| Error::Syscall("lock the secure bits", errno))?;
    }
    clear_ambient_set()?;
    credentials::set_user_ids(target.user).map_err(|errno| Error::Syscall("set the user id", errno))?;
    clear_capabilities()?;
    Ok(Expected {
        users: ResIds::all(target.user),
        group_ids: ResIds::all(target.group),
        groups: target.groups.clone(),
        empty_bounding_set: true,
        secure_bits: may_lock.then_some(SECURE_BITS),
    })
}

/// Gives up whatever an ordinary user was started with, and stays that user.
pub(super) fn stay_user(
    users: ResIds<UserId>,
    group_ids: ResIds<GroupId>,
    held: Capabilities,
) -> Result<Expected, Error> {
    let groups = supplementary_groups()?;
    credentials::set_no_new_privileges().map_err(|errno| Error::Syscall("set no_new_privs", errno))?;
    let may_lock = held.effective & capabilities::SETPCAP != 0;
    if may_lock {
        empty_bounding_set()?;
    }
    clear_ambient_set()?;
    clear_capabilities()?;
    Ok(Expected { users, group_ids, groups, empty_bounding_set: may_lock, secure_bits: None })
}

/// Says what the drop to `target` lacks, before a volume is changed for a user that nobody can become. `held`: what
/// capget said at the start; `setgroups_denied`: what the user namespace says.
pub fn preflight(target: &Credentials, held: Capabilities, setgroups_denied: bool) -> Result<Preflight, Error> {
    let groups_are_right = supplementary_groups()? == target.groups;
    if !groups_are_right && setgroups_denied {
        return Err(Error::GroupsDenied);
    }
    let group_is_right = credentials::group_ids() == Ok(ResIds::all(target.group));
    let user_is_right = credentials::user_ids() == Ok(ResIds::all(target.user));
    let mut missing = 0;
    if !user_is_right {
        missing |= capabilities::SETUID & !held.effective;
    }
    if !group_is_right || !groups_are_right {
        missing |= capabilities::SETGID & !held.effective;
    }
    let lacks_setpcap = held.effective & capabilities::SETPCAP == 0;
    if missing != 0 {
        // SETPCAP is asked for in the same breath: its lack would be the next start's message.
        missing |= if lacks_setpcap { capabilities::SETPCAP } else { 0 };
        return Err(Error::Missing { what: "become the user", missing });
    }
    if lacks_setpcap && !bounding_set_is_empty()? {
        return Err(Error::Missing { what: "empty the capability bounding set", missing: capabilities::SETPCAP });
    }
    Ok(Preflight { groups_are_right, has_setpcap: !lacks_setpcap })
}

fn bounding_set_is_empty() -> Result<bool, Error> {
    for number in 0..MAX_CAPABILITIES {
        match credentials::in_bounding_set(number) {
            Ok(true) => return Ok(false),
            Ok(false) => {}
            Err(Errno(libc::EINVAL)) if number > 0 => break,
            Err(errno) => return Err(Error::Unreadable("the capability bounding set", errno)),
        }
    }
    Ok(true)
}

fn empty_bounding_set() -> Result<(), Error> {
    for number in 0..MAX_CAPABILITIES {
        match credentials::drop_from_bounding_set(number) {
            Ok(()) => {}
            Err(Errno(libc::EINVAL)) => break,
            Err(errno) => return Err(Error::Syscall("empty the capability bounding set", errno)),
        }
    }
    Ok(())
}

fn clear_ambient_set() -> Result<(), Error> {
    match credentials::clear_ambient_set() {
        // Linux before 4.3 has no ambient set; a filter that hides it is found out by what /proc shows.
        Ok(()) | Err(Errno(libc::EINVAL)) => Ok(()),
        Err(errno) => Err(Error::Syscall("empty the ambient capability set", errno)),
    }
}

/// What needs no capability. The change of user has done both already; this is the second way to the same end.
fn clear_capabilities() -> Result<(), Error> {
    credentials::clear_capabilities().map_err(|errno| Error::Syscall("give up all capabilities", errno))?;
    credentials::set_not_dumpable().map_err(|errno| Error::Syscall("make PID 1 undumpable", errno))
}

fn supplementary_groups() -> Result<Vec<GroupId>, Error> {
    credentials::groups().map_err(|errno| Error::Unreadable("the supplementary groups", errno))
}

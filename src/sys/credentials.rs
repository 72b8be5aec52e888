//! Ids, groups, capabilities and their locks, of this thread: the program has one, so that glibc's own wrappers, which
//! signal every other thread, are one system call each (Go's runtime has several always, and gosu hangs in 16 of 408
//! injections).

use super::errno::cerr;
use super::{Errno, GroupId, ProcessId, Signal, UserId, process};
use nix::unistd::{self, Gid};
use std::fmt;

/// Real, effective and saved id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ResIds<Id> {
    pub real: Id,
    pub effective: Id,
    pub saved: Id,
}

impl<Id: fmt::Debug> fmt::Debug for ResIds<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.real, self.effective, self.saved)
    }
}

impl<Id: Copy + PartialEq> ResIds<Id> {
    /// The same one three times.
    pub fn all(id: Id) -> Self {
        ResIds { real: id, effective: id, saved: id }
    }

    /// Whether any of the three is `id`.
    pub fn contains(&self, id: Id) -> bool {
        [self.real, self.effective, self.saved].contains(&id)
    }
}

/// Whom a process acts as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    pub user: UserId,
    pub group: GroupId,
    /// Supplementary groups, as [`sorted`] has them.
    pub groups: Vec<GroupId>,
}

/// Ascending, each once: lists of groups are compared.
pub fn sorted(mut groups: Vec<GroupId>) -> Vec<GroupId> {
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// No id is ever -1: a getter that leaves it there, as nix's own do, has written nothing.
const POISON: u32 = u32::MAX;

/// The user ids of this thread.
pub fn user_ids() -> Result<ResIds<UserId>, Errno> {
    let ids = unistd::getresuid()?;
    reject_poison(
        ResIds { real: ids.real.into(), effective: ids.effective.into(), saved: ids.saved.into() },
        UserId(POISON),
    )
}

/// The group ids of this thread.
pub fn group_ids() -> Result<ResIds<GroupId>, Errno> {
    let ids = unistd::getresgid()?;
    reject_poison(
        ResIds { real: ids.real.into(), effective: ids.effective.into(), saved: ids.saved.into() },
        GroupId(POISON),
    )
}

fn reject_poison<Id: Copy + PartialEq>(ids: ResIds<Id>, poison: Id) -> Result<ResIds<Id>, Errno> {
    if ids.contains(poison) { Err(Errno(libc::EIO)) } else { Ok(ids) }
}

/// Sets all three user ids.
pub fn set_user_ids(id: UserId) -> Result<(), Errno> {
    Ok(unistd::setresuid(id.into(), id.into(), id.into())?)
}

/// Sets all three group ids.
pub fn set_group_ids(id: GroupId) -> Result<(), Errno> {
    Ok(unistd::setresgid(id.into(), id.into(), id.into())?)
}

/// Tries to make `id` the effective user id; -1 leaves the others as they are.
pub fn try_set_effective_user(id: UserId) -> Result<(), Errno> {
    Ok(unistd::setresuid(UserId(POISON).into(), id.into(), UserId(POISON).into())?)
}

/// Tries to make `id` the effective group id.
pub fn try_set_effective_group(id: GroupId) -> Result<(), Errno> {
    Ok(unistd::setresgid(GroupId(POISON).into(), id.into(), GroupId(POISON).into())?)
}

/// The supplementary groups of this thread, [`sorted`].
pub fn groups() -> Result<Vec<GroupId>, Errno> {
    // Most lists are short; the kernel says EINVAL where this one is not long enough (NGROUPS_MAX is 65536).
    for room in [32, 65_536] {
        let mut list = vec![POISON; room];
        // SAFETY: the kernel writes at most `room` ids into the list.
        match cerr(unsafe { libc::syscall(libc::SYS_getgroups, room, list.as_mut_ptr()) }) {
            Err(Errno(libc::EINVAL)) if room == 32 => continue,
            Err(errno) => return Err(errno),
            Ok(count) => {
                list.truncate(count.unsigned_abs() as usize);
                return if list.contains(&POISON) {
                    Err(Errno(libc::EIO))
                } else {
                    Ok(sorted(list.into_iter().map(GroupId).collect()))
                };
            }
        }
    }
    Err(Errno(libc::EINVAL))
}

/// Sets the supplementary groups.
pub fn set_groups(groups: &[GroupId]) -> Result<(), Errno> {
    let list: Vec<Gid> = groups.iter().copied().map(Gid::from).collect();
    Ok(unistd::setgroups(&list)?)
}

/// A set of capabilities as the kernel's 64 bits.
pub type CapabilityBits = u64;
/// How many a kernel can know; it says EINVAL from its last on.
pub const MAX_CAPABILITIES: u32 = CapabilityBits::BITS;

/// Effective, permitted and inheritable capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    pub effective: CapabilityBits,
    pub permitted: CapabilityBits,
    /// Handed on by file capabilities.
    pub inheritable: CapabilityBits,
}

impl Capabilities {
    pub const NONE: Capabilities = Capabilities { effective: 0, permitted: 0, inheritable: 0 };
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}
/// `_LINUX_CAPABILITY_VERSION_3`: two 32-bit halves, each effective, permitted, inheritable.
const VERSION_3: u32 = 0x2008_0522;

pub fn capabilities() -> Result<Capabilities, Errno> {
    let mut header = CapabilityHeader { version: VERSION_3, pid: 0 };
    let mut data = [POISON; 6];
    // SAFETY: the kernel reads the header and writes six words.
    cerr(unsafe { libc::syscall(libc::SYS_capget, &mut header, data.as_mut_ptr()) })?;
    if data == [POISON; 6] {
        return Err(Errno(libc::EIO));
    }
    let whole = |index: usize| u64::from(data[index]) | u64::from(data[index + 3]) << 32;
    Ok(Capabilities { effective: whole(0), permitted: whole(1), inheritable: whole(2) })
}

/// Gives every capability of this thread away.
pub fn clear_capabilities() -> Result<(), Errno> {
    let header = CapabilityHeader { version: VERSION_3, pid: 0 };
    let data = [0_u32; 6];
    // SAFETY: the kernel reads the header and six words.
    cerr(unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) }).map(drop)
}

fn prctl(option: libc::c_int, arguments: [libc::c_ulong; 4]) -> Result<i32, Errno> {
    let [second, third, fourth, fifth] = arguments;
    // SAFETY: only options that take numbers are passed (see the callers).
    cerr(unsafe { libc::syscall(libc::SYS_prctl, option, second, third, fourth, fifth) }).map(|answer| answer as i32)
}

/// No exec gives this process or its children a privilege from now on. Cannot be taken back.
pub fn set_no_new_privileges() -> Result<(), Errno> {
    Ok(nix::sys::prctl::set_no_new_privs()?)
}

pub fn no_new_privileges() -> Result<bool, Errno> {
    Ok(nix::sys::prctl::get_no_new_privs()?)
}

/// Takes capability number `capability` out of the bounding set; EINVAL where the kernel knows no such capability.
pub fn drop_from_bounding_set(capability: u32) -> Result<(), Errno> {
    prctl(libc::PR_CAPBSET_DROP, [capability.into(), 0, 0, 0]).map(drop)
}

/// Whether capability number `capability` is in the bounding set; EINVAL where the kernel knows no such capability.
pub fn in_bounding_set(capability: u32) -> Result<bool, Errno> {
    prctl(libc::PR_CAPBSET_READ, [capability.into(), 0, 0, 0]).map(|answer| answer == 1)
}

/// Whether capability number `capability` is in the ambient set; EINVAL where the kernel knows no such capability.
pub fn in_ambient_set(capability: u32) -> Result<bool, Errno> {
    prctl(libc::PR_CAP_AMBIENT, [libc::PR_CAP_AMBIENT_IS_SET as libc::c_ulong, capability.into(), 0, 0])
        .map(|answer| answer == 1)
}

/// Empties the ambient set.
pub fn clear_ambient_set() -> Result<(), Errno> {
    prctl(libc::PR_CAP_AMBIENT, [libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0, 0, 0]).map(drop)
}

/// Tries to raise a capability into the ambient set.
pub fn try_raise_ambient(capability: u32) -> Result<(), Errno> {
    prctl(libc::PR_CAP_AMBIENT, [libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, capability.into(), 0, 0]).map(drop)
}

/// Sets the secure bits (`man 7 capabilities`).
pub fn set_secure_bits(bits: u32) -> Result<(), Errno> {
    prctl(libc::PR_SET_SECUREBITS, [bits.into(), 0, 0, 0]).map(drop)
}

pub fn secure_bits() -> Result<u32, Errno> {
    prctl(libc::PR_GET_SECUREBITS, [0; 4]).map(i32::cast_unsigned)
}

/// Nobody without CAP_SYS_PTRACE may look into this process from now on, not even its own user.
pub fn set_not_dumpable() -> Result<(), Errno> {
    Ok(nix::sys::prctl::set_dumpable(false)?)
}

/// Whether others of the same user may look into this process.
pub fn dumpable() -> Result<bool, Errno> {
    Ok(nix::sys::prctl::get_dumpable()?)
}

/// The signal that this process gets when its parent dies; a change of user clears it. nix knows no real-time signal.
pub fn set_parent_death_signal(number: u8) -> Result<(), Errno> {
    prctl(libc::PR_SET_PDEATHSIG, [number.into(), 0, 0, 0]).map(drop)
}

/// Ends this process with `parent`, which may have died before the signal was asked for: ESRCH.
pub(super) fn die_with_parent(parent: ProcessId) -> Result<(), Errno> {
    let kill = Signal::KILL.number();
    set_parent_death_signal(kill)?;
    let asked = parent_death_signal() == Ok(kill.into()) && process::parent_pid() == parent;
    if asked { Ok(()) } else { Err(Errno(libc::ESRCH)) }
}

/// Which signal that is, 0 for none.
pub fn parent_death_signal() -> Result<i32, Errno> {
    let mut number: libc::c_int = -1;
    // SAFETY: the kernel writes one int into a valid place.
    cerr(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_PDEATHSIG, &mut number, 0, 0, 0) })?;
    Ok(number)
}

/// Orphans below this process come to it, as they come to PID 1.
pub fn become_subreaper() -> Result<(), Errno> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Whether the kernel started this program with more privilege than its caller had (a setuid or setgid file, file
/// capabilities).
pub fn is_secure_execution() -> bool {
    // SAFETY: reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

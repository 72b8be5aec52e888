//! Rootless: container root is the host's user, so owners stay, and app and host user share each file by POSIX ACL.
//!
//! Both may what the file's owner may; default lists on directories make it so for files to come. A file that the app
//! creates 0600 gets an empty mask, which shuts the host's user out until the next start (`man 5 acl`, OBJECT
//! CREATION).

use std::os::fd::BorrowedFd;

use super::acl::Acl;
use super::chown::unopened_reason;
use super::outcome::{Reason, Unsupported};
use super::walk::{Repair, RepairResult};
use super::{Container, RepairPlan};
use crate::machine::capabilities;
use crate::sys::Errno;
use crate::sys::fs::{DescriptorPath, Stat};

const ACCESS_ACL: &std::ffi::CStr = c"system.posix_acl_access";
const DEFAULT_ACL: &std::ffi::CStr = c"system.posix_acl_default";
const RWX: u16 = 7;

pub(super) struct ShareRepair<'a> {
    /// Container root, who is the host's user, and the app's.
    users: [u32; 2],
    container: &'a Container,
    dry: bool,
    proven: bool,
}

impl<'a> ShareRepair<'a> {
    pub(super) fn new(plan: &RepairPlan<'a>) -> Self {
        Self { users: [0, plan.target.uid.0], container: plan.container, dry: plan.dry, proven: false }
    }

    /// The list of this name, with the grant in it, if it lacked that.
    fn acl_to_set(&self, path: &DescriptorPath, stat: &Stat, name: &std::ffi::CStr) -> Result<Option<Acl>, Errno> {
        let mut buffer = [0; 1024];
        let mut acl = match path.attribute(name, &mut buffer) {
            Ok(bytes) => Acl::parse(bytes).ok_or(Errno(libc::EINVAL))?,
            Err(Errno(libc::ENODATA)) => Acl::from_mode(stat.mode),
            Err(errno) => return Err(errno),
        };
        // The owner has an entry of their own in an access list; who owns what comes later, nobody knows.
        let owner = (name == ACCESS_ACL).then_some(stat.uid.0);
        let permission = if owner.is_some() { acl.owners() } else { RWX };
        let users = self.users.into_iter().filter(|&user| Some(user) != owner);
        Ok(acl.grant(users, permission).then_some(acl))
    }

    fn set_acl(
        &mut self,
        path: &DescriptorPath,
        stat: &Stat,
        name: &std::ffi::CStr,
    ) -> Result<RepairResult, ShareError> {
        let Some(acl) = self.acl_to_set(path, stat, name)? else { return Ok(RepairResult::Right) };
        if self.dry {
            return Ok(RepairResult::Left(Reason::WrongOwner));
        }
        path.set_attribute(name, &acl.to_bytes())?;
        if !self.proven && self.acl_to_set(path, stat, name)?.is_some() {
            return Err(ShareError::Volume(Unsupported::AclLies));
        }
        self.proven = true;
        Ok(RepairResult::Changed)
    }

    fn classify_refusal(&self, stat: &Stat, errno: Errno) -> Result<Reason, Unsupported> {
        match errno {
            Errno(libc::EOPNOTSUPP | libc::ENOSYS) => Err(Unsupported::NoAcl(errno)),
            Errno(libc::EROFS) => Err(Unsupported::ReadOnly),
            Errno(libc::EPERM) if self.container.may_be_unmapped(stat.uid, stat.gid) => Ok(Reason::Unmapped),
            Errno(libc::EPERM) if stat.frozen => Ok(Reason::Immutable),
            Errno(libc::EPERM) if !self.container.has_capability(capabilities::FOWNER) => Ok(Reason::NeedsFowner),
            errno => Ok(Reason::Refused(errno)),
        }
    }
}

enum ShareError {
    Entry(Errno),
    Volume(Unsupported),
}

impl From<Errno> for ShareError {
    fn from(errno: Errno) -> Self {
        ShareError::Entry(errno)
    }
}

impl Repair for ShareRepair<'_> {
    /// A link has no list of its own; of everything else the list has to be read.
    fn is_right(&self, stat: &Stat) -> bool {
        stat.is_link()
    }

    fn repair(&mut self, file: BorrowedFd<'_>, stat: &Stat) -> Result<RepairResult, Unsupported> {
        let path = DescriptorPath::of(file);
        let names: &[_] = if stat.is_directory() { &[ACCESS_ACL, DEFAULT_ACL] } else { &[ACCESS_ACL] };
        let mut repaired = RepairResult::Right;
        for name in names {
            match self.set_acl(&path, stat, name) {
                Ok(RepairResult::Right) => {}
                Ok(change) => repaired = change,
                Err(ShareError::Volume(why)) => return Err(why),
                Err(ShareError::Entry(errno)) => return self.classify_refusal(stat, errno).map(RepairResult::Left),
            }
        }
        Ok(repaired)
    }

    fn unopened_reason(&self, stat: &Stat, errno: Errno) -> Reason {
        unopened_reason(self.container, stat, errno)
    }

    fn clears_privileges(&self) -> bool {
        false
    }
}

//! Rootless: container root is the host's user, so owners stay, and app and host user share each file by POSIX ACL.
//!
//! Both may what the file's owner may; default lists on directories make it so for files to come. A file that the app creates
//! 0600 gets an empty mask, which shuts the host's user out until the next start (`man 5 acl`, OBJECT CREATION).

use std::os::fd::BorrowedFd;

use super::acl::Acl;
use super::fix::closed;
use super::outcome::{Reason, Unsupported};
use super::walk::{Repair, Repaired};
use super::{Container, Plan};
use crate::machine::capabilities;
use crate::sys::Errno;
use crate::sys::fs::{DescriptorPath, Stat};

const ACCESS: &std::ffi::CStr = c"system.posix_acl_access";
const DEFAULT: &std::ffi::CStr = c"system.posix_acl_default";
const EVERYTHING: u16 = 7;

pub(super) struct Share<'a> {
    /// Container root, who is the host's user, and the app's.
    users: [u32; 2],
    container: &'a Container,
    dry: bool,
    proven: bool,
}

impl<'a> Share<'a> {
    pub(super) fn new(plan: &Plan<'a>) -> Self {
        Self { users: [0, plan.target.uid.0], container: plan.container, dry: plan.dry, proven: false }
    }

    /// The list of this name, with the grant in it, if it lacked that.
    fn wanted(&self, path: &DescriptorPath, stat: &Stat, name: &std::ffi::CStr) -> Result<Option<Acl>, Errno> {
        let mut buffer = [0; 1024];
        let mut acl = match path.attribute(name, &mut buffer) {
            Ok(bytes) => Acl::parse(bytes).ok_or(Errno(libc::EINVAL))?,
            Err(Errno(libc::ENODATA)) => Acl::of_mode(stat.mode),
            Err(errno) => return Err(errno),
        };
        // The owner has an entry of their own in an access list; who owns what comes later, nobody knows.
        let owner = (name == ACCESS).then_some(stat.uid.0);
        let permission = if owner.is_some() { acl.owners() } else { EVERYTHING };
        let users = self.users.into_iter().filter(|&user| Some(user) != owner);
        Ok(acl.grant(users, permission).then_some(acl))
    }

    fn share(&mut self, path: &DescriptorPath, stat: &Stat, name: &std::ffi::CStr) -> Result<Repaired, Failure> {
        let Some(acl) = self.wanted(path, stat, name)? else { return Ok(Repaired::Right) };
        if self.dry {
            return Ok(Repaired::Left(Reason::WrongOwner));
        }
        path.set_attribute(name, &acl.bytes())?;
        if !self.proven && self.wanted(path, stat, name)?.is_some() {
            return Err(Failure::Volume(Unsupported::AclLies));
        }
        self.proven = true;
        Ok(Repaired::Changed)
    }

    fn refused(&self, stat: &Stat, errno: Errno) -> Result<Reason, Unsupported> {
        match errno {
            Errno(libc::EOPNOTSUPP | libc::ENOSYS) => Err(Unsupported::NoAcl(errno)),
            Errno(libc::EROFS) => Err(Unsupported::ReadOnly),
            Errno(libc::EPERM) if self.container.may_be_unmapped(stat.uid, stat.gid) => Ok(Reason::Unmapped),
            Errno(libc::EPERM) if stat.frozen => Ok(Reason::Frozen),
            Errno(libc::EPERM) if !self.container.may(capabilities::FOWNER) => Ok(Reason::NeedsFowner),
            errno => Ok(Reason::Refused(errno)),
        }
    }
}

enum Failure {
    Entry(Errno),
    Volume(Unsupported),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Failure::Entry(errno)
    }
}

impl Repair for Share<'_> {
    /// A link has no list of its own; of everything else the list has to be read.
    fn is_right(&self, stat: &Stat) -> bool {
        stat.is_link()
    }

    fn repair(&mut self, file: BorrowedFd<'_>, stat: &Stat) -> Result<Repaired, Unsupported> {
        let path = DescriptorPath::of(file);
        let names: &[_] = if stat.is_directory() { &[ACCESS, DEFAULT] } else { &[ACCESS] };
        let mut repaired = Repaired::Right;
        for name in names {
            match self.share(&path, stat, name) {
                Ok(Repaired::Right) => {}
                Ok(change) => repaired = change,
                Err(Failure::Volume(why)) => return Err(why),
                Err(Failure::Entry(errno)) => return self.refused(stat, errno).map(Repaired::Left),
            }
        }
        Ok(repaired)
    }

    fn closed(&self, stat: &Stat, errno: Errno) -> Reason {
        closed(self.container, stat, errno)
    }

    fn strips(&self) -> bool {
        false
    }
}

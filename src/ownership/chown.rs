//! Wrong owners are changed, and the first change is read back: a filesystem may say yes and do nothing.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use super::outcome::{Reason, Unsupported};
use super::walk::{Repair, RepairResult};
use super::{Container, RepairPlan, Target};
use crate::machine::capabilities;
use crate::settings::OwnershipMode;
use crate::sys::Errno;
use crate::sys::fs::{self, Freshness, Stat};

pub(super) struct ChownRepair<'a> {
    target: Target,
    container: &'a Container,
    volume: BorrowedFd<'a>,
    dry: bool,
    /// Whether a start changes what this run only looks at.
    means_to_change: bool,
    /// A change has been seen to have happened in this volume.
    proven: bool,
}

impl<'a> ChownRepair<'a> {
    pub(super) fn new(plan: &RepairPlan<'a>, volume: BorrowedFd<'a>) -> Self {
        Self {
            target: *plan.target,
            container: plan.container,
            volume,
            dry: plan.dry,
            means_to_change: plan.mode != OwnershipMode::Verify,
            proven: false,
        }
    }

    fn chown(&mut self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        fs::change_owner(file, self.target.uid, self.target.gid)
    }

    /// What a change would meet, as far as that can be seen without one.
    fn expected_refusal(&self, stat: &Stat) -> Result<Reason, Unsupported> {
        if self.container.may_be_unmapped(stat.uid, stat.gid) {
            return Ok(Reason::Unmapped);
        }
        match self.means_to_change {
            true if !self.container.has_capability(capabilities::CHOWN) => Err(Unsupported::MissingChown),
            true if stat.is_setuid() && !self.container.has_capability(capabilities::FOWNER) => Ok(Reason::NeedsFowner),
            _ => Ok(Reason::WrongOwner),
        }
    }

    /// The man page's EPERM has many reasons; each has another remedy.
    fn classify_refusal(&mut self, stat: &Stat) -> Result<Reason, Unsupported> {
        let eperm = Errno(libc::EPERM);
        if !self.container.has_capability(capabilities::CHOWN) {
            return Err(Unsupported::MissingChown);
        }
        if self.container.may_be_unmapped(stat.uid, stat.gid) {
            return Ok(Reason::Unmapped);
        }
        if stat.frozen {
            return Ok(Reason::Immutable);
        }
        // The change clears the bit, which counts as a chmod (fs/attr.c, setattr_prepare).
        if stat.is_setuid() && !self.container.has_capability(capabilities::FOWNER) {
            return Ok(Reason::NeedsFowner);
        }
        // This file alone, or every one? The volume's own directory tells, before a million more are tried.
        if !self.proven {
            self.chown(self.volume).map_err(Unsupported::Refuses)?;
            self.proven = true;
        }
        Ok(Reason::Refused(eperm))
    }
}

impl Repair for ChownRepair<'_> {
    fn is_right(&self, stat: &Stat) -> bool {
        stat.uid == self.target.uid && stat.gid == self.target.gid
    }

    fn repair(&mut self, file: BorrowedFd<'_>, stat: &Stat) -> Result<RepairResult, Unsupported> {
        if self.is_right(stat) {
            return Ok(RepairResult::Right);
        }
        if self.dry {
            return self.expected_refusal(stat).map(RepairResult::Left);
        }
        match self.chown(file) {
            Ok(()) if self.proven => Ok(RepairResult::Changed),
            Ok(()) => match fs::stat(file, Freshness::Asked) {
                Ok(now) if self.is_right(&now) => {
                    self.proven = true;
                    Ok(RepairResult::Changed)
                }
                Ok(_) => Err(Unsupported::Lies),
                Err(errno) => Ok(RepairResult::Left(Reason::Unreadable(errno))),
            },
            Err(Errno(libc::EPERM)) => self.classify_refusal(stat).map(RepairResult::Left),
            Err(Errno(libc::EROFS)) => Err(Unsupported::ReadOnly),
            Err(errno @ Errno(libc::EOPNOTSUPP | libc::ENOSYS | libc::EACCES)) if !self.proven => {
                Err(Unsupported::Refuses(errno))
            }
            Err(errno) => Ok(RepairResult::Left(Reason::Refused(errno))),
        }
    }

    fn repair_by_name(&mut self, directory: BorrowedFd<'_>, name: &CStr) -> bool {
        let may = self.proven && !self.dry;
        may && fs::change_owner_at(directory, name, self.target.uid, self.target.gid).is_ok()
    }

    fn unopened_reason(&self, stat: &Stat, errno: Errno) -> Reason {
        match unopened_reason(self.container, stat, errno) {
            Reason::NeedsReadSearch if self.is_right(stat) => Reason::NotDescended,
            reason => reason,
        }
    }

    fn clears_privileges(&self) -> bool {
        true
    }
}

pub(super) fn unopened_reason(container: &Container, stat: &Stat, errno: Errno) -> Reason {
    match errno {
        Errno(libc::EACCES) if !container.has_capability(capabilities::DAC_READ_SEARCH) => Reason::NeedsReadSearch,
        Errno(libc::EACCES) if container.may_be_unmapped(stat.uid, stat.gid) => Reason::Unmapped,
        errno => Reason::Unreadable(errno),
    }
}

//! The proof that a volume can be used: the user creates a file in it and removes it.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};

use super::path::{self, ShownPath};
use super::{Error, Outcome, Target, Volume};
use crate::problem::Problem;
use crate::sys::fs::{self, Freshness};
use crate::sys::{Errno, credentials};

/// As the user: missing directories inside a directory of the user's are created, and a file is created and removed in
/// each volume, reached by its path as the app will reach it. A volume that may not be changed (`verify`) is only
/// asked. Every descriptor of the volumes is closed at the end. What was found and done is told when all of them are
/// proved.
///
/// # Errors
/// [`Error`], for the first volume that is of no use; its hint says what the walk had found.
pub fn verify_writable(volumes: Vec<Volume>) -> Result<(), Error> {
    volumes.iter().try_for_each(verify_volume)?;
    for volume in &volumes {
        if let Some(tally) = &volume.tally {
            tally.log_summary(volume);
        }
    }
    Ok(())
}

fn verify_volume(volume: &Volume) -> Result<(), Error> {
    let at = || ShownPath::of(&volume.path);
    let who = |errno| Error::System { act: "check who writes in", at: at(), errno, hint: "allow getresuid".into() };
    let me = effective_ids().map_err(who)?;
    let unusable = |errno| Error::Unusable { at: at(), uid: me.uid, gid: me.gid, errno, hint: hint(volume, errno) };
    let opened = match path::open(&volume.path, volume.may_change.then_some(&me)) {
        Err(Error::System { errno, act: "open", .. }) => return Err(unusable(errno)),
        opened => opened?,
    };
    let Some(directory) = opened else { return Err(unusable(Errno(libc::ENOENT))) };
    if let Some(walked) = &volume.directory {
        let identity = |directory: BorrowedFd<'_>| {
            let stat = fs::stat(directory, Freshness::Cached).map_err(unusable)?;
            Ok((stat.device, stat.inode, stat.mount))
        };
        if identity(walked.as_fd())? != identity(directory.as_fd())? {
            return Err(Error::Replaced(at()));
        }
    }
    let directory = directory.as_fd();
    match (fs::create_unnamed(directory), volume.may_change) {
        (Ok(_), _) => Ok(()),
        // EISDIR: the kernel before 3.11 and filesystems that pass O_TMPFILE on read its directory bit alone (man 2
        // open).
        (Err(Errno(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT | libc::EINVAL | libc::ENOSYS)), true) => {
            create_and_remove(directory).map_err(unusable)
        }
        (Err(Errno(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT | libc::EINVAL | libc::ENOSYS)), false) => {
            fs::may_write(directory).map_err(unusable)
        }
        (Err(errno), _) => Err(unusable(errno)),
    }
}

fn create_and_remove(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    for attempt in 0..16 {
        let name = format!(".takumi-probe-{}-{attempt}", std::process::id());
        let name = CString::new(name).map_err(|_| Errno(libc::EINVAL))?;
        match fs::create_at(directory, &name) {
            // A left-over of a start that was killed here, or of another container with the same pid.
            Err(Errno(libc::EEXIST)) => continue,
            Err(errno) => return Err(errno),
            Ok(_) => return fs::unlink_at(directory, &name),
        }
    }
    Err(Errno(libc::EEXIST))
}

fn effective_ids() -> Result<Target, Errno> {
    Ok(Target { uid: credentials::user_ids()?.effective, gid: credentials::group_ids()?.effective })
}

fn hint(volume: &Volume, errno: Errno) -> String {
    let found = match &volume.outcome {
        Some(Outcome::Unsupported(why)) => return why.to_string(),
        Some(Outcome::Partial { why, .. }) => why.first().map(|left| Problem::from(left).to_string()),
        _ => None,
    };
    match (found, &volume.remedy, errno) {
        (_, _, Errno(libc::ENOENT)) => {
            format!("create {} or let TAKUMI_OWNERSHIP change volumes", ShownPath::of(&volume.path))
        }
        (_, _, Errno(libc::EROFS)) => format!("mount a writable volume at {}", ShownPath::of(&volume.path)),
        (_, _, Errno(libc::ENOSPC | libc::EDQUOT)) => "free space or inodes on the volume's disk".into(),
        (Some(found), Some(remedy), _) => format!("{found}; {remedy}"),
        (Some(found), None, _) => found,
        (None, Some(remedy), _) => remedy.clone(),
        (None, None, _) => "chown it to this user from the host, or start the container as root".into(),
    }
}

//! What is kept of nodes between starts: files in TAKUMI_STATE, which only container root can write. What they say is
//! `takumi-nodes`' matter.

use crate::sys::fs::{self, Freshness};
use crate::sys::{Errno, UserId, handover, io};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// What a person approved.
pub(super) const APPROVALS: &CStr = c"nodes.json";
/// What is known of a digest.
pub(super) const REPORTS: &CStr = c"scanned.json";
const MAX_BYTES: usize = 64 << 20;

/// Why nothing is remembered, as a sentence with what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("approvals cannot be kept: set TAKUMI_STATE to a directory that only container root can write")]
    NoDirectory,
    #[error(
        "{0} can be written by others than root, so COMMAND could approve its own nodes (chown 0:0 and chmod 755 it, outside every volume of TAKUMI_VOLUMES)"
    )]
    NotRootOwned(String),
    #[error("{0}: {1} (mount a volume there that container root can write)")]
    System(String, Errno),
}

/// A file of it as sealed memory; nothing where there is none yet.
pub(super) fn read(place: &CStr, name: &CStr) -> Result<Option<OwnedFd>, Error> {
    let path = format!("{}/{}", place.to_string_lossy(), name.to_string_lossy());
    let call = |errno| Error::System(path.clone(), errno);
    let directory = match open(place) {
        Err(Error::System(_, Errno(libc::ENOENT))) | Ok((_, StateOwner::RootWorldWritable)) => return Ok(None),
        directory => directory?.0,
    };
    match fs::stat_at(directory.as_fd(), name) {
        Err(Errno(libc::ENOENT)) => return Ok(None),
        Err(errno) => return Err(call(errno)),
        Ok(_) => {}
    }
    let full = CString::new(path.as_bytes()).map_err(|_| call(Errno(libc::EINVAL)))?;
    let file = io::open_nofollow(&full).map_err(call)?;
    let stat = fs::stat(file.as_fd(), Freshness::Cached).map_err(call)?;
    if !stat.is_regular() || !is_root_owned(&stat) {
        return Err(Error::NotRootOwned(path));
    }
    let content = io::read_rest(&file, MAX_BYTES).map_err(call)?;
    let memory = handover::memory_file().map_err(call)?;
    io::write_whole(&memory, &content).and_then(|()| handover::seal(&memory)).map_err(call)?;
    Ok(Some(memory))
}

/// Writes a file of it, whole or not at all. Only container root can.
pub(super) fn write(place: &CStr, name: &CStr, content: &OwnedFd) -> Result<(), Error> {
    const NEW: &CStr = c".nodes.new";
    let path = format!("{}/{}", place.to_string_lossy(), name.to_string_lossy());
    let call = |errno| Error::System(path.clone(), errno);
    let content = handover::read_from_start(content, MAX_BYTES).map_err(call)?;
    let (directory, owner) = open(place)?;
    if owner == StateOwner::RootWorldWritable {
        let listable = io::open_directory(place).map_err(call)?;
        io::set_mode(&listable, 0o700).map_err(call)?;
        if open(place)?.1 != StateOwner::Root {
            return Err(Error::NotRootOwned(place.to_string_lossy().into_owned()));
        }
    }
    match fs::unlink_at(directory.as_fd(), NEW) {
        Ok(()) | Err(Errno(libc::ENOENT)) => {}
        Err(errno) => return Err(call(errno)),
    }
    let file = fs::create_at(directory.as_fd(), NEW).map_err(call)?;
    io::write_whole(&file, &content).map_err(call)?;
    // Everybody may read what was approved: a list is no secret, and `--nodes list` works for the app's user.
    io::set_mode(&file, 0o644).map_err(call)?;
    fs::sync(file.as_fd()).map_err(call)?;
    fs::rename_at(directory.as_fd(), NEW, directory.as_fd(), name, true).map_err(call)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum StateOwner {
    Root,
    /// Root's, everybody's to write, and without approvals: a fresh volume, as some clusters make it.
    RootWorldWritable,
}

fn open(place: &CStr) -> Result<(OwnedFd, StateOwner), Error> {
    let path = place.to_string_lossy();
    let call = |errno| Error::System(path.to_string(), errno);
    let directory = io::open_path(place).map_err(call)?;
    let stat = fs::stat(directory.as_fd(), Freshness::Cached).map_err(call)?;
    if stat.is_directory() && is_root_owned(&stat) {
        return Ok((directory, StateOwner::Root));
    }
    let is_absent = |name| fs::stat_at(directory.as_fd(), name) == Err(Errno(libc::ENOENT));
    if stat.is_directory() && stat.uid == UserId(0) && is_absent(APPROVALS) && is_absent(REPORTS) {
        return Ok((directory, StateOwner::RootWorldWritable));
    }
    Err(Error::NotRootOwned(path.to_string()))
}

/// Root's, and nobody else may write it.
fn is_root_owned(stat: &fs::Stat) -> bool {
    stat.uid == UserId(0) && stat.mode & 0o022 == 0
}

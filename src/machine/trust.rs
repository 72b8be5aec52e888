//! Who can change a program: every directory and link on the way to it, and what it loads.

use crate::sys::fs::{self, Stat};
use crate::sys::{Errno, UserId, credentials, filesystem, io};
use crate::text::Escaped;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a scanner may be made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// Root's, and closed to this process, which has COMMAND's user and none of its power left.
    RootOwned,
    Any,
}

/// Why a path leads nowhere that can be trusted.
#[derive(PartialEq, Eq, Debug)]
pub enum TrustError {
    /// The kernel's word, at this place.
    System(Vec<u8>, Errno),
    /// COMMAND can change this; how.
    Writable(Vec<u8>, String),
}

impl TrustError {
    pub fn description(&self) -> String {
        match self {
            TrustError::System(place, errno) => format!("cannot read {}: {errno}", Escaped(place)),
            TrustError::Writable(place, how) => {
                let place = Escaped(place);
                format!(
                    "a scanned node could change its scanner: {place} {how}; in the image: chown root:root and chmod go-w; or mount it read-only, or the whole root (the only way if COMMAND is root)"
                )
            }
        }
    }

    /// It, or something on the way to it, is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, TrustError::System(_, Errno(libc::ENOENT | libc::ENOTDIR)))
    }
}

/// More links than that are a loop, as for the kernel.
const MAX_LINKS: usize = 40;
/// Python's own library has 4000 files.
const MAX_ENTRIES: usize = 100_000;
/// The owner that the kernel shows for one outside this user namespace (/proc/sys/kernel/overflowuid): nobody in here.
const OVERFLOW_USER: UserId = UserId(crate::machine::user_namespace::OVERFLOW_ID);

/// Where an absolute path leads, each step of the way looked at.
pub fn resolve_trusted(path: &[u8], trust: Trust) -> Result<Vec<u8>, TrustError> {
    let whole = |errno| TrustError::System(path.to_vec(), errno);
    let root = fs::open_root().map_err(whole)?;
    check_entry(root.as_fd(), c".", b"/", trust, NameCreation::Allowed)?;
    // The directories passed, with the path of each; what is still to come, last first.
    let mut passed: Vec<(OwnedFd, Vec<u8>)> = vec![(root, Vec::new())];
    let mut rest: Vec<Vec<u8>> = reversed_components(path);
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == b".." {
            if passed.len() > 1 {
                passed.pop();
            }
            continue;
        }
        let Some((directory, above)) = passed.last() else { return Err(whole(Errno(libc::ENOENT))) };
        let place = [above.as_slice(), b"/", &name].concat();
        let at = |errno| TrustError::System(place.clone(), errno);
        let name = c_string(&name).map_err(at)?;
        let stat = check_entry(directory.as_fd(), &name, &place, trust, NameCreation::Allowed)?;
        if stat.is_link() {
            links += 1;
            let mut buffer = [0; 4096];
            let target = fs::read_link_at(directory.as_fd(), &name, &mut buffer).map_err(at)?;
            if links > MAX_LINKS || target.len() == 4096 {
                return Err(at(Errno(libc::ELOOP)));
            }
            if target.starts_with(b"/") {
                passed.truncate(1);
            }
            rest.extend(reversed_components(target));
        } else if stat.is_directory() {
            let directory = fs::pin_directory_at(directory.as_fd(), &name).map_err(at)?;
            passed.push((directory, place));
        } else {
            return if rest.is_empty() { Ok(place) } else { Err(at(Errno(libc::ENOTDIR))) };
        }
    }
    let end = passed.pop().map(|(_, path)| path).unwrap_or_default();
    Ok(if end.is_empty() { b"/".to_vec() } else { end })
}

/// [`resolve_trusted`] to a directory in which nobody may put a new name either: one that a Python looks into for what
/// may be there.
pub fn resolve_trusted_directory(path: &[u8], trust: Trust) -> Result<Vec<u8>, TrustError> {
    let path = resolve_trusted(path, trust)?;
    let at = |errno| TrustError::System(path.clone(), errno);
    // No link is on the way any more, and nobody can put one there.
    let directory = c_string(&path).and_then(|path| io::open_path(&path)).map_err(at)?;
    check_entry(directory.as_fd(), c".", &path, trust, NameCreation::Refused)?;
    Ok(path)
}

fn c_string(path: &[u8]) -> Result<CString, Errno> {
    CString::new(path).map_err(|_| Errno(libc::EINVAL))
}

/// The names of a path, last first.
fn reversed_components(path: &[u8]) -> Vec<Vec<u8>> {
    crate::path::components(path).rev().map(<[u8]>::to_vec).collect()
}

/// Whether a directory is looked into for names that are not known beforehand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NameCreation {
    Refused,
    Allowed,
}

/// What one entry is, and whether COMMAND could change it.
fn check_entry(
    directory: BorrowedFd<'_>,
    name: &CStr,
    place: &[u8],
    trust: Trust,
    new: NameCreation,
) -> Result<Stat, TrustError> {
    let at = |errno| TrustError::System(place.to_vec(), errno);
    let pinned = fs::pin_at(directory, name).map_err(at)?;
    let stat = fs::stat(pinned.as_fd(), fs::Freshness::Asked).map_err(at)?;
    if trust == Trust::Any || filesystem::is_read_only_at(pinned.as_fd()).map_err(at)? {
        return Ok(stat);
    }
    let refused = |how: String| Err(TrustError::Writable(place.to_vec(), how));
    let own = credentials::user_ids().map_err(at)?.effective;
    // Its owner can open it to itself again. A link has no permissions: whoever may write its directory replaces it.
    if stat.uid == own {
        return refused(format!("belongs to COMMAND's user ({own})"));
    }
    if stat.uid != UserId(0) && stat.uid != OVERFLOW_USER {
        return refused(format!("belongs to user {}, not to root", stat.uid));
    }
    if stat.is_link() {
        return Ok(stat);
    }
    match fs::may_write_at(directory, name) {
        // Names of others stay as they are in a sticky directory, and each is looked at in its turn.
        Ok(()) if new == NameCreation::Allowed && stat.is_directory() && stat.mode & libc::S_ISVTX != 0 => Ok(stat),
        Ok(()) => refused("can be written by COMMAND's user".to_owned()),
        Err(Errno(libc::EACCES | libc::EROFS | libc::EPERM)) => Ok(stat),
        Err(errno) => Err(at(errno)),
    }
}

/// Checks everything in a directory that [`resolve_trusted_directory`] has come to, but what is in directories of these
/// names. On a read-only mount there is nothing to look for.
pub fn check_tree(top: &[u8], without: &[&[u8]], trust: Trust) -> Result<(), TrustError> {
    if trust == Trust::Any {
        return Ok(());
    }
    let mut waiting = vec![top.to_vec()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let at = |errno| TrustError::System(path.clone(), errno);
        let directory = c_string(&path).and_then(|path| io::open_directory(&path)).map_err(at)?;
        if filesystem::is_read_only_at(directory.as_fd()).map_err(at)? {
            continue;
        }
        let mut names = Vec::new();
        io::for_each_entry_of(directory.as_fd(), |name, _| names.push(name.to_vec())).map_err(at)?;
        seen += names.len();
        if seen > MAX_ENTRIES {
            return Err(at(Errno(libc::EFBIG)));
        }
        for name in names.into_iter().filter(|name| !matches!(name.as_slice(), b"." | b"..")) {
            let place = [path.as_slice(), b"/", &name].concat();
            let entry = c_string(&name).map_err(at)?;
            let stat = check_entry(directory.as_fd(), &entry, &place, trust, NameCreation::Refused)?;
            if stat.is_link() {
                // Where it leads nowhere, nobody but root can put something there.
                resolve_trusted(&place, trust)
                    .map(drop)
                    .or_else(|trouble| if trouble.is_not_found() { Ok(()) } else { Err(trouble) })?;
            } else if stat.is_directory() && !without.contains(&name.as_slice()) {
                waiting.push(place);
            }
        }
    }
    Ok(())
}

//! A volume's own path: opened component by component, no link followed, created where it is missing.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Error, Target};
use crate::path::{absolute_components, pin_directory};
use crate::sys::{Errno, UserId, fs};
use crate::text;

/// A path in a message, escaped.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownPath(PathBuf);

impl ShownPath {
    pub(super) fn of(path: &Path) -> Self {
        Self(path.into())
    }
}

impl fmt::Display for ShownPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::Escaped(self.0.as_os_str().as_bytes()).fmt(f)
    }
}

impl fmt::Debug for ShownPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The names of an absolute path below `/`.
pub(super) fn components(path: &Path) -> Result<Vec<CString>, Error> {
    let names = absolute_components(path.as_os_str().as_bytes()).filter(|names| !names.is_empty());
    names.ok_or_else(|| Error::Path(ShownPath::of(path)))
}

/// Pins the directory (`O_PATH`). Where it is missing, it and what leads to it is made, and the directory itself, not
/// what leads to it, is given to `creates_for`; without one the answer is `None`.
pub(super) fn open(path: &Path, creates_for: Option<&Target>) -> Result<Option<OwnedFd>, Error> {
    let names = components(path)?;
    let system = |act, at: &Path, errno| {
        let hint = hint(act, errno, at);
        Error::System { act, at: ShownPath::of(at), errno, hint }
    };
    let root = fs::open_root().map_err(|errno| system("open", Path::new("/"), errno))?;
    let pinned = pin_directory(root, &names, |parent, number, errno| {
        let way = names[..=number].iter().map(|name| OsStr::from_bytes(name.to_bytes()));
        let (name, at) = (&names[number], Path::new("/").join(way.collect::<PathBuf>()));
        match (errno, creates_for) {
            (Errno(libc::ENOENT), None) => Err(None),
            (Errno(libc::ENOENT), Some(target)) => {
                let owner = (number + 1 == names.len()).then_some(target);
                create(parent, name, owner).map_err(|errno| Some(system("create", &at, errno)))
            }
            (Errno(libc::ELOOP | libc::ENOTDIR), _) => Err(Some(not_a_directory(path, &at, parent, name))),
            (errno, _) => Err(Some(system("open", &at, errno))),
        }
    });
    match pinned {
        Err(Some(error)) => Err(error),
        pinned => Ok(pinned.ok()),
    }
}

fn create(parent: BorrowedFd<'_>, name: &CStr, owner: Option<&Target>) -> Result<OwnedFd, Errno> {
    match fs::make_directory_at(parent, name, 0o755) {
        // Somebody was faster: theirs is as good, and its owner is looked at like any other.
        Err(Errno(libc::EEXIST)) => return fs::pin_directory_at(parent, name),
        made => made?,
    }
    let directory = fs::pin_directory_at(parent, name)?;
    let stat = fs::stat(directory.as_fd(), fs::Freshness::Cached)?;
    if let Some(target) = owner.filter(|target| (stat.uid, stat.gid) != (target.uid, target.gid)) {
        // What cannot be given away is seen by who walks it or writes in it.
        let _ = fs::change_owner(directory.as_fd(), target.uid, target.gid);
    }
    Ok(directory)
}

fn not_a_directory(volume: &Path, at: &Path, parent: BorrowedFd<'_>, name: &CStr) -> Error {
    let mut buffer = [0; 4096];
    let (volume, at) = (ShownPath::of(volume), ShownPath::of(at));
    match fs::read_link_at(parent, name, &mut buffer) {
        Ok(to) => {
            let hint = hint_for_link(parent, name, &at);
            Error::Link { volume, to: ShownPath::of(Path::new(OsStr::from_bytes(to))), at, hint }
        }
        Err(_) => Error::NotDirectory { volume, at },
    }
}

/// A link of root's came with the image or from whoever starts it. Any other may be COMMAND's of an earlier start, in a
/// volume that lies around this one: it would have its aim named as a volume, and given to it.
fn hint_for_link(parent: BorrowedFd<'_>, name: &CStr, at: &ShownPath) -> String {
    let owner = fs::stat_at(parent, name).map(|stat| stat.uid);
    match owner {
        Ok(UserId(0)) => "use the directory that it points to".into(),
        Ok(UserId(uid)) => format!(
            "uid {uid} owns it: if you did not create it, a program in the container did; then do not use its target, remove it: docker run --rm --volumes-from CONTAINER --entrypoint rm IMAGE {at}"
        ),
        Err(_) => "remove it".into(),
    }
}

fn hint(act: &str, errno: Errno, at: &Path) -> String {
    match errno {
        Errno(libc::EROFS) => format!("mount a volume at {}, or drop --read-only", ShownPath::of(at)),
        Errno(libc::EACCES) if act == "open" => {
            "a parent directory is closed: chmod o+x it, or add --cap-add DAC_READ_SEARCH if only init is kept out"
                .into()
        }
        Errno(libc::EACCES | libc::EPERM) => {
            format!("create {} on the host and chown it to the app's user", ShownPath::of(at))
        }
        Errno(libc::ENOSPC | libc::EDQUOT) => "free space on the volume's disk".into(),
        _ => "check the mount and its filesystem".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_absolute_path_below_the_root_is_a_volume() {
        for path in ["", "data", "/", "//", "/.", "/data/../etc", "./data"] {
            assert!(components(Path::new(path)).is_err(), "{path}");
        }
    }
}

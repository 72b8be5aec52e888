//! ComfyUI-Manager's reboot, as its command line tool has it: whoever serves ComfyUI names a path in [`VARIABLE`];
//! Manager leaves `PATH.reboot` and ends with 0, and expects to be started again (`restart` in glob/manager_server.py).
//! Without the variable it executes itself, and what its nodes started lives on.

use crate::settings::Settings;
use crate::sys::fs::{self, Freshness, Stat};
use crate::sys::{Errno, UserId, credentials, io, random};
use log::warn;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// What Manager looks for.
const VARIABLE: &str = "__COMFY_CLI_SESSION__";
const SESSION: &str = "session";
/// Manager appends this.
const MARKER_NAME: &CStr = c"session.reboot";

/// Where COMMAND asks to be restarted: in a directory of its own that nobody knew before. Dropping it removes both.
pub struct Marker {
    directory: CString,
    /// What was made; another directory of that name is not ours.
    file_id: (u64, u64),
    owner: UserId,
}

impl Marker {
    /// Makes the place as the user that COMMAND is, in the first directory that it may write: tmpfs, volumes, /tmp.
    /// Errors: the kernel's for the last of them.
    pub fn create(settings: &Settings) -> Result<Self, Errno> {
        let owner = credentials::user_ids()?.effective;
        let mut number = [0; 8];
        random::fill(&mut number)?;
        let number = u64::from_ne_bytes(number);
        let mut answer = Err(Errno(libc::ENOENT));
        for place in settings.tmpfs.iter().chain(&settings.volumes).map(CString::as_c_str).chain([c"/tmp"]) {
            answer = Marker::create_in(place, number, owner);
            if answer.is_ok() {
                break;
            }
        }
        answer
    }

    fn create_in(place: &CStr, number: u64, owner: UserId) -> Result<Self, Errno> {
        let name = CString::new(format!(".takumi-{number:016x}")).unwrap_or_default();
        let directory = CString::new([place.to_bytes(), b"/", name.to_bytes()].concat()).unwrap_or_default();
        let place = io::open_path(place)?;
        fs::make_directory_at(place.as_fd(), &name, 0o700)?;
        let opened = fs::pin_directory_at(place.as_fd(), &name)?;
        let stat = fs::stat(opened.as_fd(), Freshness::Cached)?;
        if stat.uid != owner {
            return Err(Errno(libc::EPERM));
        }
        Ok(Marker { directory, file_id: file_id(&stat), owner })
    }

    /// For COMMAND's environment.
    pub fn variable(&self) -> CString {
        let parts = [VARIABLE.as_bytes(), b"=", self.directory.to_bytes(), b"/", SESSION.as_bytes()];
        CString::new(parts.concat()).unwrap_or_default()
    }

    /// Whether COMMAND asked for it; the request is removed: a plain file of its user's in the directory that was made.
    /// Allocates nothing.
    pub fn consume(&self) -> bool {
        let Some(directory) = self.open() else { return false };
        let Ok(stat) = fs::stat_at(directory.as_fd(), MARKER_NAME) else { return false };
        // One that stayed would be found again at the next end.
        let removed = fs::unlink_at(directory.as_fd(), MARKER_NAME);
        match (stat.is_regular() && stat.uid == self.owner, removed) {
            (true, Ok(())) => true,
            (false, _) => {
                warn!("the reboot marker is ignored: it is not a plain file of COMMAND's user");
                false
            }
            (true, Err(errno)) => {
                warn!("the reboot marker is ignored: cannot remove it: {errno}");
                false
            }
        }
    }

    fn open(&self) -> Option<OwnedFd> {
        let directory = io::open_path(&self.directory).ok()?;
        let stat = fs::stat(directory.as_fd(), Freshness::Cached).ok()?;
        (file_id(&stat) == self.file_id && stat.uid == self.owner).then_some(directory)
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        // On a volume it would stay for ever.
        if let Some(directory) = self.open() {
            let _ = fs::unlink_at(directory.as_fd(), MARKER_NAME);
            let _ = fs::remove_directory(&self.directory);
        }
    }
}

fn file_id(stat: &Stat) -> (u64, u64) {
    (stat.device, stat.inode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::path::PathBuf;

    fn marker(name: &str) -> (Marker, PathBuf) {
        let place = std::env::temp_dir().join(format!("takumi-test-reboot-{name}-{}", std::process::id()));
        std::fs::create_dir(&place).unwrap();
        let settings = Settings {
            tmpfs: vec![c"/nowhere".into(), CString::new(place.to_str().unwrap()).unwrap()],
            ..Settings::default()
        };
        (Marker::create(&settings).unwrap(), place)
    }

    fn path(marker: &Marker) -> PathBuf {
        let variable = marker.variable().into_string().unwrap();
        PathBuf::from(format!("{}.reboot", variable.strip_prefix("__COMFY_CLI_SESSION__=").unwrap()))
    }

    #[test]
    fn a_plain_file_is_a_wish_and_is_taken_once() {
        let (marker, place) = marker("plain");
        assert_eq!(std::fs::metadata(path(&marker).parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert!(!marker.consume());
        std::fs::write(path(&marker), "").unwrap();
        assert!(marker.consume() && !marker.consume());
        drop(marker);
        // Nothing is left of it, so the place can go.
        std::fs::remove_dir(place).unwrap();
    }

    #[test]
    fn links_and_other_directories_are_no_wish() {
        let (marker, place) = marker("planted");
        let target = place.join("target");
        std::fs::write(&target, "keep").unwrap();
        symlink(&target, path(&marker)).unwrap();
        assert!(!marker.consume() && target.exists() && path(&marker).symlink_metadata().is_err());

        let directory = path(&marker).parent().unwrap().to_path_buf();
        std::fs::rename(&directory, place.join("other")).unwrap();
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(path(&marker), "").unwrap();
        assert!(!marker.consume() && path(&marker).exists());
        drop(marker);
        std::fs::remove_dir_all(place).unwrap();
    }
}

//! Paths by their names, and the way down to a directory that no link bends.

use crate::sys::{Errno, fs};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The directories of the system's own programs, and nobody else's, as PATH has them.
pub const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub fn program_directories() -> impl Iterator<Item = &'static str> {
    SYSTEM_PATH.split(':')
}

/// The names in a path.
pub fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."))
}

/// The names of an absolute path without `..`; `None` for any other, and for one with a NUL in it.
pub fn absolute_components(path: &[u8]) -> Option<Vec<CString>> {
    let name = |name: &[u8]| CString::new(name).ok().filter(|name| name.as_bytes() != b"..");
    path.starts_with(b"/").then(|| components(path).map(name).collect()).flatten()
}

/// Whether a path is a directory or lies in it, by its names alone.
pub fn is_within(path: &[u8], directory: &[u8]) -> bool {
    let mut names = components(path);
    components(directory).all(|name| names.next() == Some(name))
}

/// Holds on to (`O_PATH`) the directory that these names lead to from `root`, following no link: whoever may write a
/// directory on the way could have planted one. `otherwise`: what is taken for the name of this number, which cannot be
/// held, or why nothing is.
pub fn pin_directory<Why>(
    root: OwnedFd,
    names: &[CString],
    mut otherwise: impl FnMut(BorrowedFd<'_>, usize, Errno) -> Result<OwnedFd, Why>,
) -> Result<OwnedFd, Why> {
    names.iter().enumerate().try_fold(root, |directory, (number, name)| {
        fs::pin_directory_at(directory.as_fd(), name).or_else(|errno| otherwise(directory.as_fd(), number, errno))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_absolute_path_that_goes_down_has_names() {
        for path in ["", "data", "./data", "/data/../etc", "/da\0ta"] {
            assert_eq!(absolute_components(path.as_bytes()), None, "{path}");
        }
        assert_eq!(absolute_components(b"//data/./models/"), Some(vec![c"data".to_owned(), c"models".to_owned()]));
        assert_eq!(absolute_components(b"/."), Some(vec![]));
    }

    #[test]
    fn within_means_within_a_whole_name() {
        for (path, directory) in [("/app/x", "/app"), ("/app", "/app/"), ("/app", "/"), ("//app/./x", "/app")] {
            assert!(is_within(path.as_bytes(), directory.as_bytes()), "{path} {directory}");
        }
        assert!(!is_within(b"/apps", b"/app") && !is_within(b"/", b"/app"));
    }

    #[test]
    fn the_systems_programs_are_in_six_places() {
        assert_eq!(
            (program_directories().next(), program_directories().last(), program_directories().count()),
            (Some("/usr/local/sbin"), Some("/bin"), 6)
        );
    }

    #[test]
    fn a_link_is_not_followed() {
        let top = std::env::temp_dir().join(format!("takumi-test-pin-{}", std::process::id()));
        std::fs::create_dir_all(top.join("real/below")).unwrap();
        let _ = std::os::unix::fs::symlink("real", top.join("link"));
        let pinned = |name: &str| {
            let names = absolute_components(top.join(name).to_str().unwrap().as_bytes()).unwrap();
            pin_directory(fs::open_root().unwrap(), &names, |_, number, _| Err(names.len() - number)).map(drop)
        };
        let answers = ["real/below", "link", "link/below", "none"].map(pinned);
        let _ = std::fs::remove_dir_all(&top);
        assert_eq!(answers, [Ok(()), Err(1), Err(2), Err(1)]);
    }
}

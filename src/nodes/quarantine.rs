//! Where nodes wait that nobody approved: beside the others, under a name that ComfyUI does not load. Nothing is
//! deleted or copied.

use super::tree;
use crate::sys::{Errno, fs, io};
use crate::text::EscapedFull;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// In TAKUMI_NODES. ComfyUI skips what ends in `.disabled`.
pub const DIRECTORY: &CStr = c".quarantine.disabled";
/// Behind the name of a virtual environment.
const SUFFIX: &str = ".quarantine";
/// Names that are tried where the first is taken.
const MAX_TRIES: u32 = 100;

/// Whether a virtual environment of that name was moved aside: nobody's Python looks for it there.
pub fn is_quarantined(name: &[u8]) -> bool {
    let number = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let unnumbered = name[..name.len() - number].strip_suffix(b".").filter(|_| number > 0).unwrap_or(name);
    unnumbered.ends_with(SUFFIX.as_bytes())
}

/// What came of moving one: its name, and where it is now or the kernel's word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    pub name: String,
    pub result: Result<String, Errno>,
}

/// Moves nodes, by their escaped names, out of ComfyUI's sight. Names with a slash are virtual environments.
pub fn quarantine(directory: &CStr, names: &[String]) -> Vec<Move> {
    move_all(names, |name| match name.starts_with('/') {
        true => quarantine_environment(name),
        false => quarantine_node(directory, name),
    })
}

/// Moves nodes back to where they were. One whose name is another node's by now stays in quarantine.
pub fn restore(directory: &CStr, names: &[String]) -> Vec<Move> {
    move_all(names, |name| restore_node(directory, name))
}

fn move_all(names: &[String], each: impl Fn(&str) -> Result<String, Errno>) -> Vec<Move> {
    names.iter().map(|name| Move { name: name.clone(), result: each(name) }).collect()
}

fn quarantine_node(directory: &CStr, name: &str) -> Result<String, Errno> {
    let (nodes, quarantined) = open(directory)?;
    let entry = find(&nodes, name)?;
    let new = rename_to_free_name(&nodes, &entry, &quarantined, entry.to_bytes())?;
    Ok(format!("{}/{}/{}", directory.to_string_lossy(), DIRECTORY.to_string_lossy(), EscapedFull(new.to_bytes())))
}

fn restore_node(directory: &CStr, name: &str) -> Result<String, Errno> {
    let (nodes, quarantined) = open(directory)?;
    let entry = find(&quarantined, name)?;
    fs::rename_at(quarantined.as_fd(), &entry, nodes.as_fd(), &entry, false)?;
    Ok(format!("{}/{}", directory.to_string_lossy(), EscapedFull(entry.to_bytes())))
}

/// The directory of nodes, and the quarantine in it.
fn open(directory: &CStr) -> Result<(OwnedFd, OwnedFd), Errno> {
    let nodes = io::open_path(directory)?;
    match fs::make_directory_at(nodes.as_fd(), DIRECTORY, 0o700) {
        Ok(()) | Err(Errno(libc::EEXIST)) => {}
        Err(errno) => return Err(errno),
    }
    let quarantined = fs::pin_directory_at(nodes.as_fd(), DIRECTORY)?;
    Ok((nodes, quarantined))
}

fn find(directory: &OwnedFd, name: &str) -> Result<CString, Errno> {
    let mut entries = tree::list_nodes(directory)?.into_iter();
    entries.find(|entry| EscapedFull(entry.to_bytes()).to_string() == name).ok_or(Errno(libc::ENOENT))
}

fn quarantine_environment(path: &str) -> Result<String, Errno> {
    let (parent, name) = path.rsplit_once('/').ok_or(Errno(libc::EINVAL))?;
    let c = |text: &str| CString::new(text).map_err(|_| Errno(libc::EINVAL));
    let directory = io::open_path(&c(if parent.is_empty() { "/" } else { parent })?)?;
    let new = rename_to_free_name(&directory, &c(name)?, &directory, format!("{name}{SUFFIX}").as_bytes())?;
    Ok(format!("{parent}/{}", EscapedFull(new.to_bytes())))
}

/// Under the first name that is free: NAME, NAME.2, NAME.3 …
fn rename_to_free_name(from: &OwnedFd, name: &CStr, to: &OwnedFd, wanted: &[u8]) -> Result<CString, Errno> {
    for number in 1..=MAX_TRIES {
        let new = match number {
            1 => wanted.to_vec(),
            _ => [wanted, format!(".{number}").as_bytes()].concat(),
        };
        let new = CString::new(new).map_err(|_| Errno(libc::EINVAL))?;
        match fs::rename_at(from.as_fd(), name, to.as_fd(), &new, false) {
            Ok(()) => return Ok(new),
            Err(Errno(libc::EEXIST)) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno(libc::EEXIST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn place(name: &str) -> (PathBuf, CString) {
        let place = std::env::temp_dir().join(format!("takumi-test-quarantine-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir(&place).unwrap();
        let directory = CString::new(place.to_str().unwrap()).unwrap();
        (place, directory)
    }

    #[test]
    fn aside_and_back_and_never_over_another() {
        let (place, directory) = place("nodes");
        let names = ["bad".to_string()];
        for content in ["first", "second"] {
            std::fs::create_dir(place.join("bad")).unwrap();
            std::fs::write(place.join("bad/x.py"), content).unwrap();
            assert!(quarantine(&directory, &names)[0].result.is_ok());
            assert!(!place.join("bad").exists());
        }
        let aside = place.join(DIRECTORY.to_str().unwrap());
        assert_eq!(std::fs::read(aside.join("bad/x.py")).unwrap(), b"first");
        assert_eq!(std::fs::read(aside.join("bad.2/x.py")).unwrap(), b"second");

        std::fs::create_dir(place.join("bad")).unwrap();
        assert_eq!(restore(&directory, &names)[0].result, Err(Errno(libc::EEXIST)));
        std::fs::remove_dir(place.join("bad")).unwrap();
        let back = restore(&directory, &names)[0].result.clone().unwrap();
        assert_eq!(PathBuf::from(&back), place.join("bad"));
        assert_eq!(std::fs::read(place.join("bad/x.py")).unwrap(), b"first");
        assert_eq!(quarantine(&directory, &["none".to_string()])[0].result, Err(Errno(libc::ENOENT)));
        std::fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn an_environment_that_was_moved_is_known_by_its_name() {
        assert!([&b"venv.quarantine"[..], b"venv.quarantine.2", b".quarantine"].into_iter().all(is_quarantined));
        assert!(
            ![&b"venv"[..], b"venv.2", b"quarantine", b"x.quarantine.", b"x.quarantine2", b""]
                .into_iter()
                .any(is_quarantined)
        );
    }

    #[test]
    fn a_planted_link_leads_nowhere() {
        let (place, directory) = place("link");
        let elsewhere = place.join("elsewhere");
        std::fs::create_dir_all(place.join("bad")).unwrap();
        std::fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, place.join(DIRECTORY.to_str().unwrap())).unwrap();
        assert!(quarantine(&directory, &["bad".to_string()])[0].result.is_err());
        assert!(place.join("bad").exists() && elsewhere.read_dir().unwrap().next().is_none());
        std::fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn an_environment_keeps_its_place_under_another_name() {
        let (place, directory) = place("environment");
        std::fs::create_dir(place.join("venv")).unwrap();
        let path = place.join("venv").to_str().unwrap().to_owned();
        let moved = quarantine(&directory, std::slice::from_ref(&path));
        assert_eq!(moved[0].result, Ok(format!("{path}.quarantine")));
        assert!(place.join("venv.quarantine").is_dir());
        std::fs::remove_dir_all(place).unwrap();
    }
}

//! A virtual environment that COMMAND can write: what in it runs by itself, at every start of Python.

use super::super::Place;
use super::super::ability::Ability;
use super::super::known;
use super::super::tree::{File, Kind};
use super::{Content, Seen, binary, last_name, pth};
use crate::sys::{filesystem, fs, io};
use std::ffi::CString;
use std::os::fd::AsFd;

/// The largest `.pth` or METADATA that is read, and how much of all of them together.
const MOST: usize = 1 << 20;
const MOST_OF_ALL: u64 = 64 << 20;

/// Everything in an environment at `root` that runs by itself or is known to be bad. `fixed`: COMMAND cannot change what lies there.
pub(super) fn look(root: &[u8], files: &[File], content: Content, fixed: &dyn Fn(&[u8]) -> bool) -> Vec<Place> {
    let mut seen = Seen::default();
    let mut left = MOST_OF_ALL;
    for file in files {
        let name = last_name(&file.path);
        let Kind::Plain { begins, .. } = &file.kind else {
            look_at_link(file, &mut seen);
            continue;
        };
        // Only those are taken in that have the name of one of the image's (see `overlay`).
        if file.path.starts_with(b"bin/") {
            seen.add_file(&file.path, Ability::ReplacesPrograms, "");
        }
        if let Some(why) = known::bad_file(name) {
            seen.add_file(&file.path, Ability::KnownBad, &why);
        }
        if let Some((Ability::CompiledPython, detail)) = binary::look(&file.path, begins) {
            seen.add_file(&file.path, Ability::CompiledPython, detail);
        }
        let module = name.split(|&byte| byte == b'.').next().unwrap_or_default();
        if matches!(module, b"sitecustomize" | b"usercustomize") || customizes(&file.path) {
            seen.add_file(&file.path, Ability::RunsWithPython, "");
        }
        let path_file = name.ends_with(b".pth");
        let metadata = name == b"METADATA" || name == b"PKG-INFO";
        if !path_file && !metadata {
            continue;
        }
        let text = if left >= file.size { content(file, MOST).ok() } else { None };
        left = left.saturating_sub(file.size);
        match text {
            Some(text) if path_file => look_at_path_file(root, file, &text, fixed, &mut seen),
            Some(text) => look_at_metadata(file, &text, &mut seen),
            None if path_file => {
                seen.add_file(&file.path, Ability::RunsWithPython, "not read: too large or not readable")
            }
            None => {}
        }
    }
    seen.places
}

/// `sitecustomize/__init__.py`: a package of that name is imported as well.
fn customizes(path: &[u8]) -> bool {
    let mut parts = path.rsplit(|&byte| byte == b'/');
    let first = parts.next().unwrap_or_default().starts_with(b"__init__.");
    first && matches!(parts.next(), Some(b"sitecustomize" | b"usercustomize"))
}

/// The links of `bin/` lead to the Python below, which is right; one that is run at a start is not.
fn look_at_link(file: &File, seen: &mut Seen) {
    let name = last_name(&file.path);
    let module = name.split(|&byte| byte == b'.').next().unwrap_or_default();
    if name.ends_with(b".pth") || matches!(module, b"sitecustomize" | b"usercustomize") {
        let target = if let Kind::Link(target) = &file.kind { &target[..] } else { b"no file" };
        seen.add_file(&file.path, Ability::RunsWithPython, &String::from_utf8_lossy(target));
    }
}

fn look_at_path_file(root: &[u8], file: &File, text: &[u8], fixed: &dyn Fn(&[u8]) -> bool, seen: &mut Seen) {
    if text.contains(&0) {
        return seen.add_file(&file.path, Ability::RunsWithPython, "is no text");
    }
    for (line, found) in pth::look(text) {
        let (ability, what) = match found {
            pth::Line::Runs(code) if !pth::well_known(code, fixed) => (Ability::RunsWithPython, code),
            pth::Line::LeadsTo(path) if leads_out(root, &file.path, path) && !fixed(path) => {
                (Ability::LeavesNode, path)
            }
            pth::Line::Runs(_) | pth::Line::LeadsTo(_) => continue,
        };
        seen.add(&file.path, (ability, line, String::from_utf8_lossy(what).into_owned()));
    }
}

/// Whether a line of a `.pth` file leads out of the environment. Absolute paths may name the environment itself.
fn leads_out(root: &[u8], path_file: &[u8], line: &[u8]) -> bool {
    let root = root.strip_suffix(b"/").unwrap_or(root);
    match line.strip_prefix(root) {
        Some(rest) if rest.is_empty() || rest.starts_with(b"/") => {
            let rest = rest.trim_ascii_start();
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            binary::leaves(b"", rest)
        }
        _ => binary::leaves(path_file, line),
    }
}

/// `Name:` and `Version:` of an installed package.
fn look_at_metadata(file: &File, text: &[u8], seen: &mut Seen) {
    let head = text.split(|&byte| byte == b'\n').take(200).take_while(|line| !line.trim_ascii().is_empty());
    let (mut name, mut version) = (None, None);
    for line in head {
        if let Some(value) = line.strip_prefix(b"Name:") {
            name.get_or_insert_with(|| String::from_utf8_lossy(value).trim().to_string());
        } else if let Some(value) = line.strip_prefix(b"Version:") {
            version.get_or_insert_with(|| String::from_utf8_lossy(value).trim().to_string());
        }
    }
    let by_head = name.and_then(|name| known::bad(&name, version.as_deref()));
    if let Some(why) = by_head.or_else(|| by_directory(&file.path)) {
        seen.add_file(&file.path, Ability::KnownBad, &why);
    }
}

/// The same by `NAME-VERSION.dist-info/METADATA`.
fn by_directory(path: &[u8]) -> Option<String> {
    let directory = path.rsplit(|&byte| byte == b'/').nth(1)?;
    let directory = std::str::from_utf8(directory).ok()?.strip_suffix(".dist-info")?;
    let (name, version) = directory.split_once('-')?;
    known::bad(name, Some(version))
}

/// Whether who asks cannot change what lies at an absolute path: it is on a read-only mount, or the directory is not his.
pub(super) fn fixed(path: &[u8]) -> bool {
    let Ok(path) = CString::new(path) else { return false };
    if !path.to_bytes().starts_with(b"/") {
        return false;
    }
    let read_only = filesystem::is_read_only(&path).unwrap_or(false);
    read_only || io::open_path(&path).is_ok_and(|directory| fs::may_write(directory.as_fd()).is_err())
}

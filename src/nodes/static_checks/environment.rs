//! A virtual environment that COMMAND can write: what in it runs by itself, at every start of Python.

use super::super::Occurrence;
use super::super::behaviour::Behaviour;
use super::super::denylist;
use super::super::tree::{File, FileKind};
use super::{Occurrences, ReadContent, binary, file_name, pth};
use crate::sys::{filesystem, fs, io};
use std::ffi::CString;
use std::os::fd::AsFd;

/// The largest `.pth` or METADATA that is read, and how much of all of them together.
const MAX_FILE_BYTES: usize = 1 << 20;
const MAX_TOTAL_BYTES: u64 = 64 << 20;

/// Everything in an environment at `root` that runs by itself or is known to be bad. `fixed`: COMMAND cannot change
/// what lies there.
pub(super) fn check(
    root: &[u8],
    files: &[File],
    content: ReadContent,
    fixed: &dyn Fn(&[u8]) -> bool,
) -> Vec<Occurrence> {
    let mut found = Occurrences::default();
    let mut left = MAX_TOTAL_BYTES;
    for file in files {
        let name = file_name(&file.path);
        let FileKind::Plain { magic, .. } = &file.kind else {
            check_link(file, &mut found);
            continue;
        };
        // Only those are taken in that have the name of one of the image's (see `virtual_env`).
        if file.path.starts_with(b"bin/") {
            found.add_file(&file.path, Behaviour::ReplacesPrograms, "");
        }
        if let Some(why) = denylist::find_file(name) {
            found.add_file(&file.path, Behaviour::KnownBad, &why);
        }
        if let Some((Behaviour::CompiledPython, detail)) = binary::classify(&file.path, magic) {
            found.add_file(&file.path, Behaviour::CompiledPython, detail);
        }
        let module = name.split(|&byte| byte == b'.').next().unwrap_or_default();
        if matches!(module, b"sitecustomize" | b"usercustomize") || is_customization_package(&file.path) {
            found.add_file(&file.path, Behaviour::RunsWithPython, "");
        }
        let path_file = name.ends_with(b".pth");
        let metadata = name == b"METADATA" || name == b"PKG-INFO";
        if !path_file && !metadata {
            continue;
        }
        let text = if left >= file.size { content(file, MAX_FILE_BYTES).ok() } else { None };
        left = left.saturating_sub(file.size);
        match text {
            Some(text) if path_file => check_pth(root, file, &text, fixed, &mut found),
            Some(text) => check_metadata(file, &text, &mut found),
            None if path_file => {
                found.add_file(&file.path, Behaviour::RunsWithPython, "not read: too large or not readable")
            }
            None => {}
        }
    }
    found.places
}

/// `sitecustomize/__init__.py`: a package of that name is imported as well.
fn is_customization_package(path: &[u8]) -> bool {
    let mut parts = path.rsplit(|&byte| byte == b'/');
    let first = parts.next().unwrap_or_default().starts_with(b"__init__.");
    first && matches!(parts.next(), Some(b"sitecustomize" | b"usercustomize"))
}

/// The links of `bin/` lead to the Python below, which is right; one that is run at a start is not.
fn check_link(file: &File, found: &mut Occurrences) {
    let name = file_name(&file.path);
    let module = name.split(|&byte| byte == b'.').next().unwrap_or_default();
    if name.ends_with(b".pth") || matches!(module, b"sitecustomize" | b"usercustomize") {
        let target = if let FileKind::Link(target) = &file.kind { &target[..] } else { b"no file" };
        found.add_file(&file.path, Behaviour::RunsWithPython, &String::from_utf8_lossy(target));
    }
}

fn check_pth(root: &[u8], file: &File, text: &[u8], fixed: &dyn Fn(&[u8]) -> bool, found: &mut Occurrences) {
    if text.contains(&0) {
        return found.add_file(&file.path, Behaviour::RunsWithPython, "is no text");
    }
    for (line, entry) in pth::parse(text) {
        let (behaviour, what) = match entry {
            pth::PthLine::Executes(code) if !pth::is_well_known(code, fixed) => (Behaviour::RunsWithPython, code),
            pth::PthLine::AddsPath(path) if escapes_environment(root, &file.path, path) && !fixed(path) => {
                (Behaviour::LeavesNode, path)
            }
            pth::PthLine::Executes(_) | pth::PthLine::AddsPath(_) => continue,
        };
        found.add(&file.path, (behaviour, line, String::from_utf8_lossy(what).into_owned()));
    }
}

/// Whether a line of a `.pth` file leads out of the environment. Absolute paths may name the environment itself.
fn escapes_environment(root: &[u8], path_file: &[u8], line: &[u8]) -> bool {
    let root = root.strip_suffix(b"/").unwrap_or(root);
    match line.strip_prefix(root) {
        Some(rest) if rest.is_empty() || rest.starts_with(b"/") => {
            let rest = rest.trim_ascii_start();
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            binary::escapes_directory(b"", rest)
        }
        _ => binary::escapes_directory(path_file, line),
    }
}

/// `Name:` and `Version:` of an installed package.
fn check_metadata(file: &File, text: &[u8], found: &mut Occurrences) {
    let head = text.split(|&byte| byte == b'\n').take(200).take_while(|line| !line.trim_ascii().is_empty());
    let (mut name, mut version) = (None, None);
    for line in head {
        if let Some(value) = line.strip_prefix(b"Name:") {
            name.get_or_insert_with(|| String::from_utf8_lossy(value).trim().to_string());
        } else if let Some(value) = line.strip_prefix(b"Version:") {
            version.get_or_insert_with(|| String::from_utf8_lossy(value).trim().to_string());
        }
    }
    let by_head = name.and_then(|name| denylist::find_package(&name, version.as_deref()));
    if let Some(why) = by_head.or_else(|| known_bad_by_directory(&file.path)) {
        found.add_file(&file.path, Behaviour::KnownBad, &why);
    }
}

/// The same by `NAME-VERSION.dist-info/METADATA`.
fn known_bad_by_directory(path: &[u8]) -> Option<String> {
    let directory = path.rsplit(|&byte| byte == b'/').nth(1)?;
    let directory = std::str::from_utf8(directory).ok()?.strip_suffix(".dist-info")?;
    let (name, version) = directory.split_once('-')?;
    denylist::find_package(name, Some(version))
}

/// Whether who asks cannot change what lies at an absolute path: it is on a read-only mount, or the directory is not
/// his.
pub(super) fn is_immutable(path: &[u8]) -> bool {
    let Ok(path) = CString::new(path) else { return false };
    if !path.to_bytes().starts_with(b"/") {
        return false;
    }
    let read_only = filesystem::is_read_only(&path).unwrap_or(false);
    read_only || io::open_path(&path).is_ok_and(|directory| fs::may_write(directory.as_fd()).is_err())
}

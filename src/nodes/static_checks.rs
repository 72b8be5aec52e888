//! What a scanner of Python does not look at: requirements, hooks, native code, links, archives.
//!
//! JavaScript is not looked at: it runs in the browser, and every second node brings some.

mod binary;
mod environment;
mod project;
mod pth;
mod requirements;
mod text;

use super::Occurrence;
use super::behaviour::Behaviour;
use super::denylist;
use super::tree::{File, FileKind, Tree};
use crate::sys::Errno;
use crate::text::Escaped;
use std::collections::BTreeMap;
use text::Indicator;

/// Everything of that kind in a node.
pub fn check_node(tree: &Tree) -> Vec<Occurrence> {
    check_files(tree.name.to_bytes(), &tree.files, &|file, most| tree.read_content(file, most))
}

/// The same for a virtual environment's code that runs by itself (see [`super::virtual_env`]).
pub fn check_environment(tree: &Tree) -> Vec<Occurrence> {
    environment::check(
        tree.name.to_bytes(),
        &tree.files,
        &|file, most| tree.read_content(file, most),
        &environment::is_immutable,
    )
}

/// Reads a file as far as so many bytes, see [`Tree::read_content`].
type ReadContent<'a> = &'a dyn Fn(&File, usize) -> Result<Vec<u8>, Errno>;

/// The largest list of requirements.
const MAX_LIST_BYTES: usize = 1 << 20;

/// The largest archive whose names are read, and how many bytes of archives of one node.
const MAX_ARCHIVE_BYTES: usize = 16 << 20;
const MAX_ARCHIVE_BYTES_PER_NODE: u64 = 64 << 20;

/// How many places are kept of each behaviour: a node that shows more shows nothing more.
const MAX_OCCURRENCES: u32 = 1000;

/// How many bytes of what stands somewhere a place repeats.
const MAX_DETAIL_BYTES: usize = 120;

/// Occurrences so far, and how many of each behaviour.
#[derive(Default)]
struct Occurrences {
    places: Vec<Occurrence>,
    counts: BTreeMap<Behaviour, u32>,
}

impl Occurrences {
    fn add(&mut self, file: &[u8], (behaviour, line, detail): Indicator) {
        let count = self.counts.entry(behaviour).or_default();
        if *count >= MAX_OCCURRENCES {
            return;
        }
        *count += 1;
        self.places.push(Occurrence {
            behaviour,
            file: Escaped(file).to_string(),
            line: (line > 0).then_some(line),
            detail: (!detail.is_empty()).then(|| excerpt(&detail)),
            severity: None,
        });
    }

    /// Of a file as a whole.
    fn add_file(&mut self, file: &[u8], behaviour: Behaviour, detail: &str) {
        self.add(file, (behaviour, 0, detail.to_string()));
    }
}

/// A stranger's words, cut and escaped.
fn excerpt(detail: &str) -> String {
    let detail = detail.trim();
    match detail.char_indices().find(|(at, _)| *at >= MAX_DETAIL_BYTES) {
        Some((end, _)) if !detail.contains("https://github.com/") => {
            format!("{}…", Escaped(detail.get(..end).unwrap_or_default().as_bytes()))
        }
        _ => Escaped(detail.as_bytes()).to_string(),
    }
}

fn check_files(name: &[u8], files: &[File], content: ReadContent) -> Vec<Occurrence> {
    let mut found = Occurrences::default();
    if let Some(why) = std::str::from_utf8(name).ok().and_then(denylist::find_node) {
        found.add_file(name, Behaviour::KnownBad, &why);
    }
    let mut archives = MAX_ARCHIVE_BYTES_PER_NODE;
    for file in files {
        match &file.kind {
            FileKind::Link(target) if binary::escapes_directory(&file.path, target) => {
                found.add_file(&file.path, Behaviour::LeavesNode, &String::from_utf8_lossy(target));
            }
            FileKind::Link(_) => {}
            FileKind::Other => found.add_file(&file.path, Behaviour::LeavesNode, "a socket, a pipe or a device"),
            FileKind::Plain { magic, .. } => {
                check_name_and_magic(file, magic, &mut found);
                if binary::may_be_archive(magic) && archives >= file.size {
                    archives -= file.size;
                    if let Some(indicator) =
                        content(file, MAX_ARCHIVE_BYTES).ok().as_deref().and_then(binary::check_archive)
                    {
                        found.add(&file.path, indicator);
                    }
                } else {
                    check_package_lists(file, content, &mut found);
                }
            }
        }
    }
    found.places
}

/// Scripts at a node's top that ComfyUI-Manager runs by their names (its manager_core.py).
const MANAGER_HOOKS: &[&[u8]] = &[b"install.py", b"uninstall.py", b"enable.py", b"disable.py"];

/// What the name and the first bytes tell.
fn check_name_and_magic(file: &File, magic: &[u8; 8], found: &mut Occurrences) {
    if MANAGER_HOOKS.contains(&&file.path[..]) {
        found.add_file(&file.path, Behaviour::RunsAtInstall, "");
    }
    if file.path == b"prestartup_script.py" {
        found.add_file(&file.path, Behaviour::RunsBeforeComfyui, "");
    }
    if let Some((behaviour, detail)) = binary::classify(&file.path, magic) {
        found.add_file(&file.path, behaviour, detail);
    }
    if let Some(why) = denylist::find_file(file_name(&file.path)) {
        found.add_file(&file.path, Behaviour::KnownBad, &why);
    }
}

/// Requirements in their several forms, and `.pth` files, which are weights of models nearly always.
fn check_package_lists(file: &File, content: ReadContent, found: &mut Occurrences) {
    let name = file_name(&file.path).to_ascii_lowercase();
    let mut add = |text: Result<Vec<u8>, Errno>, check: fn(&[u8], &mut dyn FnMut(Indicator))| match text {
        Ok(text) => check(&text, &mut |indicator| found.add(&file.path, indicator)),
        Err(_) => found.add_file(&file.path, Behaviour::PackagesFromElsewhere, "not read: too large or not readable"),
    };
    if requirements::is_requirements_file(&file.path) {
        add(content(file, MAX_LIST_BYTES), requirements::check);
    } else if name == b"pyproject.toml" {
        add(content(file, MAX_LIST_BYTES), project::check);
    } else if name.ends_with(b".pth") && file.size <= MAX_LIST_BYTES as u64 {
        let text = content(file, MAX_LIST_BYTES).unwrap_or_default();
        for (line, entry) in pth::parse(&text) {
            if let pth::PthLine::Executes(code) = entry {
                found.add(&file.path, (Behaviour::RunsWithPython, line, String::from_utf8_lossy(code).into_owned()));
            }
        }
    }
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;

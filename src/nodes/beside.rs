//! What a scanner of Python does not look at: requirements, hooks, native code, links, archives.
//!
//! JavaScript is not looked at: it runs in the browser, and every second node brings some.

mod binary;
mod environment;
mod project;
mod pth;
mod requirements;
mod text;

use super::Place;
use super::ability::Ability;
use super::known;
use super::tree::{File, Kind, Tree};
use crate::sys::Errno;
use crate::text::Escaped;
use std::collections::BTreeMap;
use text::Sign;

/// Everything of that kind in a node.
pub fn look(tree: &Tree) -> Vec<Place> {
    look_at(tree.name.to_bytes(), &tree.files, &|file, most| tree.content(file, most))
}

/// The same for a virtual environment's code that runs by itself (see [`super::overlay`]).
pub fn look_at_environment(tree: &Tree) -> Vec<Place> {
    environment::look(tree.name.to_bytes(), &tree.files, &|file, most| tree.content(file, most), &environment::fixed)
}

/// Reads a file as far as so many bytes, see [`Tree::content`].
type Content<'a> = &'a dyn Fn(&File, usize) -> Result<Vec<u8>, Errno>;

/// The largest list of requirements.
const MOST_LIST: usize = 1 << 20;

/// The largest archive whose names are read, and how many bytes of archives of one node.
const MOST_ARCHIVE: usize = 16 << 20;
const MOST_ARCHIVES_OF_NODE: u64 = 64 << 20;

/// How many places are kept of each ability: a node that shows more shows nothing more.
const MOST_PLACES: u32 = 1000;

/// How many bytes of what stands somewhere a place repeats.
const MOST_DETAIL: usize = 120;

/// What was seen so far.
#[derive(Default)]
struct Seen {
    places: Vec<Place>,
    counts: BTreeMap<Ability, u32>,
}

impl Seen {
    fn add(&mut self, file: &[u8], (ability, line, detail): Sign) {
        let count = self.counts.entry(ability).or_default();
        if *count >= MOST_PLACES {
            return;
        }
        *count += 1;
        self.places.push(Place {
            ability,
            file: Escaped(file).to_string(),
            line: (line > 0).then_some(line),
            detail: (!detail.is_empty()).then(|| words_of(&detail)),
            severity: None,
        });
    }

    /// Of a file as a whole.
    fn add_file(&mut self, file: &[u8], ability: Ability, detail: &str) {
        self.add(file, (ability, 0, detail.to_string()));
    }
}

/// A stranger's words, cut and escaped.
fn words_of(detail: &str) -> String {
    let detail = detail.trim();
    match detail.char_indices().find(|(at, _)| *at >= MOST_DETAIL) {
        Some((end, _)) if !detail.contains("https://github.com/") => {
            format!("{}…", Escaped(detail.get(..end).unwrap_or_default().as_bytes()))
        }
        _ => Escaped(detail.as_bytes()).to_string(),
    }
}

fn look_at(name: &[u8], files: &[File], content: Content) -> Vec<Place> {
    let mut seen = Seen::default();
    if let Some(why) = std::str::from_utf8(name).ok().and_then(known::bad_node) {
        seen.add_file(name, Ability::KnownBad, &why);
    }
    let mut archives = MOST_ARCHIVES_OF_NODE;
    for file in files {
        match &file.kind {
            Kind::Link(target) if binary::leaves(&file.path, target) => {
                seen.add_file(&file.path, Ability::LeavesNode, &String::from_utf8_lossy(target));
            }
            Kind::Link(_) => {}
            Kind::Other => seen.add_file(&file.path, Ability::LeavesNode, "a socket, a pipe or a device"),
            Kind::Plain { begins, .. } => {
                look_at_name(file, begins, &mut seen);
                if binary::may_be_archive(begins) && archives >= file.size {
                    archives -= file.size;
                    if let Some(sign) = content(file, MOST_ARCHIVE).ok().as_deref().and_then(binary::look_at_archive) {
                        seen.add(&file.path, sign);
                    }
                } else {
                    look_at_list(file, content, &mut seen);
                }
            }
        }
    }
    seen.places
}

/// Scripts at a node's top that ComfyUI-Manager runs by their names (its manager_core.py).
const HOOKS: &[&[u8]] = &[b"install.py", b"uninstall.py", b"enable.py", b"disable.py"];

/// What the name and the first bytes tell.
fn look_at_name(file: &File, begins: &[u8; 8], seen: &mut Seen) {
    if HOOKS.contains(&&file.path[..]) {
        seen.add_file(&file.path, Ability::RunsAtInstall, "");
    }
    if file.path == b"prestartup_script.py" {
        seen.add_file(&file.path, Ability::RunsBeforeComfyui, "");
    }
    if let Some((ability, detail)) = binary::look(&file.path, begins) {
        seen.add_file(&file.path, ability, detail);
    }
    if let Some(why) = known::bad_file(last_name(&file.path)) {
        seen.add_file(&file.path, Ability::KnownBad, &why);
    }
}

/// Requirements in their several forms, and `.pth` files, which are weights of models nearly always.
fn look_at_list(file: &File, content: Content, seen: &mut Seen) {
    let name = last_name(&file.path).to_ascii_lowercase();
    let mut tell = |text: Result<Vec<u8>, Errno>, judge: fn(&[u8], &mut dyn FnMut(Sign))| match text {
        Ok(text) => judge(&text, &mut |sign| seen.add(&file.path, sign)),
        Err(_) => seen.add_file(&file.path, Ability::PackagesFromElsewhere, "not read: too large, or nobody may"),
    };
    if requirements::is_list(&file.path) {
        tell(content(file, MOST_LIST), requirements::look);
    } else if name == b"pyproject.toml" {
        tell(content(file, MOST_LIST), project::look);
    } else if name.ends_with(b".pth") && file.size <= MOST_LIST as u64 {
        let text = content(file, MOST_LIST).unwrap_or_default();
        for (line, found) in pth::look(&text) {
            if let pth::Line::Runs(code) = found {
                seen.add(&file.path, (Ability::RunsWithPython, line, String::from_utf8_lossy(code).into_owned()));
            }
        }
    }
}

fn last_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;

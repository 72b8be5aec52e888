//! Who names whom: files with arrows between them, and rooms, which are files and folders directly in `src/`.

use super::source;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A file names another one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Arrow {
    /// The modules: `boot::shields`.
    pub from: String,
    pub to: String,
    /// `src/boot/shields.rs:7`
    pub place: String,
}

impl Arrow {
    /// The two neighbours that it joins: the first parts in which its ends differ, `boot` and `sys` or `sys::fs` and `sys::io`,
    /// each with all that lies below. `None` between a page and a file of its own folder: what the page says is said for all
    /// of them.
    fn neighbours(&self) -> Option<(&str, &str)> {
        let [mut from, mut to] = [&self.from, &self.to].map(|module| module.split("::"));
        let mut same = 0;
        loop {
            match (from.next()?, to.next()?) {
                (one, other) if one == other => same += one.len() + "::".len(),
                (one, other) => return Some((&self.from[..same + one.len()], &self.to[..same + other.len()])),
            }
        }
    }
}

pub fn room(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

/// The text of every file that is compiled into a program, by its path in the repository.
pub fn sources(top: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![top.join("src")];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.strip_prefix(top).unwrap().to_str().unwrap().to_string();
            let is_rust = name.ends_with(".rs") && !name.ends_with("/tests.rs") && name != "src/link/build.rs";
            if entry.is_dir() && !name.ends_with("/tests") {
                waiting.push(entry);
            } else if is_rust {
                found.insert(name, std::fs::read_to_string(entry).unwrap());
            }
        }
    }
    found
}

/// `src/boot/report.rs` is `boot::report`, `src/sys/mod.rs` is `sys`.
fn module(file: &str) -> String {
    file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::")
}

/// All arrows. What a path leads to is the last file on its way: the rest of it is in there.
pub fn arrows(sources: &BTreeMap<String, String>) -> BTreeSet<Arrow> {
    let modules: BTreeSet<String> = sources.keys().map(|file| module(file)).collect();
    let mut arrows = BTreeSet::new();
    for (file, text) in sources {
        let from = module(file);
        for (names, line) in source::paths(text) {
            let mut to: Vec<&str> = Vec::new();
            if names[0] == "super" {
                to = from.split("::").collect();
            }
            for name in &names {
                match name.as_str() {
                    "super" => drop(to.pop()),
                    "crate" | "takumi_init" | "self" => {}
                    name => to.push(name),
                }
            }
            while !modules.contains(&to.join("::")) && to.pop().is_some() {}
            let to = to.join("::");
            if to != from && !to.is_empty() {
                arrows.insert(Arrow { from: from.clone(), to, place: format!("{file}:{line}") });
            }
        }
    }
    arrows
}

/// The arrows that lie on a way back to where it began.
pub fn circles<'a>(arrows: &[&'a Arrow]) -> Vec<&'a Arrow> {
    let mut ways: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in arrows.iter().filter_map(|arrow| arrow.neighbours()) {
        ways.entry(from).or_default().insert(to);
    }
    let leads = |from, to| {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![from]);
        while let Some(next) = waiting.pop() {
            if seen.insert(next) {
                waiting.extend(ways.get(next).into_iter().flatten());
            }
        }
        seen.contains(to)
    };
    let is_in_one = |arrow: &&'a Arrow| arrow.neighbours().is_some_and(|(from, to)| leads(to, from));
    arrows.iter().copied().filter(is_in_one).collect()
}

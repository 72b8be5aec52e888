//! The pages: what they link to is there, and what they say twice is the same.

use std::path::{Path, PathBuf};

const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// The folders whose files a page may name.
const FOLDERS: [&str; 6] = ["docs", "image", "scripts", "src", "tests", ".github"];

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(TOP).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The texts below `folders`, with their paths.
fn texts(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| Path::new(TOP).join(folder)).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            found.push((path, text));
        }
    }
    found
}

fn pages() -> Vec<(PathBuf, String)> {
    let is_page = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
    let top = std::fs::read_dir(TOP).unwrap().map(|entry| entry.unwrap().path()).filter(|path| is_page(path));
    top.map(|path| (path.clone(), read(path.to_str().unwrap()))).chain(texts(&["docs"])).collect()
}

/// The lines of a page with their numbers, and whether each stands in a block of code.
fn lines(page: &str) -> impl Iterator<Item = (usize, &str, bool)> {
    let mut code = false;
    page.lines().enumerate().map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        (number + 1, line, code || fence)
    })
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, heading, _) in lines(page).filter(|(_, line, code)| !code && line.starts_with('#')) {
        let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        let anchor: String = text.chars().filter(|sign| sign.is_alphanumeric() || "-_".contains(*sign)).collect();
        let again = found.iter().filter(|known| **known == anchor).count();
        found.push(if again == 0 { anchor } else { format!("{anchor}-{again}") });
    }
    found
}

/// What is wrong with a link to `target` from a file of `folder`.
fn broken(folder: &Path, page: &Path, target: &str) -> Option<&'static str> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { page.to_owned() } else { folder.join(file) };
    if !path.exists() {
        return Some("no such file");
    }
    let missing = !anchor.is_empty() && !anchors(&std::fs::read_to_string(path).ok()?).iter().any(|a| a == anchor);
    missing.then_some("no such heading")
}

/// The targets of a line's links, those to other machines aside.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains("://"))
}

#[test]
fn every_link_leads_somewhere() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (page, text) in pages() {
        for (number, line, _) in lines(&text).filter(|(_, _, code)| !code) {
            for target in links(line) {
                seen += 1;
                if let Some(why) = broken(page.parent().unwrap(), &page, target) {
                    wrong.push(format!("{}:{number}: {target}: {why}", page.display()));
                }
            }
        }
    }
    assert!(seen > 30, "{seen} links");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A word that names a file or folder of this repository, without what stands around it. `*`, capitals and the like name none.
fn named(word: &str) -> Option<&str> {
    let word = word.trim_matches(|sign: char| !sign.is_alphanumeric() && !"./_-".contains(sign));
    let word = word.strip_prefix("./").unwrap_or(word).split(':').next()?.trim_end_matches(['.', '/']);
    let plain = word.chars().all(|sign| sign.is_alphanumeric() || "./_-#".contains(sign));
    let (folder, rest) = word.split_once('/')?;
    (plain && FOLDERS.contains(&folder) && !rest.is_empty() && !rest.chars().any(char::is_uppercase)).then_some(word)
}

/// In the pages, and in what programs and scripts tell a person to read or to type.
#[test]
fn every_file_that_a_text_names_is_there() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (path, text) in pages().into_iter().chain(texts(&["image", "scripts", "src"])) {
        for (number, line) in text.lines().enumerate() {
            for target in line.split([' ', '`', '(', ')', '"', '\'', ',', '|']).filter_map(named) {
                seen += 1;
                if let Some(why) = broken(Path::new(TOP), &path, target) {
                    wrong.push(format!("{}:{}: {target}: {why}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(seen > 100, "{seen} names");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The ids of the table in src/settings/checks.rs; those of the shield `app` are the probe's and have a section together.
fn checks() -> Vec<String> {
    let source = read("src/settings/checks.rs");
    let table = source.split_once("\ntable! {\n").unwrap().1.split_once("\n    App ").unwrap().0;
    let lines = table.lines().filter(|line| !line.ends_with('{'));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_string).collect()
}

#[test]
fn every_check_has_its_section() {
    let (sections, checks) = (anchors(&read("docs/shields.md")), checks());
    assert!(checks.len() > 20, "{checks:?}");
    let missing: Vec<&String> = checks.iter().filter(|check| !sections.contains(check)).collect();
    assert!(missing.is_empty(), "docs/shields.md has no section for {missing:?}");
}

#[test]
fn the_changelog_begins_with_the_version_of_the_programs() {
    let log = read("CHANGELOG.md");
    let newest = log.split_once("\n## [").unwrap().1.split_once(']').unwrap().0;
    assert_eq!(newest, env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_release_is_built_with_the_compiler_of_the_toolchain_file() {
    let (file, workflow) = (read("rust-toolchain.toml"), read(".github/workflows/scan.yml"));
    let channel = file.split_once("channel = \"").unwrap().1.split_once('"').unwrap().0;
    let named = workflow.split_once("RUSTUP_TOOLCHAIN: ").unwrap().1.lines().next().unwrap();
    assert_eq!(channel, named);
}

/// The control.
#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = "# One\n## `Two` of a *kind*: 3\n```sh\n# no heading\n```\n## One\n";
    assert_eq!(anchors(page), ["one", "two-of-a-kind-3", "one-1"]);
    let line = "[a](b.md#c) and [d](https://e.invalid/f) and [g](#h)";
    assert_eq!(links(line).collect::<Vec<_>>(), ["b.md#c", "#h"]);
    let readme = Path::new(TOP).join("README.md");
    let of = |target| broken(Path::new(TOP), &readme, target);
    assert_eq!([of("docs/shields.md#confined"), of("#takumi-init"), of("LICENSE")], [None; 3]);
    assert_eq!([of("docs/cellar.md"), of("cellar")], [Some("no such file"); 2]);
    assert_eq!([of("docs/shields.md#cellar"), of("#cellar")], [Some("no such heading"); 2]);
    for (word, file) in [("(src/boot.rs:7).", "src/boot.rs"), ("./scripts/up.sh", "scripts/up.sh")] {
        assert_eq!(named(word), Some(file));
    }
    assert_eq!(["src/*.rs", "docs/NAME.md", "/src/boot.rs", "src/", "and/or"].map(named), [None; 5]);
}

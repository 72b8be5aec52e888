//! What pip is asked to install: lines that lead past the index, and packages that are known to be bad.

use super::super::behaviour::Behaviour;
use super::super::denylist;
use super::text::{Indicator, lines};

/// Whether pip, ComfyUI-Manager or a person reads this file as a list of requirements.
pub(super) fn is_requirements_file(path: &[u8]) -> bool {
    let mut parts = path.rsplit(|&byte| byte == b'/');
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let directory = parts.next().unwrap_or_default().to_ascii_lowercase();
    let text = name.ends_with(b".txt") || name.ends_with(b".in") || name.ends_with(b".pip");
    text && (directory == b"requirements"
        || [&b"requirements"[..], b"requirement", b"constraints"].iter().any(|begin| name.starts_with(begin)))
}

/// Everything in such a file.
pub(super) fn check(content: &[u8], add: &mut dyn FnMut(Indicator)) {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    // PowerShell writes UTF-16, and pip reads it by its mark.
    let narrow: Vec<u8>;
    let content = if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
        narrow = content.iter().skip(2).copied().filter(|&byte| byte != 0).collect();
        &narrow[..]
    } else {
        content
    };
    let mut joined: Vec<u8> = Vec::new();
    let (mut number, mut first) = (0u32, 1);
    for line in lines(content) {
        number = number.saturating_add(1);
        if joined.is_empty() {
            first = number;
        }
        match line.strip_suffix(b"\\") {
            Some(continued) => joined.extend_from_slice(continued),
            None if joined.is_empty() => check_line(line, first, add),
            None => {
                joined.extend_from_slice(line);
                check_line(&std::mem::take(&mut joined), first, add);
            }
        }
    }
    check_line(&joined, first, add);
}

/// Options whose value leads to packages that the index does not have.
const SOURCE_OPTIONS: &[&str] =
    &["--index-url", "--extra-index-url", "--find-links", "--trusted-host", "--editable", "--index", "--default-index"];

fn check_line(line: &[u8], number: u32, add: &mut dyn FnMut(Indicator)) {
    let text = String::from_utf8_lossy(line.get(..line.len().min(4000)).unwrap_or_default());
    let text = strip_comment(&text).trim();
    if text.is_empty() {
        return;
    }
    if let Some(why) = denylist::find_text(text.as_bytes()) {
        add((Behaviour::KnownBad, number, why));
    }
    let elsewhere = if text.starts_with('-') { names_external_source(text) } else { is_external_source(text) };
    if elsewhere {
        add((Behaviour::PackagesFromElsewhere, number, redact_credentials(text)));
    }
    if let Some(why) = find_denied_requirement(text) {
        add((Behaviour::KnownBad, number, why));
    }
}

/// Without ` # …`, as pip cuts it.
fn strip_comment(line: &str) -> &str {
    let mut blank = true;
    for (at, character) in line.char_indices() {
        if character == '#' && blank {
            return line.get(..at).unwrap_or_default();
        }
        blank = character.is_whitespace();
    }
    line
}

fn names_external_source(line: &str) -> bool {
    let end = line.find([' ', '\t', '=']).unwrap_or(line.len());
    let (option, value) = line.split_at(end);
    let value = value.trim_start_matches([' ', '\t', '=']).trim_matches(['"', '\'']);
    // pip takes beginnings of an option for the option (`--extra-index`).
    let named =
        option.len() > 4 && option.starts_with("--") && SOURCE_OPTIONS.iter().any(|source| source.starts_with(option));
    let short = ["-i", "-f", "-e"].iter().any(|short| line.starts_with(short));
    let list = ["-r", "-c", "--req", "--con"].iter().any(|begin| line.starts_with(begin));
    let value =
        if list && option.len() > 2 && !option.starts_with("--") { option.get(2..).unwrap_or_default() } else { value };
    named
        || short
        || line.contains("://")
        || (list && (!is_requirements_file(value.as_bytes()) || value.starts_with('/') || value.contains("..")))
}

/// A requirement that is a URL, a path, or a name with one of them.
pub(super) fn is_external_source(requirement: &str) -> bool {
    let requirement = requirement.trim();
    let marker = requirement.split(';').next().unwrap_or_default();
    let word = requirement.split_whitespace().next().unwrap_or_default();
    let archive = [".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".egg"];
    requirement.contains("://")
        || marker.contains('@')
        || requirement.starts_with(['.', '/', '~', '\\', '$'])
        || word.starts_with("file:")
        || word.starts_with("git+")
        || word.contains('/')
        || word.contains('\\')
        || archive.iter().any(|end| word.to_ascii_lowercase().ends_with(end))
        || requirement.contains(" --index-url")
        || requirement.contains(" --extra-index-url")
}

/// Whether `NAME[extras] == VERSION; marker` names what is known to be bad.
pub(super) fn find_denied_requirement(requirement: &str) -> Option<String> {
    let in_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    let end = requirement.find(|character| !in_name(character)).unwrap_or(requirement.len());
    let (name, rest) = requirement.split_at_checked(end)?;
    if name.is_empty() {
        return None;
    }
    let rest = rest.split(';').next().unwrap_or_default();
    let rest = rest.rsplit(']').next().unwrap_or_default().trim().trim_start_matches('(');
    // A URL's file name has the version: …/openai-1.16.3-py3-none-any.whl
    let file = rest.trim_start_matches('@').trim().rsplit('/').next().unwrap_or_default();
    let of_file = rest.contains("://").then(|| file.split('-').nth(1)).flatten();
    let versions = rest.split(',').filter_map(|clause| {
        let clause = clause.trim();
        ["===", "==", "<="].iter().find_map(|operator| clause.strip_prefix(operator))
    });
    let version = |found: &str| found.trim().split([' ', '\t', ')']).next().unwrap_or_default().to_string();
    let found = versions.chain(of_file).find_map(|found| denylist::find_package(name, Some(&version(found))));
    found.or_else(|| denylist::find_package(name, None)).or_else(|| find_denied_wheel(requirement))
}

/// A bare wheel, at a URL or in a directory: NAME-VERSION-….whl
fn find_denied_wheel(requirement: &str) -> Option<String> {
    let word = requirement.split_whitespace().find(|word| word.contains(".whl") || word.contains(".tar.gz"))?;
    let file = word.rsplit('/').next().unwrap_or_default();
    let mut parts = file.trim_end_matches(".tar.gz").split('-');
    denylist::find_package(parts.next()?, parts.next())
}

/// A line as it may be repeated: the user and password of a URL are cut out, and what follows its `?`.
pub(super) fn redact_credentials(line: &str) -> String {
    let mut written = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        written.push_str(before);
        written.push_str("://");
        let end = after
            .find(|character: char| character.is_whitespace() || matches!(character, '"' | '\'' | ','))
            .unwrap_or(after.len());
        let (url, following) = after.split_at(end);
        let host_end = url.find(['/', '?', '#']).unwrap_or(url.len());
        let (host, path) = url.split_at(host_end);
        match host.rsplit_once('@') {
            Some((_, host)) => {
                written.push_str("…@");
                written.push_str(host);
            }
            None => written.push_str(host),
        }
        match path.split_once('?') {
            Some((path, _)) => {
                written.push_str(path);
                written.push_str("?…");
            }
            None => written.push_str(path),
        }
        rest = following;
    }
    written.push_str(rest);
    written
}

#[cfg(test)]
mod tests;

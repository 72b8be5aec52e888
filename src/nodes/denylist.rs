//! Packages, nodes and names that are known to be malicious: image/bandit/takumi_rules/known_bad.txt, which says for
//! each who reported it.

use std::sync::OnceLock;

const DENYLIST: &str = include_str!("../../image/bandit/takumi_rules/known_bad.txt");

/// One line of the list.
struct DenylistEntry<'a> {
    kind: &'a str,
    name: &'a str,
    versions: &'a str,
    source: &'a str,
    why: &'a str,
}

fn entries() -> impl Iterator<Item = &'static DenylistEntry<'static>> {
    static ENTRIES: OnceLock<Vec<DenylistEntry<'static>>> = OnceLock::new();
    let read = || DENYLIST.lines().filter(|line| !line.starts_with('#')).filter_map(parse_entry).collect();
    ENTRIES.get_or_init(read).iter()
}

fn parse_entry(line: &str) -> Option<DenylistEntry<'_>> {
    let mut words = line.splitn(5, ' ');
    Some(DenylistEntry {
        kind: words.next()?,
        name: words.next()?,
        versions: words.next()?,
        source: words.next()?,
        why: words.next()?,
    })
}

impl DenylistEntry<'_> {
    fn description(&self, version: Option<&str>) -> String {
        let DenylistEntry { name, why, source, .. } = self;
        match version {
            Some(version) => format!("{name} {version} {why}, {source}"),
            None => format!("{name} {why}, {source}"),
        }
    }
}

/// Why this package is bad, with the source; nothing where it is not known. `version` none: whichever the index has,
/// which is bad only where every version is.
pub(super) fn find_package(package: &str, version: Option<&str>) -> Option<String> {
    let package = normalise_name(package);
    let entry = entries().find(|entry| {
        let listed = |version: &str| entry.versions.split(',').any(|bad| same_version(bad, version));
        entry.kind == "package"
            && normalise_name(entry.name) == package
            && (entry.versions == "*" || version.is_some_and(listed))
    })?;
    Some(entry.description(version.filter(|_| entry.versions != "*")))
}

/// The same for a node's directory.
pub(super) fn find_node(name: &str) -> Option<String> {
    let name = normalise_name(name);
    entries()
        .find(|entry| entry.kind == "node" && normalise_name(entry.name) == name)
        .map(|entry| entry.description(None))
}

/// The same for a file's name without its directories.
pub(super) fn find_file(name: &[u8]) -> Option<String> {
    entries()
        .find(|entry| entry.kind == "file" && entry.name.as_bytes().eq_ignore_ascii_case(name))
        .map(|entry| entry.description(None))
}

/// The same for what stands somewhere in a text.
pub(super) fn find_text(text: &[u8]) -> Option<String> {
    entries()
        .filter(|entry| entry.kind == "text")
        .find(|entry| text.windows(entry.name.len()).any(|part| part.eq_ignore_ascii_case(entry.name.as_bytes())))
        .map(|entry| entry.description(None))
}

/// A name as pip compares it (PEP 503): small letters, and each run of `-`, `_` and `.` is one `-`.
pub(super) fn normalise_name(name: &str) -> String {
    let mut written = String::with_capacity(name.len());
    for character in name.chars() {
        if !matches!(character, '-' | '_' | '.') {
            written.push(character.to_ascii_lowercase());
        } else if !written.ends_with('-') {
            written.push('-');
        }
    }
    written
}

/// `8.3.41`, `v8.3.41`, `8.3.41.0` and `8.3.41+local` are the same release to pip (PEP 440), as far as the list needs it.
fn same_version(listed: &str, asked: &str) -> bool {
    let release = |version: &str| {
        let version = version.trim().trim_start_matches(['v', 'V']);
        let version = version.split('+').next().unwrap_or_default();
        let mut release = version.to_string();
        while let Some(shorter) = release.strip_suffix(".0") {
            release = shorter.to_string();
        }
        release
    };
    release(listed) == release(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_a_source_that_can_be_looked_up() {
        let lines = DENYLIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert_eq!(lines.count(), entries().count());
        assert!(entries().count() > 20);
        for entry in entries() {
            let &DenylistEntry { kind, name, versions, source, why } = entry;
            assert!(["package", "node", "file", "text"].contains(&kind), "{kind}");
            let advisory = ["GHSA-", "PYSEC-", "CVE-", "MAL-"].iter().any(|prefix| source.starts_with(prefix));
            assert!(advisory || source.starts_with("https://github.com/"), "{name}: {source}");
            assert!(why.split_whitespace().count() > 1 && why == why.trim(), "{name}: {why:?}");
            match kind {
                "package" => {
                    assert_eq!(name, normalise_name(name));
                    let plain = |version: &str| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                    assert!(
                        versions == "*" || versions.split(',').all(|version| plain(version) && !version.is_empty())
                    );
                }
                _ => assert_eq!(versions, "*", "{name}"),
            }
        }
    }

    #[test]
    fn names_and_versions_are_compared_as_pip_does() {
        for (package, version) in [
            ("ultralytics", "8.3.41"),
            ("Ultralytics", "8.3.46"),
            ("litellm", "v1.82.8"),
            ("lightning", "2.6.2.0"),
            ("openai", "1.16.3+x"),
        ] {
            assert!(find_package(package, Some(version)).is_some(), "{package} {version}");
        }
        for (package, version) in [
            ("ultralytics", Some("8.3.4")),
            ("ultralytics", Some("8.3.40")),
            ("ultralytics", Some("8.3.410")),
            ("ultralytics", None),
            ("ultralytics-x", Some("8.3.41")),
            ("openai", Some("1.30.2")),
            ("", None),
        ] {
            assert_eq!(find_package(package, version), None, "{package} {version:?}");
        }
        assert!(find_package("LolMiner", None).is_some() && find_package("lolminer", Some("1")).is_some());
        assert_eq!(normalise_name("A__b.-.C"), "a-b-c");
    }

    #[test]
    fn the_answer_names_who_reported_it() {
        let told = find_package("ultralytics", Some("8.3.41")).unwrap();
        assert!(
            told.starts_with("ultralytics 8.3.41 mines ") && told.contains("https://github.com/ultralytics/"),
            "{told}"
        );
    }

    #[test]
    fn nodes_files_and_texts_are_known_by_name() {
        assert!(find_node("comfyui-llmvision").is_some() && find_node("ComfyUI_LLMVISION").is_some());
        assert_eq!(find_node("ComfyUI-Manager"), None);
        assert!(find_file(b"LITELLM_init.pth").is_some());
        assert_eq!(find_file(b"init.pth"), None);
        assert!(
            find_text(b"https://github.com/applebotzz/x").is_some() && find_text(b"STRATUM+TCP://pool:1").is_some()
        );
        assert_eq!(find_text(b"\xff\0"), None);
    }
}

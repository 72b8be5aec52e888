//! In what a source says that it is written.

use super::super::requirements::lines;

/// The encoding that the first two lines name (PEP 263), where words in it may look different than their bytes.
pub(super) fn strange(source: &[u8]) -> Option<String> {
    let comment = |line: &&[u8]| line.trim_ascii_start().starts_with(b"#");
    for line in lines(source).take(2).filter(comment) {
        let line = line.get(..line.len().min(1000)).unwrap_or_default();
        let Some(found) = line.windows(6).position(|part| part == b"coding") else { continue };
        let Some([b':' | b'=', name @ ..]) = line.get(found + 6..) else { continue };
        let end = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"-_.".contains(byte);
        let name = name.trim_ascii_start().split(end).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).to_ascii_lowercase().replace('_', "-");
        let plain = [
            "utf-8", "utf8", "ascii", "us-ascii", "latin", "iso-8859-", "iso8859-", "iso-latin-1", "cp125",
            "windows-125",
        ];
        if !name.is_empty() && !plain.iter().any(|prefix| name.starts_with(prefix)) {
            return Some(name);
        }
    }
    None
}

//! Files that no scanner of Python reads: native code, compiled Python, archives with Python in them, and links out of
//! the node.

use super::super::behaviour::Behaviour;
use super::text::Indicator;

/// What a plain file is by its name and what it begins with.
pub(super) fn classify(path: &[u8], magic: &[u8; 8]) -> Option<(Behaviour, &'static str)> {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_ascii_lowercase();
    let ends = |endings: &[&[u8]]| endings.iter().any(|ending| name.ends_with(ending));
    if ends(&[b".pyc", b".pyo"]) || is_compiled_python(magic) {
        return Some((Behaviour::CompiledPython, "compiled Python"));
    }
    let native = match magic {
        [0x7f, b'E', b'L', b'F', ..] => Some("a program or library for Linux"),
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => {
            Some("a program or library for macOS")
        }
        [0xca, 0xfe, 0xba, 0xbe, ..] => Some("a program for macOS or Java"),
        [b'M', b'Z', rest @ ..] if rest.iter().any(|byte| *byte >= 0x80 || *byte < 9) => {
            Some("a program or library for Windows")
        }
        _ if ends(&[b".so", b".pyd", b".dll", b".dylib"]) || contains(&name, b".so.") => Some("a library by its name"),
        _ => None,
    };
    if let Some(native) = native {
        return Some((Behaviour::NativeCode, native));
    }
    ends(&[b".whl", b".egg", b".pyz"]).then_some((Behaviour::HidesCalls, "an archive that Python can import from"))
}

/// The first bytes that CPython 3 writes: a number of its version, `\r\n`, flags.
fn is_compiled_python(magic: &[u8; 8]) -> bool {
    let &[low, high, b'\r', b'\n', flags, 0, 0, 0] = magic else { return false };
    (3000..4000).contains(&u16::from_le_bytes([low, high])) && flags < 4
}

/// Whether to open the file: it may be an archive.
pub(super) fn may_be_archive(magic: &[u8; 8]) -> bool {
    magic.starts_with(b"PK\x03\x04")
}

/// Whether an archive holds what Python can import from it: names in its table of contents (PKWARE's APPNOTE, 4.3.12).
/// A model that TorchScript saved has Python in `code/` that only PyTorch reads.
pub(super) fn check_archive(content: &[u8]) -> Option<Indicator> {
    const ENTRY: usize = 46;
    for (at, mark) in content.windows(4).enumerate() {
        if mark != b"PK\x01\x02" {
            continue;
        }
        let Some(&[low, high]) = content.get(at + 28..at + 30) else { break };
        let length = usize::from(u16::from_le_bytes([low, high]));
        let name = content.get(at + ENTRY..at + ENTRY + length).unwrap_or_default();
        let importable = [&b".py"[..], b".pyc", b".pyw", b".so", b".pyd"].iter().any(|end| name.ends_with(end));
        if importable && !contains(name, b"/code/") {
            return Some((Behaviour::HidesCalls, 0, "an archive with Python in it".to_string()));
        }
    }
    None
}

/// Whether a link leads out of the directory that it lies in. `path` is the link's own, relative to that directory;
/// directories on the way to it are real ones.
pub(super) fn escapes_directory(path: &[u8], target: &[u8]) -> bool {
    let mut depth = path.iter().filter(|&&byte| byte == b'/').count();
    let mut named = false;
    if target.starts_with(b"/") {
        return true;
    }
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            // Behind a name that may be a link itself, nobody can tell from the words where this leads.
            b".." if named || depth == 0 => return true,
            b".." => depth -= 1,
            _ => named = true,
        }
    }
    false
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn magic(bytes: &[u8]) -> [u8; 8] {
        std::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default())
    }

    #[test]
    fn native_code_is_known_by_what_it_begins_with() {
        let seen = |path: &[u8], bytes: &[u8]| classify(path, &magic(bytes)).map(|(behaviour, _)| behaviour);
        for bytes in [
            &b"\x7fELF\x02\x01\x01\0"[..],
            b"MZ\x90\0\x03\0\0\0",
            b"\xcf\xfa\xed\xfe\x0c\0\0\x01",
            b"\xca\xfe\xba\xbe\0\0\0\x02",
        ] {
            assert_eq!(seen(b"models/weights.bin", bytes), Some(Behaviour::NativeCode), "{bytes:?}");
        }
        for name in [&b"x.so"[..], b"a/X.PYD", b"libx.so.1.2", b"x.dll", b"x.dylib"] {
            assert_eq!(seen(name, b"text"), Some(Behaviour::NativeCode), "{name:?}");
        }
        assert_eq!(seen(b"x.bin", b"\xa7\x0d\x0d\x0a\0\0\0\0"), Some(Behaviour::CompiledPython)); // 3.11
        assert_eq!(seen(b"__pycache__/x.cpython-311.pyc", b""), Some(Behaviour::CompiledPython));
        assert_eq!(seen(b"x.whl", b"PK\x03\x04"), Some(Behaviour::HidesCalls));
        for (name, bytes) in [
            (&b"a.png"[..], &b"\x89PNG\r\n\x1a\n"[..]),
            (b"a.txt", b"MZ is the"),
            (b"vgg.pth", b"PK\x03\x04\0\0\x08\x08"),
            (b"a.sofa", b""),
            (b"a.py", b"import o"),
            (b"a.txt", b"\xa7\x0d\r\nabcd"),
            (b"web/x.wasm", b"\0asm\x01\0\0\0"),
        ] {
            assert_eq!(seen(name, bytes), None, "{name:?}");
        }
    }

    /// A table of contents with one name.
    fn archive(name: &[u8]) -> Vec<u8> {
        let mut entry = b"PK\x03\x04......PK\x01\x02".to_vec();
        entry.extend([0; 24]);
        entry.extend((name.len() as u16).to_le_bytes());
        entry.extend([0; 16]);
        entry.extend(name);
        entry
    }

    #[test]
    fn an_archive_is_told_where_python_could_import_from_it() {
        assert!(check_archive(&archive(b"a/b.py")).is_some());
        assert!(check_archive(&archive(b"b.pyc")).is_some());
        assert!(check_archive(&archive(b"archive/data.pkl")).is_none());
        assert!(check_archive(&archive(b"archive/code/__torch__/m.py")).is_none());
        let whole = archive(b"a.py");
        assert!(whole.iter().enumerate().take(whole.len() - 1).all(|(end, _)| check_archive(&whole[..end]).is_none()));
    }

    #[test]
    fn a_link_that_stays_inside_is_nothing() {
        for (path, target) in [
            (&b"a"[..], &b"b"[..]),
            (b"a/b", b"../c"),
            (b"a/b/c", b"../../d/e"),
            (b"a", b"./b/"),
            (b"a", b""),
            (b"a", b"..b"),
        ] {
            assert!(!escapes_directory(path, target), "{path:?} {target:?}");
        }
        for (path, target) in [
            (&b"a"[..], &b"/etc/passwd"[..]),
            (b"a", b".."),
            (b"a", b"../x"),
            (b"a/b", b"../../x"),
            (b"a/b", b"c/../../../x"),
            (b"a/b", b"c/.."),
            (b"a", b"./../x"),
        ] {
            assert!(escapes_directory(path, target), "{path:?} {target:?}");
        }
    }
}

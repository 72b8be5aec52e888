//! `.pth` files: `site` adds each line to the module path, and runs each line that begins with `import`.

use super::text::lines;

/// A line of a `.pth` file that does something.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum PthLine<'a> {
    /// It is run, at every start of Python.
    Executes(&'a [u8]),
    /// It leads to modules.
    AddsPath(&'a [u8]),
}

/// What `site` does with a `.pth` file, line by line (addpackage of CPython's Lib/site.py). A weight of a model is no
/// text: nothing.
pub(super) fn parse(content: &[u8]) -> Vec<(u32, PthLine<'_>)> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    if content.contains(&0) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, line) in lines(content).enumerate().take(MAX_LINES) {
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        if line.starts_with(b"import ") || line.starts_with(b"import\t") {
            found.push((number, PthLine::Executes(line)));
        } else if !line.starts_with(b"#") && !line.trim_ascii().is_empty() {
            found.push((number, PthLine::AddsPath(line.trim_ascii_end())));
        }
    }
    found
}

const MAX_LINES: usize = 10_000;

/// Lines that well-known packages write and that load nothing but their own modules. Letter by letter: whoever adds a
/// word to one of them is seen.
const WELL_KNOWN: &[&[u8]] = &[
    b"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; enabled and __import__('_distutils_hack').add_shim();",
    b"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'stdlib') == 'local'; enabled and __import__('_distutils_hack').add_shim();",
    b"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; enabled and __import__('_distutils_hack')",
    b"import coverage; coverage.process_startup()",
    b"import _virtualenv",
];

/// Whether it is one of the lines that need not be told. `fixed`: COMMAND cannot change what lies at a path.
pub(super) fn is_well_known(line: &[u8], fixed: &dyn Fn(&[u8]) -> bool) -> bool {
    let line = line.trim_ascii();
    WELL_KNOWN.contains(&line) || is_editable_finder(line) || addsitedir_path(line).is_some_and(fixed)
}

/// `import __editable___NAME_finder; __editable___NAME_finder.install()`, as setuptools writes it.
fn is_editable_finder(line: &[u8]) -> bool {
    let Some(module) = line.strip_prefix(b"import ").and_then(|rest| rest.split(|&byte| byte == b';').next()) else {
        return false;
    };
    let named = module.starts_with(b"__editable__")
        && module.ends_with(b"_finder")
        && module.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    named && line == [b"import ", module, b"; ", module, b".install()"].concat()
}

/// The path in `import site; site.addsitedir('PATH')`: an environment over another one.
fn addsitedir_path(line: &[u8]) -> Option<&[u8]> {
    let path = line.strip_prefix(b"import site; site.addsitedir('")?.strip_suffix(b"')")?;
    let plain = path.starts_with(b"/") && !path.iter().any(|byte| matches!(byte, b'\'' | b'"' | b'\\' | b'(' | b';'));
    plain.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_begins_with_import_is_run() {
        let content = b"\xef\xbb\xbf# import a\r\nimport os; x()\r\n\r\n../lib \nimport\tb\n import c\nimporter\n";
        assert_eq!(
            parse(content),
            [
                (2, PthLine::Executes(b"import os; x()")),
                (4, PthLine::AddsPath(b"../lib")),
                (5, PthLine::Executes(b"import\tb")),
                (6, PthLine::AddsPath(b" import c")),
                (7, PthLine::AddsPath(b"importer")),
            ]
        );
        assert_eq!(parse(b"PK\x03\x04\0\0\nimport os\n"), []);
        assert_eq!(parse(b""), []);
    }

    #[test]
    fn only_the_well_known_lines_themselves_pass() {
        let never = |_: &[u8]| false;
        for line in WELL_KNOWN {
            assert!(is_well_known(&[*line, b" "].concat(), &never));
            assert!(!is_well_known(&[*line, b"; import x"].concat(), &never));
        }
        assert!(is_well_known(
            b"import __editable___my_pkg_1_0_finder; __editable___my_pkg_1_0_finder.install()",
            &never
        ));
        for line in [
            &b"import __editable___a_finder; __editable___b_finder.install()"[..],
            b"import __editable___a_finder; import os; __editable___a_finder.install()",
            b"import editable_finder; editable_finder.install()",
            b"import os, sys; exec('x')",
            b"import ",
        ] {
            assert!(!is_well_known(line, &never), "{line:?}");
        }
    }

    #[test]
    fn an_environment_below_passes_where_nobody_can_change_it() {
        let app = |path: &[u8]| path.starts_with(b"/app/");
        assert!(is_well_known(b"import site; site.addsitedir('/app/venv/lib/python3.11/site-packages')", &app));
        assert!(!is_well_known(b"import site; site.addsitedir('/data/x')", &app));
        assert!(!is_well_known(b"import site; site.addsitedir('/app/x'); import y('')", &app));
        assert!(!is_well_known(b"import site; site.addsitedir('app')", &app));
    }
}

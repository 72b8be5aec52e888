//! What of a `pyproject.toml` pip or uv would install: requirements, and in the tables of tools the keys that name a
//! source.

use super::super::behaviour::Behaviour;
use super::super::denylist;
use super::requirements::{find_denied_requirement, is_external_source, redact_credentials};
use super::text::Indicator;
use std::borrow::Cow;
use toml_parser::Source;
use toml_parser::parser::{Event, EventKind, RecursionGuard, parse_document};

/// Tables and lists in each other; the parser calls itself for each.
const MAX_DEPTH: u32 = 64;

/// Keys of a path and characters of one: a path is copied for each value, and no name that matters has more.
const MAX_KEYS: usize = 16;
const MAX_KEY_CHARS: usize = 100;

/// Everything in it. The parser goes on behind what is no TOML.
pub(super) fn check(content: &[u8], add: &mut dyn FnMut(Indicator)) {
    let text = String::from_utf8_lossy(content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content));
    let source = Source::new(&text);
    let tokens = source.lex().into_vec();
    let mut reader = PyprojectReader {
        source,
        add,
        line: 1,
        at: 0,
        table: Vec::new(),
        enclosing: Vec::new(),
        path: Vec::new(),
        keys: Vec::new(),
    };
    let mut receiver = |event: Event| reader.on_event(&event);
    parse_document(&tokens, &mut RecursionGuard::new(&mut receiver, MAX_DEPTH), &mut ());
}

struct PyprojectReader<'a> {
    source: Source<'a>,
    add: &'a mut dyn FnMut(Indicator),
    /// The line of the byte at `at`.
    line: u32,
    at: usize,
    /// The path in the last header.
    table: Vec<String>,
    /// Those of the values that are open: lists and inline tables.
    enclosing: Vec<Vec<String>>,
    /// That of the value that is read.
    path: Vec<String>,
    /// The parts of a key so far.
    keys: Vec<String>,
}

impl PyprojectReader<'_> {
    fn on_event(&mut self, event: &Event) {
        match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                self.enclosing.clear();
                self.keys.clear();
            }
            EventKind::StdTableClose | EventKind::ArrayTableClose => self.table = std::mem::take(&mut self.keys),
            EventKind::SimpleKey if self.keys.len() < MAX_KEYS => {
                if let Some(raw) = self.source.get(event) {
                    let mut key = Cow::Borrowed("");
                    raw.decode_key(&mut key, &mut ());
                    self.keys.push(key.chars().take(MAX_KEY_CHARS).collect());
                }
            }
            EventKind::KeyValSep => {
                self.path = self.enclosing.last().unwrap_or(&self.table).clone();
                self.path.append(&mut self.keys);
                self.path.truncate(MAX_KEYS);
            }
            EventKind::ArrayOpen | EventKind::InlineTableOpen => {
                if self.enclosing.len() == MAX_DEPTH as usize {
                    let line = self.line_at(event.span().start());
                    (self.add)((Behaviour::PackagesFromElsewhere, line, "not read: nested too deeply".to_owned()));
                }
                self.enclosing.push(self.path.clone());
            }
            EventKind::ArrayClose | EventKind::InlineTableClose => self.path = self.enclosing.pop().unwrap_or_default(),
            EventKind::Scalar if event.encoding().is_some() => {
                let line = self.line_at(event.span().start());
                if let Some(raw) = self.source.get(event) {
                    let mut value = Cow::Borrowed("");
                    let _ = raw.decode_scalar(&mut value, &mut ());
                    check_value(&self.path, &value, line, self.add);
                }
            }
            _ => {}
        }
    }

    /// The events come in the order of the text.
    fn line_at(&mut self, at: usize) -> u32 {
        let passed = self.source.input().as_bytes().get(self.at..at).unwrap_or_default();
        self.line = self.line.saturating_add(passed.iter().filter(|&&byte| byte == b'\n').count() as u32);
        self.at = self.at.max(at);
        self.line
    }
}

fn check_value(path: &[String], value: &str, line: u32, add: &mut dyn FnMut(Indicator)) {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let requirements = matches!(
        path[..],
        ["project", "dependencies"]
            | ["project", "optional-dependencies", ..]
            | ["dependency-groups", ..]
            | ["build-system", "requires"]
    );
    let tools = ["uv", "poetry", "pdm", "pixi", "hatch", "pip"];
    let tool = matches!(path[..], ["tool", name, ..] if tools.iter().any(|tool| name.starts_with(tool)));
    let (key, table) = match path[..] {
        // `litellm = { version = "1.82.7" }`
        [.., table, name, "version"] => (name, table),
        [.., table, name] => (name, table),
        _ => return,
    };
    let project_page = matches!(key, "homepage" | "repository" | "documentation") || table.ends_with("urls");
    let elsewhere = (requirements && is_external_source(value)) || (tool && !project_page && value.contains("://"));
    if elsewhere {
        add((Behaviour::PackagesFromElsewhere, line, redact_credentials(value)));
    }
    let pinned = if tool { denylist::find_package(key, Some(value.trim_start_matches(['=', '^', '~']))) } else { None };
    let bad = if requirements || elsewhere {
        find_denied_requirement(value).or_else(|| denylist::find_text(value.as_bytes()))
    } else {
        pinned
    };
    if let Some(why) = bad {
        add((Behaviour::KnownBad, line, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indicators(content: &str) -> Vec<Indicator> {
        let mut signs = Vec::new();
        check(content.as_bytes(), &mut |sign| signs.push(sign));
        signs
    }

    #[test]
    fn the_requirements_of_a_project_are_read() {
        let project = r#"
[project]
name = "a"
urls = { Repository = "https://x.example/a" }
dependencies = ["numpy", 'b @ git+https://u:secret@x.example/b', # "c @ https://x.example"
    "ultralytics==8.3.41",
    "torch[x]>=2",
] # ends here
license = { file = "LICENSE", url = "https://x.example" }
[project.urls]
Repository = "https://x.example/a"
[build-system]
requires = ["setuptools", "x @ https://x.example/x"]
[tool.comfy]
Icon = "https://x.example/icon.png"
[[tool.uv.index]]
url = "https://x.example/simple"
[tool.poetry.dependencies]
litellm = "^1.82.7"
"#;
        let found = indicators(project);
        let places: Vec<(Behaviour, u32)> = found.iter().map(|(behaviour, line, _)| (*behaviour, *line)).collect();
        assert_eq!(
            places,
            [
                (Behaviour::PackagesFromElsewhere, 5),
                (Behaviour::KnownBad, 6),
                (Behaviour::PackagesFromElsewhere, 13),
                (Behaviour::PackagesFromElsewhere, 17),
                (Behaviour::KnownBad, 19),
            ]
        );
        assert!(found.iter().all(|(_, _, detail)| !detail.contains("secret")));
    }

    #[test]
    fn every_form_that_pip_reads_is_read() {
        for form in [
            "[project] # a comment\ndependencies = ['URL']",
            "[ project ]\ndependencies = ['URL']",
            "[\"project\"]\ndependencies = ['URL']",
            "[project]\n\"dependencies\" = ['URL']",
            "[project]\n'dependencies' = ['URL']",
            "project.dependencies = ['URL']",
            "project = { dependencies = ['URL'] }",
            "[project]\n\"depend\\u0065ncies\" = ['URL']",
            "[project]\ndependencies = [\"b @ https:\\u002F/x.example/b\"]",
            "[project]\ndependencies = [\"\"\"\nURL\"\"\"]",
            "[project]\ndependencies = ['''\nURL''']",
            "[project]\ndependencies = [ # ]\n  'a[b]', # ]\n  'URL' ]",
            "[project]\noptional-dependencies.x = ['URL']",
            "[project.optional-dependencies]\nx = ['URL']",
            "[project]\noptional-dependencies = { x = ['URL'] }",
            "[dependency-groups]\nx = [{ include-group = 'y' }, 'URL']",
            "build-system.requires = ['URL']",
            "tool.uv.index = [{ name = 'x', url = 'https://x.example' }]",
            "[tool.poetry.dependencies.x]\ngit = 'https://x.example/x'",
            "[tool.poetry.dependencies]\nx = { git = 'https://x.example/x' }",
            "a = = b\n[project]\ndependencies = ['URL']",
            "[project]\nname = 'a\ndependencies = ['URL']",
        ] {
            let form = form.replace("URL", "b @ https://x.example/b");
            let found = indicators(&form);
            assert_eq!(found.len(), 1, "{form}: {found:?}");
            assert_eq!(found[0].0, Behaviour::PackagesFromElsewhere, "{form}");
        }
        for bad in ["litellm = { version = '^1.82.7' }", "litellm.version = '==1.82.8'", "LiteLLM = '1.82.7'"] {
            let found = indicators(&format!("[tool.poetry.dependencies]\n{bad}"));
            assert_eq!(
                found.iter().map(|(behaviour, ..)| *behaviour).collect::<Vec<_>>(),
                [Behaviour::KnownBad],
                "{bad}"
            );
        }
        for harmless in [
            "[project]\nreadme = 'https://x.example'",
            "# dependencies = ['URL']",
            "[tool.poetry]\nhomepage = 'https://x'",
            "",
        ] {
            assert_eq!(indicators(harmless), [], "{harmless}");
        }
    }

    #[test]
    fn depth_and_size_have_their_limits() {
        let deep = format!("[project]\ndependencies = {}", "[".repeat(100_000));
        assert_eq!(
            indicators(&deep),
            [(Behaviour::PackagesFromElsewhere, 2, "not read: nested too deeply".to_owned())]
        );
        // A path that is copied for each value: seconds, were its length not bounded.
        indicators(&format!("[{}]\n{}", "a".repeat(1 << 19), "a=1\n".repeat(1 << 17)));
        indicators(&format!("{}a = {{{}}}", "a.".repeat(1 << 18), "a=1,".repeat(1 << 17)));
        for part in ["[", "{", "a.", "a=[", "a={", "'", "\"\"\"", "[[", "=", "a='x'\n"] {
            indicators(&part.repeat((1 << 17) / part.len()));
        }
    }
}

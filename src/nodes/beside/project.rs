//! What of a `pyproject.toml` pip or uv would install: requirements, and in the tables of tools the keys that name a source.

use super::super::ability::Ability;
use super::super::known;
use super::requirements::{known_bad, leads_elsewhere, without_credentials};
use super::text::Sign;
use std::borrow::Cow;
use toml_parser::Source;
use toml_parser::parser::{Event, EventKind, RecursionGuard, parse_document};

/// Tables and lists in each other; the parser calls itself for each.
const DEEPEST: u32 = 64;

/// Keys of a path and characters of one: a path is copied for each value, and no name that matters has more.
const MOST_KEYS: usize = 16;
const LONGEST_KEY: usize = 100;

/// Everything in it. The parser goes on behind what is no TOML.
pub(super) fn look(content: &[u8], tell: &mut dyn FnMut(Sign)) {
    let text = String::from_utf8_lossy(content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content));
    let source = Source::new(&text);
    let tokens = source.lex().into_vec();
    let mut reader = Reader {
        source,
        tell,
        line: 1,
        at: 0,
        table: Vec::new(),
        around: Vec::new(),
        path: Vec::new(),
        keys: Vec::new(),
    };
    let mut receiver = |event: Event| reader.take(&event);
    parse_document(&tokens, &mut RecursionGuard::new(&mut receiver, DEEPEST), &mut ());
}

struct Reader<'a> {
    source: Source<'a>,
    tell: &'a mut dyn FnMut(Sign),
    /// The line of the byte at `at`.
    line: u32,
    at: usize,
    /// The path in the last header.
    table: Vec<String>,
    /// Those of the values that are open: lists and inline tables.
    around: Vec<Vec<String>>,
    /// That of the value that is read.
    path: Vec<String>,
    /// The parts of a key so far.
    keys: Vec<String>,
}

impl Reader<'_> {
    fn take(&mut self, event: &Event) {
        match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                self.around.clear();
                self.keys.clear();
            }
            EventKind::StdTableClose | EventKind::ArrayTableClose => self.table = std::mem::take(&mut self.keys),
            EventKind::SimpleKey if self.keys.len() < MOST_KEYS => {
                if let Some(raw) = self.source.get(event) {
                    let mut key = Cow::Borrowed("");
                    raw.decode_key(&mut key, &mut ());
                    self.keys.push(key.chars().take(LONGEST_KEY).collect());
                }
            }
            EventKind::KeyValSep => {
                self.path = self.around.last().unwrap_or(&self.table).clone();
                self.path.append(&mut self.keys);
                self.path.truncate(MOST_KEYS);
            }
            EventKind::ArrayOpen | EventKind::InlineTableOpen => {
                if self.around.len() == DEEPEST as usize {
                    let line = self.line_at(event.span().start());
                    (self.tell)((Ability::PackagesFromElsewhere, line, "not read: nested too deeply".to_owned()));
                }
                self.around.push(self.path.clone());
            }
            EventKind::ArrayClose | EventKind::InlineTableClose => self.path = self.around.pop().unwrap_or_default(),
            EventKind::Scalar if event.encoding().is_some() => {
                let line = self.line_at(event.span().start());
                if let Some(raw) = self.source.get(event) {
                    let mut value = Cow::Borrowed("");
                    let _ = raw.decode_scalar(&mut value, &mut ());
                    judge(&self.path, &value, line, self.tell);
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

fn judge(path: &[String], value: &str, line: u32, tell: &mut dyn FnMut(Sign)) {
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
    let elsewhere = (requirements && leads_elsewhere(value)) || (tool && !project_page && value.contains("://"));
    if elsewhere {
        tell((Ability::PackagesFromElsewhere, line, without_credentials(value)));
    }
    let pinned = if tool { known::bad(key, Some(value.trim_start_matches(['=', '^', '~']))) } else { None };
    let bad =
        if requirements || elsewhere { known_bad(value).or_else(|| known::bad_text(value.as_bytes())) } else { pinned };
    if let Some(why) = bad {
        tell((Ability::KnownBad, line, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(content: &str) -> Vec<Sign> {
        let mut signs = Vec::new();
        look(content.as_bytes(), &mut |sign| signs.push(sign));
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
        let found = told(project);
        let places: Vec<(Ability, u32)> = found.iter().map(|(ability, line, _)| (*ability, *line)).collect();
        assert_eq!(
            places,
            [
                (Ability::PackagesFromElsewhere, 5),
                (Ability::KnownBad, 6),
                (Ability::PackagesFromElsewhere, 13),
                (Ability::PackagesFromElsewhere, 17),
                (Ability::KnownBad, 19),
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
            let found = told(&form);
            assert_eq!(found.len(), 1, "{form}: {found:?}");
            assert_eq!(found[0].0, Ability::PackagesFromElsewhere, "{form}");
        }
        for bad in ["litellm = { version = '^1.82.7' }", "litellm.version = '==1.82.8'", "LiteLLM = '1.82.7'"] {
            let found = told(&format!("[tool.poetry.dependencies]\n{bad}"));
            assert_eq!(found.iter().map(|(ability, ..)| *ability).collect::<Vec<_>>(), [Ability::KnownBad], "{bad}");
        }
        for harmless in [
            "[project]\nreadme = 'https://x.example'",
            "# dependencies = ['URL']",
            "[tool.poetry]\nhomepage = 'https://x'",
            "",
        ] {
            assert_eq!(told(harmless), [], "{harmless}");
        }
    }

    #[test]
    fn depth_and_size_have_their_limits() {
        let deep = format!("[project]\ndependencies = {}", "[".repeat(100_000));
        assert_eq!(told(&deep), [(Ability::PackagesFromElsewhere, 2, "not read: nested too deeply".to_owned())]);
        // A path that is copied for each value: seconds, were its length not bounded.
        told(&format!("[{}]\n{}", "a".repeat(1 << 19), "a=1\n".repeat(1 << 17)));
        told(&format!("{}a = {{{}}}", "a.".repeat(1 << 18), "a=1,".repeat(1 << 17)));
        for part in ["[", "{", "a.", "a=[", "a={", "'", "\"\"\"", "[[", "=", "a='x'\n"] {
            told(&part.repeat((1 << 17) / part.len()));
        }
    }
}

//! What a Python source does that Bandit does not see: calls by a name that is made or looked up, code that is decoded, and the ways to
//! the network, to programs and to packages that its tests do not know. Word by word, without understanding the program.
//!
//! Who wants to hide from this can. What is found is what code normally looks like when it does such things, and the known ways to
//! hide them; a node that shows nothing here is not harmless for that.

mod arguments;
mod encoding;
mod texts;

use super::super::ability::Ability;
use super::tokens::{self, Kind, Token};
use super::words;
use arguments::{Argument, MOST_ARGUMENTS};

/// Something in a source: what, on which line, and in a few words what stands there.
pub(super) type Sign = (Ability, u32, String);

/// Everything that is seen in one source; `tell` is called in no certain order.
pub(super) fn look(source: &[u8], tell: &mut dyn FnMut(Sign)) {
    if let Some(encoding) = encoding::strange(source) {
        tell((Ability::HidesCalls, 1, format!("is written in {encoding}")));
    }
    let tokens = tokens::read(source);
    let mut reader = Reader { source, tokens: &tokens, tell, decoder: None, evaluator: None };
    for at in 0..tokens.len() {
        reader.judge(at);
    }
    if let (Some((line, decoder)), Some(evaluator)) = (reader.decoder.take(), reader.evaluator) {
        reader.say(Ability::HidesCalls, line, &format!("{decoder}, in a file with {evaluator}"));
    }
}

struct Reader<'a> {
    source: &'a [u8],
    tokens: &'a [Token],
    tell: &'a mut dyn FnMut(Sign),
    decoder: Option<(u32, String)>,
    evaluator: Option<&'static str>,
}

impl<'a> Reader<'a> {
    fn say(&mut self, ability: Ability, line: u32, what: &str) {
        (self.tell)((ability, line, what.to_string()));
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn mark(&self, at: usize, mark: u8) -> bool {
        self.kind(at) == Some(Kind::Mark(mark))
    }

    fn bytes(&self, at: usize) -> &'a [u8] {
        self.tokens.get(at).and_then(|token| self.source.get(token.start..token.end)).unwrap_or_default()
    }

    /// The name at this place; empty where something else stands there.
    fn name(&self, at: usize) -> &'a [u8] {
        if self.kind(at) == Some(Kind::Name) { self.bytes(at) } else { b"" }
    }

    /// The plain string at this place.
    fn text(&self, at: usize) -> Option<&'a [u8]> {
        (self.kind(at) == Some(Kind::Text { formatted: false })).then(|| self.bytes(at))
    }

    fn is_text(&self, at: usize) -> bool {
        matches!(self.kind(at), Some(Kind::Text { .. }))
    }

    /// The name one place before; empty at the beginning.
    fn name_before(&self, at: usize) -> &'a [u8] {
        at.checked_sub(1).map(|before| self.name(before)).unwrap_or_default()
    }

    fn mark_before(&self, at: usize, mark: u8) -> bool {
        at.checked_sub(1).is_some_and(|before| self.mark(before, mark))
    }

    fn judge(&mut self, at: usize) {
        let Some(&Token { kind, line, .. }) = self.tokens.get(at) else { return };
        match kind {
            Kind::Name => self.judge_name(at, line),
            Kind::Text { .. } => self.judge_text(at, line),
            Kind::Hidden(what) => self.say(Ability::HidesCalls, line, what),
            Kind::Mark(_) | Kind::Number | Kind::End => {}
        }
    }

    fn judge_name(&mut self, at: usize, line: u32) {
        let name = self.bytes(at);
        let defined = matches!(self.name_before(at), b"def" | b"class");
        let called = self.mark(at + 1, b'(') && !defined;
        let attribute = self.mark_before(at, b'.');
        if look_alike(name) {
            self.say(Ability::HidesCalls, line, "a name in letters that only look like others");
        }
        match name {
            b"import" | b"from" => self.judge_import(at, line),
            b"exec" | b"eval" | b"compile" if !attribute && !defined => self.judge_evaluation(at, line, called),
            b"__import__" if called => self.judge_import_call(at, line),
            b"__import__" if !defined => self.say(Ability::HidesCalls, line, "__import__ by another name"),
            b"import_module" if called => self.judge_import_module(at, line),
            b"getattr" if called && !attribute => self.judge_getattr(at, line),
            b"attrgetter" | b"methodcaller" | b"__getattribute__" if called => match self.argument(at + 1, 0) {
                Argument::Literal(wanted) if !powerful_attribute(wanted) => {}
                Argument::Other | Argument::None => {}
                Argument::Literal(_) | Argument::Built => self.say(Ability::HidesCalls, line, &shown(name)),
            },
            b"globals" | b"locals" | b"vars" if called && !attribute => self.judge_table(at, line),
            b"__dict__" | b"modules" if attribute && self.mark(at + 1, b'[') => self.judge_index(at, line),
            b"__builtins__" if self.name_before(at) != b"del" => self.say(Ability::HidesCalls, line, "__builtins__"),
            b"__globals__" | b"__code__" if attribute && self.mark(at + 1, b'[') => {
                self.say(Ability::HidesCalls, line, &shown(name));
            }
            b"__subclasses__" if called && self.mark(at.wrapping_sub(2), b']') => {
                self.say(Ability::HidesCalls, line, "a way through __subclasses__");
            }
            b"os" | b"subprocess" | b"builtins" if attribute && self.mark(at + 1, b'.') && self.reached_through(at) => {
                self.say(Ability::HidesCalls, line, &format!("{} of another module", shown(name)));
            }
            b"chr" if called => self.judge_chr(at, line),
            b"system" | b"popen" if attribute && called && self.runs_command(at) => {
                self.say(Ability::RunsCommands, line, &shown(name));
            }
            b"trust_remote_code" if self.given(at) => {
                self.say(Ability::EvaluatesCode, line, "trust_remote_code");
            }
            b"allow_pickle" if self.given(at) && self.name(at + 2) == b"True" => {
                self.say(Ability::Unpickles, line, "allow_pickle=True")
            }
            b"weights_only" if self.given(at) && self.name(at + 2) == b"False" => {
                self.say(Ability::Unpickles, line, "weights_only=False");
            }
            b"verify" | b"verify_ssl" | b"check_hostname" | b"ssl_verify"
                if self.mark(at + 1, b'=') && self.name(at + 2) == b"False" =>
            {
                self.say(Ability::TurnsTlsOff, line, &format!("{}=False", shown(name)));
            }
            b"CERT_NONE" | b"_create_default_https_context" => self.say(Ability::TurnsTlsOff, line, &shown(name)),
            b"cdll" | b"windll" | b"pythonapi" if self.mark(at + 1, b'.') => {
                self.say(Ability::NativeCode, line, &shown(name))
            }
            b"load" if called && self.name(at.wrapping_sub(2)) == b"hub" && attribute => {
                self.say(Ability::Downloads, line, "hub.load");
                self.say(Ability::EvaluatesCode, line, "hub.load");
            }
            b"connect" if attribute && self.name(at.wrapping_sub(2)).ends_with(b"sock") => {
                self.say(Ability::Downloads, line, "connect")
            }
            _ => {}
        }
        if called {
            if let Some(&(_, ability)) = words::CALLS.iter().find(|(known, _)| *known == name) {
                self.say(ability, line, &shown(name));
            }
            if words::DECODERS.contains(&name) && self.decoder.is_none() {
                self.decoder = Some((line, shown(name)));
            }
        }
    }

    /// `name=` of an argument that is given, or of a default that is taken, but not of `False` or in a comparison.
    fn given(&self, at: usize) -> bool {
        self.mark(at + 1, b'=')
            && !self.mark(at + 2, b'=')
            && (self.name(at + 2) != b"False" || self.name(at) != b"trust_remote_code")
    }

    /// `a.system(…)`: `platform.system()` takes nothing, and Bandit sees that of `os`.
    fn runs_command(&self, at: usize) -> bool {
        !self.mark(at + 2, b')') && !matches!(self.name(at.wrapping_sub(2)), b"platform" | b"os")
    }

    /// `a.os.`, where `a` is a name that somebody imported, and no package of his own.
    fn reached_through(&self, at: usize) -> bool {
        let owner = self.name(at.wrapping_sub(2));
        !owner.is_empty() && !matches!(owner, b"self" | b"cls" | b"asyncio" | b"import" | b"from")
    }

    fn judge_import(&mut self, at: usize, line: u32) {
        let relative = self.mark_before(at, b'.') || self.mark(at + 1, b'.');
        if relative {
            return;
        }
        let from = self.bytes(at) == b"from";
        let after_from = !from
            && self.tokens.get(at.saturating_sub(MOST_ARGUMENTS)..at).is_some_and(|before| {
                let statement =
                    before.iter().rev().take_while(|token| token.kind != Kind::End && token.kind != Kind::Mark(b';'));
                statement.into_iter().any(|token| self.source.get(token.start..token.end) == Some(b"from"))
            });
        if after_from {
            return;
        }
        let mut here = at + 1;
        for _ in 0..MOST_ARGUMENTS {
            let (module, after) = self.dotted(here);
            if module.is_empty() {
                return;
            }
            let member = if from && self.name(after) == b"import" { self.name(after + 1) } else { b"" };
            self.judge_module(&module, member, line);
            here = after;
            if self.name(here) == b"as" {
                here += 2;
            }
            if from || !self.mark(here, b',') {
                return;
            }
            here += 1;
        }
    }

    fn judge_module(&mut self, module: &[u8], member: &[u8], line: u32) {
        let with_member = [module, b".", member].concat();
        let within = |known: &[u8], name: &[u8]| {
            name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
        };
        let found = words::IMPORTS.iter().find(|(known, _)| within(known, module) || within(known, &with_member));
        if let Some(&(_, ability)) = found {
            self.say(ability, line, &format!("import of {}", shown(module)));
        }
        if module == b"builtins" && matches!(member, b"exec" | b"eval" | b"compile" | b"__import__") {
            self.say(Ability::HidesCalls, line, "import from builtins");
        }
    }

    /// A name with dots that begins at `at`, and what follows it.
    fn dotted(&self, mut at: usize) -> (Vec<u8>, usize) {
        let mut name = self.name(at).to_vec();
        while !self.name(at).is_empty() && self.mark(at + 1, b'.') && name.len() < 200 {
            name.push(b'.');
            name.extend_from_slice(self.name(at + 2));
            at += 2;
        }
        (name, at + 1)
    }

    /// `exec`, `eval` and `compile`: Bandit sees the first two where they are called by their names.
    fn judge_evaluation(&mut self, at: usize, line: u32, called: bool) {
        let name = self.bytes(at);
        if called {
            if name == b"compile" {
                self.say(Ability::EvaluatesCode, line, "compile");
            } else {
                self.evaluator = Some(if name == b"exec" { "exec" } else { "eval" });
            }
            return;
        }
        let passed = [b'=', b'(', b',', b'[', b'@', b':'].into_iter().any(|mark| self.mark_before(at, mark))
            || self.name_before(at) == b"return";
        let ends = [b')', b',', b']', b'}', b'.'].into_iter().any(|mark| self.mark(at + 1, mark))
            || matches!(self.kind(at + 1), Some(Kind::End) | None);
        if name != b"compile" && passed && ends {
            self.say(Ability::HidesCalls, line, &format!("{} by another name", shown(name)));
        }
    }

    fn judge_import_call(&mut self, at: usize, line: u32) {
        let harmless = matches!(self.argument(at + 1, 0), Argument::Literal(module) if !powerful_module(module));
        if !harmless {
            self.say(Ability::HidesCalls, line, "__import__(…)");
        }
    }

    fn judge_import_module(&mut self, at: usize, line: u32) {
        let first = at + 2;
        let told = match self.argument(at + 1, 0) {
            Argument::Literal(module) => powerful_module(module),
            Argument::None => false,
            // A module of the node's own, or below a package that stands there.
            Argument::Built | Argument::Other if self.is_text(first) => {
                let begin = self.bytes(first);
                let package = begin.split(|&byte| byte == b'.').next().unwrap_or_default();
                let named = begin.contains(&b'.') && !package.contains(&b'{') && !package.contains(&b'\\');
                !named || powerful_module(package)
            }
            Argument::Built | Argument::Other => true,
        };
        if told {
            self.say(Ability::HidesCalls, line, "import_module(…)");
        }
    }

    fn judge_getattr(&mut self, at: usize, line: u32) {
        let from_module = self.range(at + 1, 0).is_some_and(|(start, end)| {
            let last = self.name(end.saturating_sub(1));
            let own = self.mark_before(end.saturating_sub(1), b'.') && matches!(self.name(start), b"self" | b"cls");
            (powerful_module(last) && !own)
                || last == b"__builtins__"
                || (start..end).any(|at| matches!(self.name(at), b"__import__" | b"import_module"))
        });
        let told = match self.argument(at + 1, 1) {
            Argument::Literal(wanted) => powerful_attribute(wanted) && (from_module || wanted != b"compile"),
            Argument::Built => true,
            Argument::Other => from_module,
            Argument::None => false,
        };
        if told {
            self.say(Ability::HidesCalls, line, "getattr(…)");
        }
    }

    /// `globals()[…]`: what is called at once, or looked up by a name that does much or cannot be told.
    fn judge_table(&mut self, at: usize, line: u32) {
        let Some(close) = self.close(at + 1) else { return };
        let of_module = powerful_module(self.name(at + 2));
        let index = if self.mark(close + 1, b'[') {
            close + 1
        } else if self.mark(close + 1, b'.') && self.name(close + 2) == b"get" && self.mark(close + 3, b'(') {
            close + 3
        } else {
            return;
        };
        let called = self.close(index).is_some_and(|end| self.mark(end + 1, b'('));
        self.judge_lookup(index, line, of_module || called, "()[…]", at);
    }

    /// `os.__dict__[…]`, `sys.modules[…]`.
    fn judge_index(&mut self, at: usize, line: u32) {
        let owner = self.name(at.wrapping_sub(2));
        if self.bytes(at) == b"modules" {
            let own = self.name(at + 2) == b"__name__" || self.name(at + 2) == b"__package__";
            let written = self.close(at + 1).is_some_and(|end| self.mark(end + 1, b'=') && !self.mark(end + 2, b'='));
            if owner == b"sys" && !own && !written {
                match self.argument(at + 1, 0) {
                    Argument::Literal(module) if !powerful_module(module) => {}
                    Argument::Literal(_) | Argument::Built => self.say(Ability::HidesCalls, line, "sys.modules[…]"),
                    Argument::Other | Argument::None => {}
                }
            }
            return;
        }
        self.judge_lookup(at + 1, line, powerful_module(owner), "[…]", at);
    }

    fn judge_lookup(&mut self, open: usize, line: u32, anything: bool, suffix: &str, at: usize) {
        let told = match self.argument(open, 0) {
            Argument::Literal(wanted) => powerful_attribute(wanted) || (powerful_module(wanted) && anything),
            Argument::Built => true,
            Argument::Other => anything,
            Argument::None => false,
        };
        if told {
            self.say(Ability::HidesCalls, line, &format!("{}{suffix}", shown(self.bytes(at))));
        }
    }

    /// `chr(115)+chr(121)` and `''.join(map(chr, …))`: a text that shall not be read.
    fn judge_chr(&mut self, at: usize, line: u32) {
        let number = self.kind(at + 2) == Some(Kind::Number) && self.mark(at + 3, b')');
        if number && self.mark(at + 4, b'+') && self.name(at + 5) == b"chr" {
            self.say(Ability::HidesCalls, line, "chr(…)+chr(…)");
        }
    }
}

fn powerful_module(name: &[u8]) -> bool {
    let package = name.split(|&byte| byte == b'.').next().unwrap_or_default();
    words::POWERFUL_MODULES.contains(&package)
}

fn powerful_attribute(name: &[u8]) -> bool {
    words::POWERFUL_ATTRIBUTES.contains(&name)
}

/// As it may stand in a report: names are ASCII here, for all others a rule of its own speaks.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name.get(..name.len().min(60)).unwrap_or_default()).into_owned()
}

/// Letters that Python takes for the ASCII ones that they look like (it normalises names by NFKC, PEP 3131): mathematical, full-width,
/// raised, lowered and joined ones, and the long s.
fn look_alike(name: &[u8]) -> bool {
    if name.is_ascii() {
        return false;
    }
    let alike = |character: char| {
        matches!(u32::from(character),
            0xaa | 0xba | 0x17f | 0x2b0..=0x2b8 | 0x1d2c..=0x1d6a | 0x2071 | 0x207f | 0x2090..=0x209c | 0x2100..=0x214f
            | 0x2160..=0x217f | 0xfb00..=0xfb06 | 0xff21..=0xff5a | 0x1d400..=0x1d7ff)
    };
    let latin = |character: char| character.is_ascii_alphabetic();
    String::from_utf8_lossy(name).chars().any(|character| alike(character) && !latin(character))
}

#[cfg(test)]
mod tests;

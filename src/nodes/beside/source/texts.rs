//! What the strings of a source hold: names that are known to be bad, data that somebody encoded, commands that install packages.

use super::super::super::ability::Ability;
use super::super::super::known;
use super::super::words;
use super::arguments::MOST_ARGUMENTS;
use super::{Kind, Reader, shown};

/// A string longer than this that is nothing but letters, digits and `+/=` is data that somebody encoded.
const LONG_BLOB: usize = 2000;

impl Reader<'_> {
    pub(super) fn judge_text(&mut self, at: usize, line: u32) {
        let text = self.bytes(at);
        let continued = at.checked_sub(1).is_some_and(|before| self.is_text(before));
        if text.len() >= 5
            && let Some(why) = known::bad_text(text)
        {
            self.say(Ability::KnownBad, line, &why);
        }
        if !continued && self.encoded(at) > LONG_BLOB {
            self.say(Ability::HidesCalls, line, "a long string of encoded data");
        }
        if self.mark(at + 1, b'[')
            && self.mark(at + 2, b':')
            && self.mark(at + 3, b':')
            && self.mark(at + 4, b'-')
            && self.bytes(at + 5) == b"1"
        {
            self.say(Ability::HidesCalls, line, "a string backwards");
        }
        if text == b"trust_remote_code" && self.mark(at + 1, b':') && self.name(at + 2) != b"False" {
            self.say(Ability::EvaluatesCode, line, "trust_remote_code");
        }
        if matches!(
            text,
            b"GIT_SSL_NO_VERIFY" | b"PYTHONHTTPSVERIFY" | b"NODE_TLS_REJECT_UNAUTHORIZED" | b"--no-check-certificate"
        ) {
            self.say(Ability::TurnsTlsOff, line, &shown(text));
        }
        if contains(text, b"sitecustomize") || contains(text, b"usercustomize") {
            self.say(Ability::RunsWithPython, line, "sitecustomize");
        }
        if matches!(text, b"rot13" | b"rot_13") && self.decoder.is_none() {
            self.decoder = Some((line, "rot13".to_string()));
        }
        if self.installs(at, text) {
            self.say(Ability::InstallsPackages, line, "a command that installs");
        }
    }

    fn installs(&self, at: usize, text: &[u8]) -> bool {
        if words::INSTALLER_PROGRAMS.contains(&text) {
            let neighbours = (at + 1..at + 8).take_while(|&next| self.is_text(next) || self.mark(next, b','));
            return neighbours.into_iter().any(|next| matches!(self.bytes(next), b"install" | b"add" | b"pip"));
        }
        let text = text.get(..text.len().min(4000)).unwrap_or_default();
        let command = text.trim_ascii();
        let begins = words::INSTALLERS.iter().any(|installer| command.starts_with(installer));
        let within = [&b"-m pip"[..], b"&& pip", b"; pip", b"-m ensurepip", b"pip install -", b"&& apt", b"sudo apt"]
            .iter()
            .any(|part| contains(text, part));
        (begins || within) && !self.for_people(at)
    }

    /// A docstring, or what a call says to people.
    fn for_people(&self, mut at: usize) -> bool {
        // Strings side by side are one: look at what stands before the first.
        for _ in 0..MOST_ARGUMENTS {
            match at.checked_sub(1) {
                Some(before) if self.is_text(before) || self.mark(before, b'+') => at = before,
                _ => break,
            }
        }
        let Some(before) = at.checked_sub(1) else { return true };
        if self.kind(before) == Some(Kind::End) {
            return true;
        }
        let speaker = before.checked_sub(1).map(|at| self.name(at)).unwrap_or_default();
        let raised = [&b"Error"[..], b"Exception", b"Warning"].iter().any(|end| speaker.ends_with(end));
        self.mark(before, b'(') && (words::SPEAKERS.contains(&speaker) || raised)
    }

    /// How many characters of encoded data the strings that begin here hold together.
    fn encoded(&self, at: usize) -> usize {
        let mut length = 0;
        let mut next = at;
        while self.is_text(next) {
            let text = self.bytes(next);
            length = text.iter().fold(length, |length: usize, byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=' | b'\\' => length + 1,
                b'\n' | b'\r' => length,
                _ if length > LONG_BLOB => length,
                _ => 0,
            });
            next += 1;
        }
        length
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

//! The words of a Python source: enough to tell calls from comments and strings, and no more.
//!
//! It never fails, reads every byte a bounded number of times, and takes the fields of f-strings for code, as Python does. Where its
//! reading may differ from Python's (quotes in the fields of an f-string, as Python has it since 3.12), pieces of a string come out as
//! words; a rule that then sees a call with arguments that it cannot tell says so.

/// How many words are read of one file: every byte of the largest source may be one.
const MOST: usize = 4 << 20;

/// How deep f-strings are read within each other; Python itself knew four kinds of quotes before 3.12.
const DEEPEST: u8 = 4;

/// What a word is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A keyword or an identifier.
    Name,
    /// A string, from quote to quote without them; of an f-string its fields follow as words.
    Text {
        /// An f-string.
        formatted: bool,
    },
    /// A number.
    Number,
    /// Any other byte.
    Mark(u8),
    /// A line's end that is no line's end within brackets.
    End,
    /// Something that is made not to be seen, which the length tells: a comment of thousands of bytes, code far to the right.
    Hidden(&'static str),
}

/// A word and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) line: u32,
}

/// The words of a source.
pub(super) fn read(source: &[u8]) -> Vec<Token> {
    let mut lexer = Lexer { source, tokens: Vec::new() };
    let start = if source.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    lexer.lex(start, source.len(), 1, 0);
    lexer.tokens
}

/// A comment longer than this holds something else than a remark.
const LONG_COMMENT: usize = 2000;

/// Blanks before code on the same line beyond which no window shows it.
const WIDE_GAP: usize = 150;

struct Lexer<'a> {
    source: &'a [u8],
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn byte(&self, at: usize, end: usize) -> Option<u8> {
        if at < end { self.source.get(at).copied() } else { None }
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize, line: u32) {
        self.tokens.push(Token { kind, start, end, line });
    }

    /// How long what begins at `at` is, as far as the bytes are `wanted`.
    fn run(&self, at: usize, end: usize, wanted: impl Fn(u8) -> bool) -> usize {
        self.source.get(at..end).unwrap_or_default().iter().take_while(|&&byte| wanted(byte)).count()
    }

    /// Reads `at..end` as code; `depth`: in how many f-strings it stands.
    fn lex(&mut self, mut at: usize, end: usize, mut line: u32, depth: u8) {
        let mut brackets = 0u32;
        let mut begun = false;
        while let Some(byte) = self.byte(at, end)
            && self.tokens.len() < MOST
        {
            match byte {
                b' ' | b'\t' | b'\x0c' => {
                    let length = self.run(at, end, |byte| matches!(byte, b' ' | b'\t' | b'\x0c'));
                    at += length;
                    let code = self.byte(at, end).is_some_and(|next| !matches!(next, b'\n' | b'\r' | b'#' | b'\\'));
                    if length >= WIDE_GAP && begun && code {
                        self.push(Kind::Hidden("code far to the right"), at, at, line);
                    }
                }
                b'\r' if self.byte(at + 1, end) == Some(b'\n') => at += 1,
                b'\n' | b'\r' => {
                    // A bracket in a string that was misread must not make one line of the rest.
                    let rest = self.source.get(at + 1..end).unwrap_or_default();
                    if rest.starts_with(b"import ") || rest.starts_with(b"from ") || rest.starts_with(b"def ") {
                        brackets = 0;
                    }
                    if brackets == 0 && depth == 0 {
                        self.push(Kind::End, at, at, line);
                    }
                    (at, line, begun) = (at + 1, line.saturating_add(1), false);
                }
                b'\\' => {
                    at += 1 + self.line_end(at + 1, end);
                    line = line
                        .saturating_add(u32::from(matches!(self.source.get(at.wrapping_sub(1)), Some(b'\n' | b'\r'))));
                }
                b'#' => {
                    let length = self.run(at, end, |byte| byte != b'\n' && byte != b'\r');
                    if length > LONG_COMMENT {
                        self.push(Kind::Hidden("a comment of thousands of characters"), at, at, line);
                    }
                    at += length;
                }
                b'"' | b'\'' => {
                    (at, line) = self.text(at, end, line, false, depth);
                    begun = true;
                }
                b'0'..=b'9' => {
                    let length = self.run(at, end, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.');
                    self.push(Kind::Number, at, at + length, line);
                    (at, begun) = (at + length, true);
                }
                b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => {
                    let length = self.run(at, end, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80);
                    let quoted = matches!(self.byte(at + length, end), Some(b'"' | b'\''));
                    match self.source.get(at..at + length).and_then(prefix).filter(|_| quoted) {
                        Some(formatted) => (at, line) = self.text(at + length, end, line, formatted, depth),
                        None => {
                            self.push(Kind::Name, at, at + length, line);
                            at += length;
                        }
                    }
                    begun = true;
                }
                mark => {
                    match mark {
                        b'(' | b'[' | b'{' => brackets = brackets.saturating_add(1),
                        b')' | b']' | b'}' => brackets = brackets.saturating_sub(1),
                        _ => {}
                    }
                    self.push(Kind::Mark(mark), at, at + 1, line);
                    (at, begun) = (at + 1, true);
                }
            }
        }
    }

    /// How long the line end at `at` is; 0 where there is none.
    fn line_end(&self, at: usize, end: usize) -> usize {
        match (self.byte(at, end), self.byte(at + 1, end)) {
            (Some(b'\r'), Some(b'\n')) => 2,
            (Some(b'\r' | b'\n'), _) => 1,
            _ => 0,
        }
    }

    /// Reads the string whose first quote stands at `at`; where it ends and on which line. One that does not end before its line (or,
    /// with three quotes, the file) does is an error to Python; here it ends there.
    fn text(&mut self, at: usize, end: usize, first_line: u32, formatted: bool, depth: u8) -> (usize, u32) {
        let quote = self.byte(at, end).unwrap_or_default();
        let triple = self.byte(at + 1, end) == Some(quote) && self.byte(at + 2, end) == Some(quote);
        let begin = if triple { at + 3 } else { at + 1 };
        let (mut here, mut line) = (begin, first_line);
        let (content_end, after) = loop {
            match self.byte(here, end) {
                None => break (here.min(end), end),
                Some(b'\\') => {
                    let length = self.line_end(here + 1, end);
                    line = line.saturating_add(u32::from(length > 0));
                    here += 1 + length.max(1);
                }
                Some(b'\n' | b'\r') if !triple => break (here, here),
                Some(b'\n' | b'\r') => {
                    here += self.line_end(here, end);
                    line = line.saturating_add(1);
                }
                Some(byte) if byte == quote => {
                    let closes =
                        !triple || (self.byte(here + 1, end) == Some(quote) && self.byte(here + 2, end) == Some(quote));
                    if closes {
                        break (here, if triple { here + 3 } else { here + 1 });
                    }
                    here += 1;
                }
                Some(_) => here += 1,
            }
        };
        self.push(Kind::Text { formatted }, begin, content_end, first_line);
        if formatted {
            self.fields(begin, content_end, first_line, depth);
        }
        (after, line)
    }

    /// Reads what stands in braces in an f-string as code.
    fn fields(&mut self, mut at: usize, end: usize, mut line: u32, depth: u8) {
        while let Some(byte) = self.byte(at, end) {
            match byte {
                b'{' if self.byte(at + 1, end) == Some(b'{') => at += 2,
                b'{' if depth >= DEEPEST => {
                    return self.push(Kind::Hidden("f-strings within f-strings"), at, at, line);
                }
                b'{' => {
                    let close = self.field_end(at + 1, end);
                    self.push(Kind::Mark(b'{'), at, at + 1, line);
                    self.lex(at + 1, close, line, depth + 1);
                    self.push(Kind::Mark(b'}'), close, end.min(close + 1), line);
                    let within = self.source.get(at..close).unwrap_or_default();
                    line = line.saturating_add(within.iter().filter(|&&byte| byte == b'\n').count() as u32);
                    at = close + 1;
                }
                _ => {
                    line = line.saturating_add(u32::from(byte == b'\n'));
                    at += 1;
                }
            }
        }
    }

    /// Where the brace that was opened before `at` is closed, strings passed over.
    fn field_end(&self, mut at: usize, end: usize) -> usize {
        let mut open = 0u32;
        while let Some(byte) = self.byte(at, end) {
            match byte {
                b'}' if open == 0 => return at,
                b'}' => open -= 1,
                b'{' => open = open.saturating_add(1),
                b'"' | b'\'' => at += 1 + self.run(at + 1, end, |other| other != byte),
                _ => {}
            }
            at += 1;
        }
        end
    }
}

/// Whether a string with this prefix is an f-string; none: it is no prefix.
fn prefix(name: &[u8]) -> Option<bool> {
    let letters = |wanted: &[u8]| name.iter().all(|byte| wanted.contains(&byte.to_ascii_lowercase()));
    match name.len() {
        1 if letters(b"rub") => Some(false),
        2 if letters(b"rb") => Some(false),
        1 | 2 if letters(b"frt") => Some(name.iter().any(|byte| matches!(byte, b'f' | b'F' | b't' | b'T'))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    /// Each word as it stands, strings in quotes, ends as `;`.
    fn words(source: &str) -> String {
        let mut words = String::new();
        for token in read(source.as_bytes()) {
            let text = &source[token.start..token.end];
            match token.kind {
                Kind::Text { formatted: false } => write!(words, "<{text}> "),
                Kind::Text { formatted: true } => write!(words, "f<{text}> "),
                Kind::End => write!(words, "; "),
                Kind::Hidden(what) => write!(words, "!{what}! "),
                Kind::Name | Kind::Number | Kind::Mark(_) => write!(words, "{text} "),
            }
            .unwrap();
        }
        words.trim_end().to_string()
    }

    #[test]
    fn comments_and_strings_are_told_from_code() {
        assert_eq!(words("a = 'b # c' # d\ne"), "a = <b # c> ; e");
        assert_eq!(words("'''a\n'b'\n''' + \"c\\\"d\""), "<a\n'b'\n> + <c\\\"d>");
        assert_eq!(words("rb'x' Rb\"y\" u'z' bad'w'"), "<x> <y> <z> bad <w>");
        assert_eq!(words("f(\n1,\n2)\ng"), "f ( 1 , 2 ) ; g");
        assert_eq!(words("a \\\n b"), "a b");
        assert_eq!(words("\u{feff}import os\r\nx"), "import os ; x");
        assert_eq!(words("'' ''''''x"), "<> <> x");
        assert_eq!(words("1.5e3 0x_f"), "1.5e3 0x_f");
    }

    #[test]
    fn a_field_of_an_f_string_is_code() {
        assert_eq!(words("f'a{b(\"c\")}{{d}}{e:>{w}}'"), "f<a{b(\"c\")}{{d}}{e:>{w}}> { b ( <c> ) } { e : > { w } }");
        assert_eq!(words("f'{f\"{x}\"}'"), "f<{f\"{x}\"}> { f<{x}> { x } }");
        assert_eq!(words("f'{'"), "f<{> {");
        // As Python has it since 3.12: in pieces, but nothing is lost.
        assert_eq!(words("f'{g('h')}'"), "f<{g(> { g (  h <)}>");
    }

    #[test]
    fn what_does_not_end_ends_with_its_line_or_the_file() {
        assert_eq!(words("a = 'b\nc"), "a = <b> ; c");
        assert_eq!(words("'''b\nc"), "<b\nc>");
        assert_eq!(words("'a\\"), "<a\\>");
        assert_eq!(words("\\"), "");
    }

    #[test]
    fn lines_are_counted_as_python_does() {
        let lines = |source: &str| -> Vec<u32> {
            read(source.as_bytes()).iter().filter(|token| token.kind == Kind::Name).map(|token| token.line).collect()
        };
        assert_eq!(lines("a\nb\r\nc\rd"), [1, 2, 3, 4]);
        assert_eq!(lines("'''\n\n'''\na\\\nb\\\r\nc"), [4, 5, 6]);
        assert_eq!(lines("'x\\\ny'\na"), [3]);
        assert_eq!(lines("f'''\n{\na}{b}\n{c}'''\nd"), [3, 3, 4, 5]);
    }

    #[test]
    fn what_is_made_not_to_be_seen_is_told() {
        assert!(words(&format!("a;{}b", " ".repeat(WIDE_GAP))).contains("!code far to the right!"));
        assert!(
            !words(&format!("a;{}\n{}b # {}", " ".repeat(WIDE_GAP), " ".repeat(WIDE_GAP), "c".repeat(100)))
                .contains('!')
        );
        assert!(words(&format!("#{}", "a".repeat(LONG_COMMENT))).contains('!'));
        let deep = (0..6).fold("x".to_string(), |inner, depth| {
            let quote = ["'", "\"", "'''", "\"\"\""][depth % 4];
            format!("f{quote}{{{inner}}}{quote}")
        });
        assert!(words(&deep).contains('x') || words(&deep).contains('!'), "{}", words(&deep));
    }
}

//! The syntax of .env files as dotenvx reads it, without what it does to values: nothing is expanded, nothing is run.
//!
//! dotenvx passes silently over what it does not understand; here it is a fault, so that no variable is missing
//! unnoticed.

use zeroize::Zeroizing;

/// One line that sets a variable.
pub struct Assignment<'a> {
    /// Where it begins, from 1.
    pub line: usize,
    /// Letters, digits, `_`, `.` and `-`.
    pub name: &'a [u8],
    /// How the value was quoted.
    pub quote: Quote,
    /// The value as it stands between the quotes.
    pub raw: &'a [u8],
    /// `NAME: value`, which dotenvx reads and does not encrypt.
    pub colon: bool,
}

/// What stands around a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quote {
    None,
    Single,
    Double,
    Backtick,
}

/// A line that sets nothing and is no comment.
#[derive(PartialEq, Eq, Debug)]
pub struct SyntaxFault<'a> {
    /// Where it begins, from 1.
    pub line: usize,
    /// Its variable, where it has one.
    pub name: Option<&'a [u8]>,
}

/// Line ends become `\n` (in quotes too) and a byte order mark goes, as in the original.
pub fn normalise(content: &[u8]) -> Zeroizing<Vec<u8>> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    // As large as it can become: what grows leaves its former places behind.
    let mut text = Zeroizing::new(Vec::with_capacity(content.len()));
    for (index, &byte) in content.iter().enumerate() {
        match byte {
            b'\r' if content.get(index + 1) == Some(&b'\n') => {}
            b'\r' => text.push(b'\n'),
            _ => text.push(byte),
        }
    }
    text
}

/// The assignments of a [`normalise`] text in their order, and the faults between them.
pub fn parse(text: &[u8]) -> impl Iterator<Item = Result<Assignment<'_>, SyntaxFault<'_>>> {
    let mut rest = text;
    let mut line = 1;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (found, length) = parse_assignment(rest, line);
            let (read, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            line += read.iter().filter(|&&byte| byte == b'\n').count();
            if found.is_some() {
                return found;
            }
        }
        None
    })
}

/// What begins at the beginning of `text`, and how long it is, with the end of its last line.
fn parse_assignment(text: &[u8], line: usize) -> (Option<Result<Assignment<'_>, SyntaxFault<'_>>>, usize) {
    let first_line = leading_line(text);
    let content = first_line.trim_ascii();
    if content.is_empty() || content.starts_with(b"#") {
        return (None, first_line.len() + 1);
    }
    let Some((name, colon, value)) = split_name(first_line) else {
        return (Some(Err(SyntaxFault { line, name: None })), first_line.len() + 1);
    };
    let begin = first_line.len() - value.len();
    let quote = match value.first() {
        Some(b'\'') => Quote::Single,
        Some(b'"') => Quote::Double,
        Some(b'`') => Quote::Backtick,
        _ => {
            let end = value.iter().position(|&byte| byte == b'#').unwrap_or(value.len());
            let raw = value[..end].trim_ascii();
            return (Some(Ok(Assignment { line, name, quote: Quote::None, raw, colon })), first_line.len() + 1);
        }
    };
    match find_closing_quote(&text[begin..]) {
        Some(end) => {
            let raw = &text[begin + 1..begin + end];
            let length = begin + end + leading_line(&text[begin + end..]).len() + 1;
            (Some(Ok(Assignment { line, name, quote, raw, colon })), length)
        }
        None => (Some(Err(SyntaxFault { line, name: Some(name) })), first_line.len() + 1),
    }
}

fn leading_line(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == b'\n').next().unwrap_or_default()
}

/// `[export] NAME =`, or `[export] NAME: `, and what follows on the line from its first visible byte on.
fn split_name(line: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let line = line.trim_ascii_start();
    let exported = line.strip_prefix(b"export").filter(|rest| rest.first().is_some_and(u8::is_ascii_whitespace));
    // `export = 1` sets a variable of that name.
    exported.and_then(|rest| parse_name(rest.trim_ascii_start())).or_else(|| parse_name(line))
}

fn parse_name(line: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    let end = line.iter().position(|byte| !in_name(byte)).filter(|&end| end > 0)?;
    let (name, rest) = line.split_at(end);
    if let Some(value) = rest.strip_prefix(b":") {
        return value.first().is_some_and(u8::is_ascii_whitespace).then(|| (name, true, value.trim_ascii_start()));
    }
    rest.trim_ascii_start().strip_prefix(b"=").map(|value| (name, false, value.trim_ascii_start()))
}

/// Where the quote that begins `text` ends: nothing but a comment stands behind it. One behind a backslash ends it only
/// where no other does (`'C:\'`).
fn find_closing_quote(text: &[u8]) -> Option<usize> {
    let quote = text.first()?;
    let mut last = None;
    for (index, _) in text.iter().enumerate().skip(1).filter(|(_, byte)| *byte == quote) {
        let behind = leading_line(&text[index + 1..]).trim_ascii();
        if behind.is_empty() || behind.starts_with(b"#") {
            last = Some(index);
        }
        if text[index - 1] != b'\\' {
            break;
        }
    }
    last
}

impl Assignment<'_> {
    /// The value: escapes that the quotes ask for are resolved, nothing else.
    pub fn value(&self) -> Zeroizing<Vec<u8>> {
        let mut value = Zeroizing::new(Vec::with_capacity(self.raw.len()));
        let mut rest = self.raw;
        while let [first, after @ ..] = rest {
            let escaped = match (first, after.first(), self.quote) {
                (b'\\', Some(b'\''), Quote::Single) => Some(b'\''),
                (b'\\', Some(b'n'), Quote::Double) => Some(b'\n'),
                (b'\\', Some(b'r'), Quote::Double) => Some(b'\r'),
                (b'\\', Some(b't'), Quote::Double) => Some(b'\t'),
                // How one writes a dollar that dotenvx shall leave alone.
                (b'\\', Some(b'$'), Quote::None | Quote::Double | Quote::Backtick) => Some(b'$'),
                _ => None,
            };
            value.push(escaped.unwrap_or(*first));
            rest = if escaped.is_some() { &after[1..] } else { after };
        }
        value
    }

    /// dotenvx would run a part of it.
    pub fn has_command(&self) -> bool {
        self.quote != Quote::Single && has_command(self.raw)
    }

    /// dotenvx would put another variable's value in the place of a part of it.
    pub fn has_reference(&self) -> bool {
        let refers = |pair: &[u8]| {
            pair[0] != b'\\' && pair[1] == b'$' && (pair[2] == b'{' || pair[2] == b'_' || pair[2].is_ascii_alphabetic())
        };
        let padded = Zeroizing::new([b" ", self.raw].concat());
        self.quote != Quote::Single && padded.windows(3).any(refers)
    }
}

/// Whether a value holds what dotenvx and a shell take for a command.
pub fn has_command(value: &[u8]) -> bool {
    value.windows(2).any(|pair| pair == b"$(")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, String, Option<String>)> {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let text = normalise(text.as_bytes());
        let read = parse(&text).map(|found| match found {
            Ok(found) => (found.line, shown(found.name), Some(shown(&found.value()))),
            Err(fault) => (fault.line, shown(fault.name.unwrap_or_default()), None),
        });
        read.collect()
    }

    #[track_caller]
    fn sets(text: &str, name: &str, value: &str) {
        assert_eq!(read(text), [(1, name.to_owned(), Some(value.to_owned()))], "{text:?}");
    }

    #[test]
    fn values_are_read_as_dotenvx_reads_them_and_stay_literal() {
        for (text, name, value) in [
            ("A=b", "A", "b"),
            ("export A=b", "A", "b"),
            ("  export\tA = b  ", "A", "b"),
            ("export=1", "export", "1"),
            ("export = 1", "export", "1"),
            ("1.a-b_C=x", "1.a-b_C", "x"),
            ("A: b", "A", "b"),
            ("A=", "A", ""),
            ("A=#x", "A", ""),
            ("A=b # c", "A", "b"),
            ("A='b # c' # d", "A", "b # c"),
            ("A='single $HOME $(echo x) \\n'", "A", "single $HOME $(echo x) \\n"),
            ("A='it\\'s'", "A", "it's"),
            ("A='C:\\'", "A", "C:\\"),
            (r#"A="a\nb\tc\r\"d""#, "A", "a\nb\tc\r\\\"d"),
            ("A=`back \"tick\" 'x' \\n`", "A", "back \"tick\" 'x' \\n"),
            ("A=\"line1\nline2\"\n", "A", "line1\nline2"),
            ("A=\"line1\r\nline2\"\r\n", "A", "line1\nline2"),
            ("A=it's", "A", "it's"),
            ("A=${B:-c}", "A", "${B:-c}"),
            ("A=\\$HOME", "A", "$HOME"),
            ("A='\\$HOME'", "A", "\\$HOME"),
            ("\u{feff}A=日本語", "A", "日本語"),
            ("A=b=c==", "A", "b=c=="),
        ] {
            sets(text, name, value);
        }
        assert_eq!(read("\n# A=1\n   \n  # B=2\r"), []);
    }

    #[test]
    fn what_is_no_assignment_is_a_fault_with_its_line() {
        for text in ["BAD LINE", "=x", "A:b", "A:", "A b=c", "export", "é=1", "A='open", "A=\"open # x", "A='b' c"] {
            let found = read(&format!("X=1\n\n{text}\nY=2"));
            let [x, (3, _, None), (4, y, _)] = found.as_slice() else { panic!("{text:?}: {found:?}") };
            assert_eq!((x.1.as_str(), y.as_str()), ("X", "Y"));
        }
        // The line after a value of several lines is counted from the file's beginning.
        assert_eq!(read("A='1\n2\n3'\nBAD LINE")[1], (4, String::new(), None));
    }

    #[test]
    fn the_quotes_of_the_next_line_do_not_end_this_one() {
        assert_eq!(
            read("A='C:\\'\nB='x'"),
            [(1, "A".to_owned(), Some("C:\\".to_owned())), (2, "B".to_owned(), Some("x".to_owned()))]
        );
        assert_eq!(read("A=\nB='x'").len(), 2);
    }

    #[test]
    fn what_dotenvx_would_evaluate_is_seen_outside_single_quotes() {
        let seen = |text: &str| {
            let found = parse(text.as_bytes()).next().unwrap().ok().unwrap();
            (found.has_command(), found.has_reference())
        };
        for text in ["A=$(x)", "A=\"$(x)\"", "A=`$(x)`", "A=\\$(x)"] {
            assert_eq!(seen(text), (true, false), "{text}");
        }
        for text in ["A=$B", "A=\"x ${B}\"", "A=`${B}`", "A=$_"] {
            assert_eq!(seen(text), (false, true), "{text}");
        }
        for text in ["A='$(x) $B'", "A=\\$B", "A=$", "A=$1", "A=(x)"] {
            assert_eq!(seen(text), (false, false), "{text}");
        }
    }
}

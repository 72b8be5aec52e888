//! As much of Rust as it takes to find the paths in a file: `crate::…` and `super::…`, in `use` and anywhere else. Comments,
//! literals and what is compiled for tests alone count for nothing.

/// A path, from its first name on, and the line that it begins in.
pub type Named = (Vec<String>, usize);

type Token<'a> = (&'a str, usize);

/// All paths of a file that begin with `crate`, `super` or the library's own name.
pub fn paths(text: &str) -> Vec<Named> {
    let tokens = without_tests(&tokens(text));
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = matches!(tokens[at].0, "crate" | "super" | "takumi_init");
        let is_first = at == 0 || tokens[at - 1].0 != "::";
        at = if begins && is_first { path(&tokens, at, &[], &mut found) } else { at + 1 };
    }
    found.retain(|(names, _)| names.len() > 1);
    found
}

/// One branch of a tree of paths (`a::{b, c::d}`) after the names that lead to it; returns where it ends.
fn path(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<Named>) -> usize {
    let mut names = before.to_vec();
    let line = tokens[at].1;
    while let Some(&(token, _)) = tokens.get(at) {
        if token == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|(token, _)| *token != "}") {
                at = if tokens[at].0 == "," { at + 1 } else { path(tokens, at, &names, found) };
            }
            return at + 1;
        }
        if is_name(token) {
            names.push(token.to_string());
        }
        at += 1;
        if tokens.get(at).is_none_or(|(token, _)| *token != "::") {
            break;
        }
        at += 1;
    }
    if tokens.get(at).is_some_and(|(token, _)| *token == "as") {
        at += 2;
    }
    found.push((names, line));
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::` and single signs, with their lines.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = length_of(rest, first);
        let token = &rest[..length];
        let counts = !first.is_whitespace() && first != '"' && !token.starts_with("//") && !token.starts_with("/*");
        if counts {
            tokens.push((token, line));
        }
        line += token.matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

fn length_of(rest: &str, first: char) -> usize {
    let until = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    match first {
        '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
        '/' if rest.starts_with("/*") => until("*/"),
        ':' if rest.starts_with("::") => 2,
        '"' => 1 + quoted(&rest[1..], '"'),
        // A letter in quotes, not a lifetime.
        '\'' if rest.starts_with("'\\") => 1 + quoted(&rest[1..], '\''),
        '\'' => rest.char_indices().nth(2).filter(|(_, last)| *last == '\'').map_or(1, |(at, _)| at + 1),
        'r' | 'b' | 'c' if raw_marks(rest).is_some() => {
            let (begin, marks) = raw_marks(rest).unwrap();
            let end = format!("\"{}", "#".repeat(marks));
            begin + rest[begin..].find(&end).map_or(rest.len() - begin, |at| at + end.len())
        }
        _ if is_name(&rest[..first.len_utf8()]) => {
            rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len())
        }
        _ => first.len_utf8(),
    }
}

/// Where the content of a raw text (`r#"…"#`, `br"…"`) begins, and how many `#` end it.
fn raw_marks(rest: &str) -> Option<(usize, usize)> {
    let after = rest.trim_start_matches(['b', 'c']).strip_prefix('r')?;
    let marks = after.len() - after.trim_start_matches('#').len();
    after[marks..].starts_with('"').then(|| (rest.len() - after.len() + marks + 1, marks))
}

/// The length of what follows an opening quote, with the closing one.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            letter if letter == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Leaves out each item under `#[cfg(test)]`.
fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut left = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_marked = tokens.get(at..at + MARK.len()).is_some_and(|next| next.iter().map(|next| next.0).eq(MARK));
        if !is_marked {
            left.push(tokens[at]);
            at += 1;
            continue;
        }
        let mut depth = 0;
        for (token, _) in &tokens[at..] {
            at += 1;
            depth += i32::from(matches!(*token, "{" | "[" | "(")) - i32::from(matches!(*token, "}" | "]" | ")"));
            if depth == 0 && matches!(*token, ";" | "}") {
                break;
            }
        }
    }
    left
}

#[test]
fn every_way_to_name_something_is_found() {
    let text = r##"//! crate::comment
use crate::a::{self, b::C, d as e, f::{G, h::*}};
use super::{i, super::j};
fn k<'x>(x: &'x str) -> crate::l::M {
    let _ = ("crate::text", r#"crate::raw " "#, b"\"crate::bytes", '"', '\'', x);
    super::n::o::<crate::p::Q>() /* crate::r */
}
#[cfg(test)]
mod tests { use crate::tests::Only; }
pub(in crate::s) struct T;
#[cfg(test)]
use crate::tests::Too;
"##;
    let found: Vec<String> = paths(text).iter().map(|(names, line)| format!("{line} {}", names.join("::"))).collect();
    let expected = [
        "2 crate::a::self", "2 crate::a::b::C", "2 crate::a::d", "2 crate::a::f::G", "2 crate::a::f::h", "3 super::i",
        "3 super::super::j", "4 crate::l::M", "6 super::n::o", "6 crate::p::Q", "10 crate::s",
    ];
    assert_eq!(found, expected);
}

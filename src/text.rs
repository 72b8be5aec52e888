//! Bytes of strangers (paths, values, names) on a line of ours.

use std::fmt::{self, Write};

/// Shows bytes as text on one line: control characters, backslashes and invalid UTF-8 are escaped as in Rust, the rest
/// stands as it is. Takes no allocation.
pub struct Escaped<'a>(pub &'a [u8]);

/// How much of a value a message repeats, in bytes.
const MAX_BYTES: usize = 200;

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = self.0.split_at(self.0.len().min(MAX_BYTES));
        EscapedFull(shown).fmt(f)?;
        if rest.is_empty() { Ok(()) } else { f.write_str("…") }
    }
}

/// The same, and never cut: for what has to be told from its neighbours.
pub struct EscapedFull<'a>(pub &'a [u8]);

impl fmt::Display for EscapedFull<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    _ if character.is_control() => write!(f, "{}", character.escape_debug())?,
                    _ => f.write_char(character)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Text that is escaped already, and from now on nothing but one line.
pub struct SingleLine<'a>(pub &'a str);

impl fmt::Display for SingleLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character.is_control() {
                true => write!(f, "{}", character.escape_debug())?,
                false => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Shows items with a comma between them.
pub struct List<'a, Item>(pub &'a [Item]);

impl<Item: fmt::Display> fmt::Display for List<'_, Item> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}

/// The first of them, and how many more there are: of what a host has hundreds.
pub fn first_few(items: &[impl fmt::Display]) -> String {
    let shown = &items[..items.len().min(4)];
    match items.len() - shown.len() {
        0 => List(shown).to_string(),
        more => format!("{} and {more} more", List(shown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_begin_a_line_of_its_own() {
        assert_eq!(Escaped(b"a\nb\x1b[1m\\\xff\xc3\xa9").to_string(), "a\\nb\\u{1b}[1m\\\\\\xff\u{e9}");
    }

    #[test]
    fn what_is_escaped_is_not_escaped_again() {
        assert_eq!(SingleLine(&Escaped(b"a\xff\n").to_string()).to_string(), "a\\xff\\n");
        assert_eq!(SingleLine("a\u{1b}[1m").to_string(), "a\\u{1b}[1m");
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(Escaped(&[b'x'; 1000]).to_string().len(), MAX_BYTES + "…".len());
    }

    #[test]
    fn items_stand_with_commas() {
        assert_eq!(List(&[1, 2, 3]).to_string(), "1, 2, 3");
        assert_eq!(List::<u8>(&[]).to_string(), "");
    }
}

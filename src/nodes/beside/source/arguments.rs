//! The arguments of a call, as far as words tell them.

use super::super::words;
use super::{Kind, Reader, powerful_attribute, powerful_module};

/// What an argument of a call is.
pub(super) enum Argument<'a> {
    /// One plain string.
    Literal(&'a [u8]),
    /// A string that is put together or decoded to a name that does much, or to one that cannot be told.
    Built,
    /// Anything else.
    Other,
    /// The call has no such argument.
    None,
}

/// How many words of a call's arguments are looked at.
pub(super) const MOST_ARGUMENTS: usize = 64;

impl<'a> Reader<'a> {
    /// Where the bracket at `open` is closed, as far as is looked.
    pub(super) fn close(&self, open: usize) -> Option<usize> {
        let mut depth = 0u32;
        for at in open..open + MOST_ARGUMENTS {
            match self.kind(at)? {
                Kind::Mark(b'(' | b'[' | b'{') => depth += 1,
                Kind::Mark(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return Some(at);
            }
        }
        None
    }

    /// The words of an argument of the bracket at `open`.
    pub(super) fn range(&self, open: usize, number: usize) -> Option<(usize, usize)> {
        let (mut depth, mut passed, mut start) = (0u32, 0, open + 1);
        for at in open..open + MOST_ARGUMENTS {
            let kind = self.kind(at)?;
            match kind {
                Kind::Mark(b'(' | b'[' | b'{') => depth += 1,
                Kind::Mark(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            let comma = depth == 1 && kind == Kind::Mark(b',');
            if comma || depth == 0 {
                if passed == number {
                    return (start < at).then_some((start, at));
                }
                if !comma {
                    return None;
                }
                (passed, start) = (passed + 1, at + 1);
            }
        }
        // It goes on beyond what is looked at.
        (passed == number).then_some((start, open + MOST_ARGUMENTS))
    }

    pub(super) fn argument(&self, open: usize, number: usize) -> Argument<'a> {
        let Some((start, end)) = self.range(open, number) else { return Argument::None };
        if end == start + 1
            && let Some(text) = self.text(start)
        {
            return if text.contains(&b'\\') { Argument::Built } else { Argument::Literal(text) };
        }
        let (mut joined, mut joined_to) = (Vec::new(), 0);
        for at in start..end {
            // The strings in the fields of an f-string stand in it already.
            if let Some(token) = self.tokens.get(at).filter(|token| self.is_text(at) && token.start >= joined_to) {
                joined.extend_from_slice(self.bytes(at));
                joined_to = token.end;
            }
            let decoded = [&b"chr"[..], b"decode", b"reversed", b"ord"].contains(&self.name(at))
                || words::DECODERS.contains(&self.name(at));
            let backwards = self.mark(at, b'-') && self.bytes(at + 1) == b"1" && self.mark(at.wrapping_sub(1), b':');
            if decoded || backwards {
                return Argument::Built;
            }
        }
        let letters: Vec<u8> = joined.into_iter().filter(|byte| !b"{}'\"".contains(byte)).collect();
        if powerful_attribute(&letters) || powerful_module(&letters) || letters.contains(&b'\\') {
            return Argument::Built;
        }
        Argument::Other
    }
}

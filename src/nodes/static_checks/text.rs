//! What the readers of lines have in common.

use super::super::behaviour::Behaviour;

/// Something in a file: what, on which line (0: in all of it), and in a few words what stands there.
pub(super) type Indicator = (Behaviour, u32, String);

/// The lines of a text, whichever way they end.
pub(super) fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split_inclusive(|&byte| byte == b'\n').flat_map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line).split(|&byte| byte == b'\r')
    })
}

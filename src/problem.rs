//! What went wrong and what to do about it: a line of its own, or the halves of a finding.

use std::fmt;

/// `what was attempted, on what: the kernel's word (what to do)`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What was attempted, on what, and the kernel's word.
    pub what: String,
    /// What to type or to change.
    pub fix: String,
}

impl Problem {
    pub fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Problem { what: what.into(), fix: fix.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.fix)
    }
}

//! One check's answer.

use serde::Serialize;

/// A finding, as text and JSON show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The check.
    pub id: &'static str,
    /// The shield that it belongs to.
    pub shield: &'static str,
    /// Its answer.
    pub status: Status,
    /// Whether a start is refused while it is not held.
    pub required: bool,
    /// What was seen.
    pub detail: String,
    /// What to type or to change; always there where the status is neither held nor skipped.
    pub fix: Option<String>,
}

/// A check's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is as it should be.
    Held,
    /// It is not.
    Missing,
    /// It could not be seen.
    Unknown,
    /// It does not apply here, or was told not to run.
    Skipped,
}

impl Finding {
    /// A check that found what it should.
    pub fn held(id: &'static str, shield: &'static str, detail: String) -> Self {
        Finding { id, shield, status: Status::Held, required: false, detail, fix: None }
    }

    /// A check that did not.
    pub fn missing(id: &'static str, shield: &'static str, detail: String, fix: String) -> Self {
        Finding { id, shield, status: Status::Missing, required: false, detail, fix: Some(fix) }
    }

    /// Whether a start is refused for it.
    pub fn refuses(&self) -> bool {
        self.required && matches!(self.status, Status::Missing | Status::Unknown)
    }
}

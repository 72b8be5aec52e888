//! One check's answer.

use crate::problem::Problem;
use crate::settings::checks::{Check, Shield};
use serde::{Deserialize, Serialize};

/// A finding, as text and JSON show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    pub id: Check,
    /// The shield that it belongs to.
    pub shield: Shield,
    /// Its answer.
    pub status: Status,
    /// Whether a start is refused while it does not pass.
    pub required: bool,
    /// What was seen.
    pub detail: String,
    /// What to type or to change; always there where the status is neither pass nor skipped.
    pub fix: Option<String>,
}

/// A check's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is as it should be.
    #[serde(rename = "pass")]
    Held,
    /// It is not.
    #[serde(rename = "fail")]
    Missing,
    /// It could not be seen.
    Unknown,
    /// It does not apply here, or was told not to run.
    Skipped,
}

impl Status {
    /// As it is shown.
    pub fn word(self) -> &'static str {
        match self {
            Status::Held => "pass",
            Status::Missing => "fail",
            Status::Unknown => "unknown",
            Status::Skipped => "skipped",
        }
    }
}

impl Finding {
    fn new(id: Check, status: Status, detail: String, fix: Option<String>) -> Self {
        Finding { id, shield: id.shield(), status, required: false, detail, fix }
    }

    /// A check that found what it should.
    pub fn held(id: Check, detail: impl Into<String>) -> Self {
        Self::new(id, Status::Held, detail.into(), None)
    }

    /// A check that did not.
    pub fn missing(id: Check, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(id, Status::Missing, detail.into(), Some(fix.into()))
    }

    /// The same, where something was tried.
    pub fn problem(id: Check, problem: Problem) -> Self {
        Self::missing(id, problem.what, problem.fix)
    }

    /// A check that could not see what it should look at.
    pub fn unknown(id: Check, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(id, Status::Unknown, detail.into(), Some(fix.into()))
    }

    /// A check that does not apply here, and why.
    pub fn skipped(id: Check, detail: impl Into<String>) -> Self {
        Self::new(id, Status::Skipped, detail.into(), None)
    }

    /// Whether it is as it should be, or does not apply.
    pub fn is_well(&self) -> bool {
        matches!(self.status, Status::Held | Status::Skipped)
    }

    /// Whether a start is refused for it.
    pub fn refuses(&self) -> bool {
        self.required && !self.is_well()
    }
}

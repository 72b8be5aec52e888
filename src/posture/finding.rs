//! One check's answer.

use crate::problem::Problem;
use crate::settings::checks::{Check, Shield};
use serde::{Deserialize, Serialize};

/// A finding, as text and JSON show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    pub id: Check,
    /// The shield that it belongs to.
    pub shield: Shield,
    pub status: CheckStatus,
    /// Whether a start is refused while it does not pass.
    pub required: bool,
    pub detail: String,
    /// What to type or to change; always there where the status is neither pass nor skipped.
    pub fix: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// It is as it should be.
    #[serde(rename = "pass")]
    Pass,
    /// It is not.
    #[serde(rename = "fail")]
    Fail,
    /// It could not be seen.
    Unknown,
    /// It does not apply here, or was told not to run.
    Skipped,
}

impl CheckStatus {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            CheckStatus::Pass => "pass",
            CheckStatus::Fail => "fail",
            CheckStatus::Unknown => "unknown",
            CheckStatus::Skipped => "skipped",
        }
    }
}

impl Finding {
    fn new(id: Check, status: CheckStatus, detail: String, fix: Option<String>) -> Self {
        Finding { id, shield: id.shield(), status, required: false, detail, fix }
    }

    /// A check that found what it should.
    pub fn pass(id: Check, detail: impl Into<String>) -> Self {
        Self::new(id, CheckStatus::Pass, detail.into(), None)
    }

    /// A check that did not.
    pub fn fail(id: Check, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(id, CheckStatus::Fail, detail.into(), Some(fix.into()))
    }

    /// The same, where something was tried.
    pub fn from_problem(id: Check, problem: Problem) -> Self {
        Self::fail(id, problem.what, problem.fix)
    }

    /// A check that could not see what it should look at.
    pub fn unknown(id: Check, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(id, CheckStatus::Unknown, detail.into(), Some(fix.into()))
    }

    /// A check that does not apply here, and why.
    pub fn skipped(id: Check, detail: impl Into<String>) -> Self {
        Self::new(id, CheckStatus::Skipped, detail.into(), None)
    }

    /// Whether it is as it should be, or does not apply.
    pub fn passed(&self) -> bool {
        matches!(self.status, CheckStatus::Pass | CheckStatus::Skipped)
    }

    /// Whether a start is refused for it.
    pub fn refuses_start(&self) -> bool {
        self.required && !self.passed()
    }
}

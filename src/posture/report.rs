//! All findings together, and what follows from them.

use super::finding::{Finding, Status};
use serde::Serialize;
use std::fmt;

/// What `--report` shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    version: u32,
    verdict: Verdict,
    findings: Vec<Finding>,
}

/// What follows from the findings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything is held.
    Held,
    /// Something is not, and nobody requires it.
    Weak,
    /// Something that is required is not: a start is refused.
    Refused,
}

impl Report {
    /// Judges the findings.
    pub fn of(findings: Vec<Finding>) -> Self {
        let unheld = |finding: &Finding| matches!(finding.status, Status::Missing | Status::Unknown);
        let verdict = match () {
            () if findings.iter().any(Finding::refuses) => Verdict::Refused,
            () if findings.iter().any(unheld) => Verdict::Weak,
            () => Verdict::Held,
        };
        Report { version: 1, verdict, findings }
    }

    /// What follows.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}

impl fmt::Display for Report {
    /// One line a finding, its fix below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let status = match finding.status {
                Status::Held => "held",
                Status::Missing => "missing",
                Status::Unknown => "unknown",
                Status::Skipped => "skipped",
            };
            writeln!(f, "{:<8} {:<14} {:<8} {}", finding.shield, finding.id, status, finding.detail)?;
            if let Some(fix) = &finding.fix {
                writeln!(f, "{:<33}{fix}", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(required: bool) -> Finding {
        Finding { required, ..Finding::missing("volumes", "file", "/data: closed".into(), "open it".into()) }
    }

    #[test]
    fn only_a_required_finding_refuses() {
        let held = Finding::held("volumes", "file", "/data: right".into());
        assert_eq!(Report::of(vec![held.clone()]).verdict(), Verdict::Held);
        assert_eq!(Report::of(vec![held.clone(), missing(false)]).verdict(), Verdict::Weak);
        assert_eq!(Report::of(vec![missing(true), held.clone()]).verdict(), Verdict::Refused);
        let unknown = Finding { status: Status::Unknown, ..missing(true) };
        assert_eq!(Report::of(vec![unknown]).verdict(), Verdict::Refused);
        let skipped = Finding { status: Status::Skipped, ..missing(true) };
        assert_eq!(Report::of(vec![skipped]).verdict(), Verdict::Held);
    }

    #[test]
    fn text_and_json_show_the_same() {
        let report = Report::of(vec![missing(true)]);
        assert_eq!(report.to_string(), format!("file     volumes        missing  /data: closed\n{:33}open it\n", ""));
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            r#"{"version":1,"verdict":"refused","findings":[{"id":"volumes","shield":"file","status":"missing","required":true,"detail":"/data: closed","fix":"open it"}]}"#
        );
    }
}

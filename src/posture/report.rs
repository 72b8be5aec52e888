//! All findings together, what follows from them, and how a person reads them.

use super::finding::{CheckStatus, Finding};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};

/// What `--report` shows, and a start tells.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    version: u32,
    verdict: ReportVerdict,
    /// Each check's answer, in the order of the table of checks.
    pub findings: Vec<Finding>,
}

/// What follows from the findings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportVerdict {
    /// Everything passes.
    #[serde(rename = "pass")]
    Pass,
    /// Something is not, and nobody requires it.
    Weak,
    /// Something that is required is not: a start is refused.
    Refused,
}

/// How a report is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReportStyle {
    /// A mark and colours beside the words.
    pub colours: bool,
    /// What needs attention alone, and how many checks do not: a start fits a screen.
    pub brief: bool,
}

impl Report {
    /// Judges the findings.
    pub fn from_findings(findings: Vec<Finding>) -> Self {
        let verdict = match () {
            () if findings.iter().any(Finding::refuses_start) => ReportVerdict::Refused,
            () if findings.iter().any(|finding| !finding.passed()) => ReportVerdict::Weak,
            () => ReportVerdict::Pass,
        };
        Report { version: 1, verdict, findings }
    }

    /// What follows.
    pub fn verdict(&self) -> ReportVerdict {
        self.verdict
    }

    /// The report as lines without an end: one a finding, with its shield where that begins, and the fix below it.
    pub fn lines(&self, style: ReportStyle) -> Vec<String> {
        if style.brief {
            return self.what_needs_attention(style);
        }
        let mut lines = Vec::with_capacity(self.findings.len() * 2);
        for findings in self.findings.chunk_by(|one, next| one.shield == next.shield) {
            for (index, finding) in findings.iter().enumerate() {
                lines.push(format_line(finding, index == 0, style));
                let column = FIX_COLUMN + if style.colours { MARK_WIDTH } else { 0 };
                lines.extend(finding.fix.iter().map(|fix| format!("{:column$}fix: {fix}", "")));
            }
        }
        lines
    }

    /// One line a check that needs attention, and one that counts the rest.
    fn what_needs_attention(&self, style: ReportStyle) -> Vec<String> {
        let attention = self.findings.iter().filter(|finding| !finding.passed());
        let fix = |finding: &Finding| finding.fix.as_ref().map(|fix| format!(". Fix: {fix}")).unwrap_or_default();
        let lines = attention.map(|finding| format_line(finding, true, style) + &fix(finding));
        lines.chain([self.count()]).collect()
    }

    /// How many checks need no attention.
    pub fn count(&self) -> String {
        let count = |status| self.findings.iter().filter(|finding| finding.status == status).count();
        let rest = match count(CheckStatus::Skipped) {
            0 => String::new(),
            1 => ", 1 does not apply".to_string(),
            skipped => format!(", {skipped} do not apply"),
        };
        format!("{} checks pass{rest} (init --report shows them)", count(CheckStatus::Pass))
    }
}

/// Widths of the columns: the longest shield, status and check with two spaces behind each.
const SHIELD_WIDTH: usize = 10;
const STATUS_WIDTH: usize = 9;
const ID_WIDTH: usize = 22;
/// A mark and the space behind it.
const MARK_WIDTH: usize = 2;
/// Where a fix begins.
const FIX_COLUMN: usize = SHIELD_WIDTH + STATUS_WIDTH + ID_WIDTH;

fn format_line(finding: &Finding, begins: bool, style: ReportStyle) -> String {
    let shield = if begins { finding.shield.name() } else { "" };
    let mut line = format!("{shield:SHIELD_WIDTH$}");
    let word = finding.status.name();
    if style.colours {
        let (mark, colour) = match (finding.status, finding.required) {
            (CheckStatus::Pass, _) => ("✓", "32"),
            (CheckStatus::Fail | CheckStatus::Unknown, true) => ("✗", "31"),
            (CheckStatus::Fail, false) => ("✗", "33"),
            (CheckStatus::Unknown, false) => ("?", "33"),
            (CheckStatus::Skipped, _) => ("–", "2"),
        };
        let _ = write!(line, "\x1b[{colour}m{mark} {word:STATUS_WIDTH$}\x1b[0m");
    } else {
        let _ = write!(line, "{word:STATUS_WIDTH$}");
    }
    let required = if finding.required && !finding.passed() { " (required)" } else { "" };
    let _ = write!(line, "{:ID_WIDTH$}{}{required}", finding.id.name(), finding.detail);
    line
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines(ReportStyle::default()).iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;
    use crate::settings::checks::Check;

    fn failed(required: bool) -> Finding {
        Finding { required, ..Finding::fail(Check::Volumes, "/data: closed", "open it") }
    }

    #[test]
    fn only_a_required_finding_refuses() {
        let held = Finding::pass(Check::Volumes, "/data: right");
        assert_eq!(Report::from_findings(vec![held.clone()]).verdict(), ReportVerdict::Pass);
        assert_eq!(Report::from_findings(vec![held.clone(), failed(false)]).verdict(), ReportVerdict::Weak);
        assert_eq!(Report::from_findings(vec![failed(true), held.clone()]).verdict(), ReportVerdict::Refused);
        let unknown = Finding { status: CheckStatus::Unknown, ..failed(true) };
        assert_eq!(Report::from_findings(vec![unknown]).verdict(), ReportVerdict::Refused);
        let skipped = Finding { status: CheckStatus::Skipped, ..failed(true) };
        assert_eq!(Report::from_findings(vec![skipped]).verdict(), ReportVerdict::Pass);
    }

    #[test]
    fn text_and_json_show_the_same() {
        let report = Report::from_findings(vec![failed(true)]);
        let expected = "file      fail     volumes               /data: closed (required)\n\
                        \x20                                        fix: open it\n";
        assert_eq!(report.to_string(), expected);
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            r#"{"version":1,"verdict":"refused","findings":[{"id":"volumes","shield":"file","status":"fail","required":true,"detail":"/data: closed","fix":"open it"}]}"#
        );
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    #[test]
    fn a_name_with_parentheses_is_no_fix() {
        let problem = Problem::new("cannot use /data/photos (old): closed", "open it (chmod)");
        assert_eq!(problem.to_string(), "cannot use /data/photos (old): closed (open it (chmod))");
        let report = Report::from_findings(vec![Finding::from_problem(Check::Volumes, problem)]);
        assert!(
            report.lines(ReportStyle::default())[0]
                .ends_with("volumes               cannot use /data/photos (old): closed")
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["findings"][0]["detail"], "cannot use /data/photos (old): closed");
        assert_eq!(json["findings"][0]["fix"], "open it (chmod)");
    }

    #[test]
    fn a_start_says_what_needs_attention_and_counts_the_rest() {
        let network = [Check::DefaultRoute, Check::ProxyDenies].map(|id| Finding::skipped(id, "no proxy is set"));
        let passed = [Check::Limits, Check::Capabilities, Check::NoNewPrivileges].map(|id| Finding::pass(id, "some"));
        let unknown = Finding::unknown(Check::Volumes, "/data: unseen", "look");
        let report = Report::from_findings([&passed[..], &[failed(false), unknown], &network].concat());
        let brief = report.lines(ReportStyle { brief: true, colours: false });
        assert_eq!(
            brief,
            [
                "file      fail     volumes               /data: closed. Fix: open it",
                "file      unknown  volumes               /data: unseen. Fix: look",
                "3 checks pass, 2 do not apply (init --report shows them)"
            ]
        );
        assert_eq!(Report::from_findings(passed.to_vec()).count(), "3 checks pass (init --report shows them)");
        let whole = report.lines(ReportStyle::default());
        assert_eq!(whole[1], "          pass     capabilities          some");
        assert_eq!(whole.last().unwrap(), "          skipped  proxy-denies          no proxy is set");
    }

    #[test]
    fn marks_and_colours_are_for_a_terminal() {
        let report = Report::from_findings(vec![failed(false), Finding::pass(Check::Limits, "some")]);
        let lines = report.lines(ReportStyle { colours: true, brief: false });
        assert!(lines[0].contains("\x1b[33m✗ fail     \x1b[0mvolumes"), "{lines:?}");
        assert!(!report.to_string().contains('\x1b') && !report.to_string().contains('✗'));
    }
}

//! The report of a start on stderr: what a person sees first.

use crate::logging;
use crate::posture::finding::Finding;
use crate::posture::report::{Report, ReportStyle};
use crate::settings::value_of;
use crate::sys::terminal;
use std::ffi::CStr;

/// How it is to look there.
pub(super) fn detect_style(environment: &[&CStr]) -> ReportStyle {
    let no_colour = value_of(environment, b"NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = value_of(environment, b"TERM") == Some(b"dumb");
    let brief = log::max_level() < log::LevelFilter::Debug;
    ReportStyle { colours: !no_colour && !dumb && terminal::is_terminal(2), brief }
}

/// At `info`: the findings that need attention, and how many do not. At `debug`: all.
pub(super) fn print_report(report: &Report, style: ReportStyle) {
    if log::max_level() < log::LevelFilter::Info {
        return;
    }
    if !logging::is_json() {
        return logging::write_lines(report.lines(style).iter().map(|line| format!("init: {line}")));
    }
    let object = |message: String, finding: Option<&Finding>| {
        serde_json::to_string(&JsonFinding { level: "info", message, finding }).unwrap_or_default()
    };
    let shown = report.findings.iter().filter(|finding| !style.brief || !finding.passed());
    let findings = shown
        .map(|finding| object(format!("{} {}: {}", finding.id, finding.status.name(), finding.detail), Some(finding)));
    logging::write_lines(findings.chain(style.brief.then(|| object(report.count(), None))));
}

#[derive(serde::Serialize)]
struct JsonFinding<'a> {
    level: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<&'a Finding>,
}

//! The report of a start on stderr: what a person sees first.

use crate::logging;
use crate::posture::finding::Finding;
use crate::posture::report::{Report, Style};
use crate::settings::value_of;
use crate::sys::terminal;
use std::ffi::CStr;

/// How it is to look there.
pub(super) fn detect_style(environment: &[&CStr]) -> Style {
    let no_colour = value_of(environment, b"NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = value_of(environment, b"TERM") == Some(b"dumb");
    Style { colours: !no_colour && !dumb && terminal::is_terminal(2), brief: true }
}

/// All findings, at `info`.
pub(super) fn print_report(report: &Report, style: Style) {
    if log::max_level() < log::LevelFilter::Info {
        return;
    }
    if logging::is_json() {
        let object = |finding: &Finding| {
            let message = format!("{} {}: {}", finding.id, finding.status.word(), finding.detail);
            serde_json::to_string(&JsonFinding { level: "info", message, finding }).unwrap_or_default()
        };
        return logging::write_lines(report.findings.iter().map(object));
    }
    logging::write_lines(report.lines(style).iter().map(|line| format!("init: {line}")));
}

#[derive(serde::Serialize)]
struct JsonFinding<'a> {
    level: &'static str,
    message: String,
    finding: &'a Finding,
}

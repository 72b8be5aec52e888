//! The report of a start on stderr: what a person sees first.

use crate::logging;
use crate::posture::finding::Finding;
use crate::posture::report::{Report, ReportStyle};
use crate::settings::value_of;
use crate::sys::terminal;
use std::ffi::CStr;

/// How it is to look there.
pub(super) fn style(environment: &[&CStr]) -> ReportStyle {
    let no_colour = value_of(environment, b"NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = value_of(environment, b"TERM") == Some(b"dumb");
    ReportStyle { colours: !no_colour && !dumb && terminal::is_terminal(2), brief: true }
}

/// All findings, at `info`.
pub(super) fn print(report: &Report, style: ReportStyle) {
    if log::max_level() < log::LevelFilter::Info {
        return;
    }
    if logging::is_json() {
        let object = |finding: &Finding| {
            let message = format!("{} {}: {}", finding.id, finding.status.name(), finding.detail);
            serde_json::to_string(&Told { level: "info", message, finding }).unwrap_or_default()
        };
        return logging::block(report.findings.iter().map(object));
    }
    logging::block(report.lines(style).iter().map(|line| format!("init: {line}")));
}

#[derive(serde::Serialize)]
struct Told<'a> {
    level: &'static str,
    message: String,
    finding: &'a Finding,
}

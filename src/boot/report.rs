//! `--report`: what a start here would find. Changes nothing.

use super::before::{become_whom, started_as};
use super::nodes::{Nodes, Purpose};
use super::refusal::Refusal;
use super::shields::{Plan, detail_and_fix};
use crate::logging;
use crate::posture::finding::Finding;
use crate::posture::report::{Report, Verdict};
use crate::settings::Settings;
use crate::sys::io;
use log::error;
use std::ffi::CStr;

/// Prints the report on stdout. Returns 0, or 1 where a start would be refused.
pub fn report(environment: &[&CStr], json: bool) -> u8 {
    logging::begin();
    let report = match look(environment) {
        Ok(report) => report,
        Err(refusal) => {
            refusal.tell();
            return 1;
        }
    };
    let text = match json {
        // Strings and numbers alone: this cannot fail, and what it cannot say is said below.
        true => serde_json::to_string(&report).map(|line| line + "\n").unwrap_or_default(),
        false => report.to_string(),
    };
    match io::write_stdout(text.as_bytes()) {
        Ok(()) if report.verdict() != Verdict::Refused => 0,
        Ok(()) => 1,
        Err(errno) => {
            error!("cannot write to stdout: {errno}");
            1
        }
    }
}

fn look(environment: &[&CStr]) -> Result<Report, Refusal> {
    let (level, format) = Settings::log(environment);
    logging::configure(level, format);
    let settings = Settings::read(environment).map_err(Refusal::Settings)?;
    let before = started_as()?;
    let (new_user, nobody) = match become_whom(&settings, &before) {
        Ok(new_user) => (new_user, None),
        Err(refusal) => (None, Some(refusal.to_string())),
    };
    let plan = Plan { settings: &settings, before: &before, environment, new_user: new_user.as_ref() };
    let Some(refusal) = nobody else {
        let mut own = plan.inspect_volumes();
        if let Some(mut nodes) = Nodes::of(&settings, environment) {
            own.push(nodes.scan(new_user.as_ref(), Purpose::Report)?);
        }
        return Ok(plan.look(own).report);
    };
    // Nobody to own the volumes, and nobody to drop to: the rest is seen as it is.
    let mut report = plan.look(Vec::new()).report.findings;
    let (detail, fix) = detail_and_fix(&refusal);
    if let Some(finding) = report.iter_mut().find(|finding| finding.id == "unprivileged") {
        *finding = Finding { required: true, ..Finding::missing("unprivileged", detail, fix) };
    }
    Ok(Report::of(report))
}

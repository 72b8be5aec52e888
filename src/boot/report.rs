//! `--report`: what a start here would find. Changes nothing.

use super::before::{become_whom, preflight, started_as};
use super::node_scan::{NodeScan, Purpose};
use super::plan::Plan;
use super::refusal::Refusal;
use super::volumes;
use crate::logging;
use crate::posture::report::{Report, Verdict};
use crate::problem::Problem;
use crate::settings::Settings;
use crate::sys::io;
use log::error;
use std::ffi::CStr;

/// Prints the report on stdout. Returns 0, or 1 where a start would be refused.
pub fn report(environment: &[&CStr], json: bool) -> u8 {
    logging::install();
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
    let target = become_whom(&settings, &before);
    let new_user = target.as_ref().ok().and_then(Option::as_ref);
    let lacks = preflight(&before, new_user).err().map(Problem::from);
    let nobody = target.as_ref().err().cloned();
    let plan = Plan { settings: &settings, before: &before, environment, new_user, nobody, lacks };
    let machine = plan.observe();
    let mut known = Vec::new();
    // Without somebody to own the volumes the rest is seen as it is.
    if target.is_ok() {
        known = volumes::inspect(&plan);
        if let Some(mut nodes) = NodeScan::of(&settings, environment) {
            known.push(nodes.scan(new_user, Purpose::Report)?);
        }
    }
    Ok(plan.examine(&machine, known))
}

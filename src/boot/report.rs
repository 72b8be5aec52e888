//! `--report`: what a start here would find. Changes nothing.

use super::context::StartContext;
use super::node_scan::{NodeScan, Purpose};
use super::preflight::{check_started_as, preflight, resolve_target};
use super::refusal::Refusal;
use super::volumes;
use crate::logging;
use crate::posture::report::{Report, ReportVerdict};
use crate::problem::Problem;
use crate::settings::Settings;
use crate::sys::io;
use log::error;
use std::ffi::CStr;

/// Prints the report on stdout. Returns 0, or 1 where a start would be refused.
pub fn report(environment: &[&CStr], json: bool) -> u8 {
    logging::install();
    let report = match build_report(environment) {
        Ok(report) => report,
        Err(refusal) => {
            refusal.log();
            return 1;
        }
    };
    let text = match json {
        // Strings and numbers alone: this cannot fail, and what it cannot say is said below.
        true => serde_json::to_string(&report).map(|line| line + "\n").unwrap_or_default(),
        false => report.to_string(),
    };
    match io::write_stdout(text.as_bytes()) {
        Ok(()) if report.verdict() != ReportVerdict::Refused => 0,
        Ok(()) => 1,
        Err(errno) => {
            error!("cannot write to stdout: {errno}");
            1
        }
    }
}

fn build_report(environment: &[&CStr]) -> Result<Report, Refusal> {
    let (level, format) = Settings::log_settings(environment);
    logging::configure(level, format);
    let settings = Settings::from_environment(environment).map_err(Refusal::Settings)?;
    let started_as = check_started_as()?;
    let target = resolve_target(&settings, &started_as);
    let new_user = target.as_ref().ok().and_then(Option::as_ref);
    let preflight_error = preflight(&started_as, new_user).err().map(Problem::from);
    let target_error = target.as_ref().err().cloned();
    let context = StartContext {
        settings: &settings,
        started_as: &started_as,
        environment,
        new_user,
        target_error,
        preflight_error,
    };
    let machine = context.observe();
    let mut known = Vec::new();
    // Without somebody to own the volumes the rest is seen as it is.
    if target.is_ok() {
        known = volumes::inspect(&context);
        if let Some(mut nodes) = NodeScan::if_enabled(&settings, environment) {
            known.push(nodes.scan(new_user, Purpose::Report)?);
        }
    }
    Ok(context.examine(&machine, known))
}

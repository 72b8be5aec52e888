//! `--report`: what a start here would find. Changes nothing.

use super::{Before, Refusal, become_whom, container_of, setgroups_denied, volume_paths};
use crate::logging;
use crate::ownership::{self, Outcome, Target};
use crate::posture::finding::Finding;
use crate::posture::report::{Report, Verdict};
use crate::privilege::drop;
use crate::settings::{Ownership, Settings};
use crate::sys::io;
use log::error;
use std::ffi::CStr;
use std::path::Path;

/// Prints the report on stdout. Returns 0, or 1 where a start would be refused.
pub fn report(environment: &[&CStr], json: bool) -> u8 {
    logging::begin();
    let report = match look(environment) {
        Ok(findings) => Report::of(findings),
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

fn look(environment: &[&CStr]) -> Result<Vec<Finding>, Refusal> {
    let (level, format) = Settings::log(environment);
    logging::configure(level, format);
    let settings = Settings::read(environment).map_err(Refusal::Settings)?;
    let before = Before::look()?;
    let mut findings = Vec::new();
    let identity = match become_whom(&settings, &before) {
        Ok(identity) => identity,
        Err(refusal) => {
            // Nobody to own the volumes: that is the one finding.
            let (detail, fix) = detail_and_fix(&refusal.to_string());
            let finding = Finding::missing("unprivileged", "identity", detail, fix);
            return Ok(vec![Finding { required: true, ..finding }]);
        }
    };
    let (target, who) = match &identity {
        Some(identity) => (Target { uid: identity.user, gid: identity.group }, identity.to_string()),
        None => {
            let target = Target { uid: before.users.real, gid: before.groups.real };
            (target, format!("uid {}, gid {}, as init was started", target.uid, target.gid))
        }
    };
    findings.push(Finding {
        required: true,
        ..Finding::held("unprivileged", "identity", format!("COMMAND runs as {who}"))
    });
    if let Some(identity) = &identity
        && let Err(error) = drop::means(identity, before.capabilities, setgroups_denied(&before))
    {
        let (detail, fix) = detail_and_fix(&error.to_string());
        findings.push(Finding { required: true, ..Finding::missing("capabilities", "identity", detail, fix) });
    }
    let as_root = identity.is_some();
    findings.extend(volume_paths(&settings).iter().map(|path| volume(path, &settings, &before, &target, as_root)));
    Ok(findings)
}

fn volume(path: &Path, settings: &Settings, before: &Before, target: &Target, as_root: bool) -> Finding {
    let mut never = || false;
    match ownership::inspect(path, settings.ownership, target, &container_of(before), &mut never) {
        Err(error) => {
            let (detail, fix) = detail_and_fix(&error.to_string());
            Finding { required: true, ..Finding::missing("volumes", "file", detail, fix) }
        }
        Ok(volume) => {
            let changes = as_root && !matches!(settings.ownership, Ownership::Verify | Ownership::Off);
            let detail = format!("{}: {}", path.display(), judged(volume.outcome(), settings.ownership, changes));
            let fix = volume.remedy().map(ToString::to_string);
            if let Some(why) = volume.outcome().filter(|_| changes).and_then(Outcome::missing_capability) {
                let (detail, fix) = detail_and_fix(&why);
                let finding = Finding::missing("volumes", "file", format!("{}: {detail}", path.display()), fix);
                return Finding { required: true, ..finding };
            }
            match (volume.outcome(), fix) {
                (Some(outcome), Some(fix)) if !(changes && outcome.is_put_right_by_a_start()) => {
                    Finding::missing("volumes", "file", detail, fix)
                }
                (_, fix) => Finding { fix, ..Finding::held("volumes", "file", detail) },
            }
        }
    }
}

fn judged(outcome: Option<&Outcome>, ownership: Ownership, changes: bool) -> String {
    match outcome {
        None if ownership == Ownership::Off => "owners are not looked at".to_string(),
        None => "missing, and created by a start".to_string(),
        Some(outcome @ Outcome::Partial { .. }) if changes && outcome.is_put_right_by_a_start() => {
            format!("{outcome}, put right by a start")
        }
        Some(outcome) => outcome.to_string(),
    }
}

/// A refusal's line is `what happened (what to do)`.
fn detail_and_fix(line: &str) -> (String, String) {
    match line.strip_suffix(')').and_then(|line| line.split_once(" (")) {
        Some((detail, fix)) => (detail.to_string(), fix.to_string()),
        None => (line.to_string(), "see the line itself".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusals_line_has_its_fix_in_parentheses() {
        assert_eq!(detail_and_fix("cannot do x: why (type y)"), ("cannot do x: why".into(), "type y".into()));
        assert_eq!(detail_and_fix("a (b) c (d (e))"), ("a".into(), "b) c (d (e)".into()));
    }
}

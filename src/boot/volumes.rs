//! Volumes of a start, and what came of them as findings.

use super::context::StartContext;
use super::is_stop_pending;
use super::refusal::Refusal;
use crate::ownership::{self, Container, Outcome, Target, Volume};
use crate::posture::finding::Finding;
use crate::settings::checks::Check;
use crate::settings::{OwnershipMode, Settings};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Before the drop: missing ones are made, wrong owners dealt with.
pub(super) fn prepare(plan: &StartContext) -> Result<Vec<Volume>, Refusal> {
    let paths = paths(plan.settings);
    let Some(identity) = plan.new_user.filter(|_| !paths.is_empty()) else {
        return Ok(ownership::declare_volumes(&paths)?);
    };
    let target = Target { uid: identity.ids.user, gid: identity.ids.group };
    // A stop that cannot be asked for is no stop: the question is asked again, and fails, before COMMAND runs.
    let mut stopped = || is_stop_pending().unwrap_or(false);
    Ok(ownership::repair_volumes(
        &paths,
        plan.settings.ownership,
        &target,
        &Container::from_start(plan.started_as),
        &mut stopped,
    )?)
}

/// What a start would make of each; changes nothing.
pub(super) fn inspect(plan: &StartContext) -> Vec<Finding> {
    let target = match plan.new_user {
        Some(identity) => Target { uid: identity.ids.user, gid: identity.ids.group },
        None => Target { uid: plan.started_as.users.real, gid: plan.started_as.groups.real },
    };
    paths(plan.settings).iter().map(|path| inspect_one(plan, path, &target)).collect()
}

fn inspect_one(plan: &StartContext, path: &Path, target: &Target) -> Finding {
    let inspected = ownership::inspect_volume(
        path,
        plan.settings.ownership,
        target,
        &Container::from_start(plan.started_as),
        &mut || false,
    );
    let problem = match inspected {
        Err(error) => error.into(),
        Ok(volume) => {
            let missing = volume.outcome().filter(|_| repairs_owners(plan)).and_then(Outcome::missing_capability);
            let Some(mut problem) = missing else { return finding(plan, &volume) };
            problem.what = format!("{}: {}", path.display(), problem.what);
            problem
        }
    };
    Finding { required: true, ..Finding::from_problem(Check::Volumes, problem) }
}

/// What came of a volume, or would come of it, where it was only inspected.
pub(super) fn finding(plan: &StartContext, volume: &Volume) -> Finding {
    let (mode, changes) = (plan.settings.ownership, repairs_owners(plan));
    let detail = format!("{}: {}", volume.path().display(), describe(volume.outcome(), mode, changes));
    match (volume.outcome(), volume.remedy()) {
        (Some(outcome), Some(fix)) if !(changes && outcome.is_repairable()) => {
            Finding::fail(Check::Volumes, detail, fix)
        }
        _ => Finding::pass(Check::Volumes, detail),
    }
}

fn describe(outcome: Option<&Outcome>, ownership: OwnershipMode, changes: bool) -> String {
    match outcome {
        None if ownership == OwnershipMode::Off => "ownership not checked (TAKUMI_OWNERSHIP=off)".to_string(),
        None if changes => "does not exist; created at start".to_string(),
        None => "write access is verified at start".to_string(),
        Some(outcome @ Outcome::Partial { .. }) if changes && outcome.is_repairable() => {
            format!("{outcome}; corrected at start")
        }
        Some(outcome) => outcome.to_string(),
    }
}

/// Whether a start changes owners.
fn repairs_owners(plan: &StartContext) -> bool {
    plan.new_user.is_some() && !matches!(plan.settings.ownership, OwnershipMode::Verify | OwnershipMode::Off)
}

fn paths(settings: &Settings) -> Vec<PathBuf> {
    settings.volumes.iter().map(|path| PathBuf::from(OsStr::from_bytes(path.to_bytes()))).collect()
}

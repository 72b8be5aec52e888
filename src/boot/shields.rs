//! The findings of a start: what `boot` itself knows of the plan, brought together with what the machine shows.

use super::refusal::Refusal;
use super::volume_paths;
use crate::identity::{Identity, StartedAs};
use crate::logging;
use crate::machine::{self, Machine, Wish};
use crate::ownership::{self, Container, Outcome, Target, Volume};
use crate::posture::report::{Report, Style};
use crate::posture::{self, finding::Finding};
use crate::privilege::drop::{self, Means};
use crate::probe::state::{Process, State, Who};
use crate::settings::{Ownership, Settings, name_and_value, value_of};
use crate::sys::{ProcessId, UserId, terminal};
use log::info;
use std::ffi::CStr;
use std::path::Path;

/// What is to be started, before anything is changed.
pub(super) struct Plan<'a> {
    pub(super) settings: &'a Settings,
    pub(super) before: &'a StartedAs,
    pub(super) environment: &'a [&'a CStr],
    /// The target of a start as root.
    pub(super) new_user: Option<&'a Identity>,
}

/// The machine as it was seen once, and what was found in it.
pub(super) struct Shields {
    pub(super) machine: Machine,
    pub(super) report: Report,
}

impl Plan<'_> {
    /// What the drop needs. Nothing in a start as an ordinary user.
    pub(super) fn means(&self) -> Result<Option<Means>, Refusal> {
        let means = |user: &Identity| drop::means(&user.ids, self.before.capabilities, self.before.setgroups_denied());
        Ok(self.new_user.map(means).transpose()?)
    }

    /// Looks at the machine and judges it for the plan. `volumes`: what is known of them so far.
    pub(super) fn look(&self, volumes: Vec<Finding>) -> Shields {
        let wish = Wish {
            settings: self.settings,
            environment: self.environment,
            user: self.new_user.map(|identity| &identity.ids),
            namespace: self.before.namespace.as_ref(),
            only: None,
        };
        let machine = machine::observe(&wish);
        let report = self.judge(&machine, volumes);
        Shields { machine, report }
    }

    /// Judges the same machine again, with what came of the volumes.
    pub(super) fn judge(&self, machine: &Machine, volumes: Vec<Finding>) -> Report {
        let own = self.identity().into_iter().chain(volumes).collect();
        Report::of(posture::examine(self.settings, machine, own, None))
    }

    /// What the drop will give. It is verified afterwards, and a start ends with 125 if it does not hold.
    fn identity(&self) -> [Finding; 3] {
        let who = match self.new_user {
            Some(identity) if identity.ids.user == UserId(0) => format!("{identity}, root by choice"),
            Some(identity) => identity.to_string(),
            None => self.as_started(),
        };
        let capabilities = match self.means() {
            Ok(_) => Finding::held("capabilities", "init and COMMAND hold none"),
            Err(refusal) => {
                let (detail, fix) = detail_and_fix(&refusal.to_string());
                Finding::missing("capabilities", detail, fix)
            }
        };
        [
            Finding::held("unprivileged", format!("COMMAND runs as {who}")),
            capabilities,
            Finding::held("no-new-privileges", "no program can give COMMAND a privilege"),
        ]
    }

    fn as_started(&self) -> String {
        format!("uid {}, gid {}, as init was started", self.before.users.real, self.before.groups.real)
    }

    /// What a start would make of each volume; changes nothing.
    pub(super) fn inspect_volumes(&self) -> Vec<Finding> {
        let target = match self.new_user {
            Some(identity) => Target { uid: identity.ids.user, gid: identity.ids.group },
            None => Target { uid: self.before.users.real, gid: self.before.groups.real },
        };
        let each = |path: &std::path::PathBuf| self.inspect(path, &target);
        volume_paths(self.settings).iter().map(each).collect()
    }

    fn inspect(&self, path: &Path, target: &Target) -> Finding {
        let mut never = || false;
        let mode = self.settings.ownership;
        match ownership::inspect(path, mode, target, &Container::of(self.before), &mut never) {
            Err(error) => {
                let (detail, fix) = detail_and_fix(&error.to_string());
                Finding { required: true, ..Finding::missing("volumes", detail, fix) }
            }
            Ok(volume) => {
                let changes = self.new_user.is_some() && !matches!(mode, Ownership::Verify | Ownership::Off);
                let missing = volume.outcome().filter(|_| changes).and_then(Outcome::missing_capability);
                match missing {
                    Some(why) => {
                        let (detail, fix) = detail_and_fix(&why);
                        let finding = Finding::missing("volumes", format!("{}: {detail}", path.display()), fix);
                        Finding { required: true, ..finding }
                    }
                    None => of_volume(&volume, mode, changes),
                }
            }
        }
    }

    /// What the probe needs of this start, written where only root can: nothing of it in a start as an ordinary user.
    pub(super) fn leave_for_the_probe(&self, shields: &Shields, own: ProcessId) {
        let Some(identity) = self.new_user else { return };
        let Some(process) = Process::of(own) else { return };
        let settings = self.environment.iter().copied().filter(|variable| is_for_the_probe(variable));
        let state = State {
            report: shields.report.clone(),
            identity: Who {
                user: identity.ids.user.0,
                group: identity.ids.group.0,
                groups: identity.ids.groups.iter().map(|group| group.0).collect(),
            },
            process,
            settings: settings.map(|variable| variable.to_string_lossy().into_owned()).collect(),
            devices: shields.machine.devices.as_ref().map(|devices| devices.opened()).unwrap_or_default(),
        };
        if let Err(errno) = state.write() {
            info!("`init --check` has to do without /run/takumi/report.json: {errno} (add --tmpfs /run)");
        }
    }
}

/// Everybody in the container can read it there: a query may hold a token, and the probe's own environment has it too.
fn is_for_the_probe(variable: &CStr) -> bool {
    const FOR_THE_PROBE: [&[u8]; 11] = [
        b"TAKUMI_ALLOW_ROOT", b"TAKUMI_VOLUMES", b"TAKUMI_TMPFS", b"TAKUMI_BAKED", b"TAKUMI_GPU", b"TAKUMI_EGRESS",
        b"TAKUMI_REQUIRE", b"TAKUMI_SKIP", b"TAKUMI_CONFINE", b"TAKUMI_HEALTH_URL", b"TAKUMI_HEALTH_TIMEOUT",
    ];
    let (name, value) = name_and_value(variable.to_bytes());
    FOR_THE_PROBE.contains(&name) && !(name == b"TAKUMI_HEALTH_URL" && value.contains(&b'?'))
}

/// What came of a volume (or would come of it, where it was only inspected).
pub(super) fn of_volume(volume: &Volume, mode: Ownership, changes: bool) -> Finding {
    let detail = format!("{}: {}", volume.path().display(), judged(volume.outcome(), mode, changes));
    let fix = volume.remedy().map(ToString::to_string);
    match (volume.outcome(), fix) {
        (Some(outcome), Some(fix)) if !(changes && outcome.is_put_right_by_a_start()) => {
            Finding::missing("volumes", detail, fix)
        }
        _ => Finding::held("volumes", detail),
    }
}

fn judged(outcome: Option<&Outcome>, ownership: Ownership, changes: bool) -> String {
    match outcome {
        None if ownership == Ownership::Off => "owners are not looked at".to_string(),
        None if changes => "missing, and created by a start".to_string(),
        None => "writable, or the start ends here".to_string(),
        Some(outcome @ Outcome::Partial { .. }) if changes && outcome.is_put_right_by_a_start() => {
            format!("{outcome}, put right by a start")
        }
        Some(outcome) => outcome.to_string(),
    }
}

/// A refusal's line is `what happened (what to do)`.
pub(super) fn detail_and_fix(line: &str) -> (String, String) {
    match line.strip_suffix(')').and_then(|line| line.split_once(" (")) {
        Some((detail, fix)) => (detail.to_string(), fix.to_string()),
        None => (line.to_string(), "see the line itself".to_string()),
    }
}

/// How the report is to look on this stderr.
pub(super) fn style(environment: &[&CStr]) -> Style {
    let no_colour = value_of(environment, b"NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = value_of(environment, b"TERM") == Some(b"dumb");
    Style { colours: !no_colour && !dumb && terminal::is_terminal(2), brief: true }
}

/// What a person sees first: all findings, at `info`.
pub(super) fn tell(report: &Report, style: Style) {
    if log::max_level() < log::LevelFilter::Info {
        return;
    }
    if logging::is_json() {
        let object = |finding: &Finding| {
            let message = format!("{} {}: {}", finding.id, finding.status.word(), finding.detail);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_is_left_for_the_probe() {
        assert!(
            is_for_the_probe(c"TAKUMI_HEALTH_URL=http://127.0.0.1:8188/prompt")
                && is_for_the_probe(c"TAKUMI_SKIP=tmpfs")
        );
        for kept in [
            c"TAKUMI_HEALTH_URL=http://127.0.0.1/?token=x",
            c"TAKUMI_SCAN_COMMAND=x --token y",
            c"TAKUMI_SECRETS=A",
            c"A=1",
        ] {
            assert!(!is_for_the_probe(kept), "{kept:?}");
        }
    }

    #[test]
    fn a_refusals_line_has_its_fix_in_parentheses() {
        assert_eq!(detail_and_fix("cannot do x: why (type y)"), ("cannot do x: why".into(), "type y".into()));
    }
}

//! What is to be started, and whether a start may be: the machine is observed once, and judged as often as something
//! more is known.

use crate::identity::{Identity, StartedAs};
use crate::machine::{self, Machine, ObserveOptions};
use crate::posture::report::Report;
use crate::posture::{self, finding::Finding};
use crate::problem::Problem;
use crate::settings::Settings;
use crate::settings::checks::Check;
use crate::sys::UserId;
use std::ffi::CStr;

/// What is to be started, before anything is changed.
pub(super) struct StartContext<'a> {
    pub(super) settings: &'a Settings,
    pub(super) started_as: &'a StartedAs,
    pub(super) environment: &'a [&'a CStr],
    /// The target of a start as root.
    pub(super) new_user: Option<&'a Identity>,
    /// For `--report`, which goes on without: why there is no target, and what the drop to it lacks.
    pub(super) target_error: Option<Problem>,
    pub(super) preflight_error: Option<Problem>,
}

impl StartContext<'_> {
    pub(super) fn observe(&self) -> Machine {
        machine::observe(&ObserveOptions {
            settings: self.settings,
            environment: self.environment,
            user: self.new_user.map(|identity| &identity.ids),
            namespace: self.started_as.namespace.as_ref(),
            only: None,
        })
    }

    /// Judges. `known`: what came of volumes and nodes so far.
    pub(super) fn examine(&self, machine: &Machine, known: Vec<Finding>) -> Report {
        let findings = self.identity_findings().into_iter().chain(known).collect();
        Report::from_findings(posture::examine(self.settings, machine, findings, None))
    }

    /// What the drop will give. It is verified afterwards, and a start ends with 125 if it does not hold.
    fn identity_findings(&self) -> [Finding; 3] {
        let who = match self.new_user {
            Some(identity) if identity.ids.user == UserId(0) => {
                format!("{identity}, root allowed by TAKUMI_ALLOW_ROOT")
            }
            Some(identity) => identity.to_string(),
            None => {
                let started_as = self.started_as;
                format!("uid {}, gid {}, as init was started", started_as.users.real, started_as.groups.real)
            }
        };
        let finding = |check, problem: &Option<Problem>, held: String| match problem {
            Some(problem) => Finding::from_problem(check, problem.clone()),
            None => Finding::pass(check, held),
        };
        [
            finding(Check::Unprivileged, &self.target_error, format!("COMMAND runs as {who}")),
            finding(Check::Capabilities, &self.preflight_error, "init and COMMAND have none".to_string()),
            Finding::pass(Check::NoNewPrivileges, "COMMAND cannot gain privileges by exec"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posture::engines::hardened;
    use crate::posture::report::ReportVerdict;
    use crate::sys::GroupId;
    use crate::sys::credentials::{Capabilities, ResIds};

    #[test]
    fn the_three_that_always_hold_are_in_every_report_and_refuse() {
        let (users, groups) = (ResIds::all(UserId(1000)), ResIds::all(GroupId(1000)));
        let started_as = StartedAs { users, groups, capabilities: Capabilities::NONE, namespace: None };
        let settings = Settings::default();
        let problem = Problem::new("cannot become the user: it lacks (all)", "add --cap-add SETUID");
        let verdict = |nobody: Option<&Problem>, lacks: Option<&Problem>| {
            let (nobody, lacks) = (nobody.cloned(), lacks.cloned());
            let plan = StartContext {
                settings: &settings,
                started_as: &started_as,
                environment: &[],
                new_user: None,
                target_error: nobody,
                preflight_error: lacks,
            };
            let report = plan.examine(&hardened(), Vec::new());
            for check in Check::ALWAYS {
                let finding = report.findings.iter().find(|finding| finding.id == check).unwrap();
                assert!(finding.required && (finding.passed() || finding.detail == problem.what), "{finding:?}");
            }
            report.verdict()
        };
        assert_eq!(verdict(None, None), ReportVerdict::Weak);
        assert_eq!(verdict(Some(&problem), None), ReportVerdict::Refused);
        assert_eq!(verdict(None, Some(&problem)), ReportVerdict::Refused);
    }
}

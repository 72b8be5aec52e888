//! What the probe needs of a start, written where only root can, before the drop.

use super::context::StartContext;
use crate::machine::Machine;
use crate::posture::report::Report;
use crate::probe::state::{ProcessIdentity, PublishedState, UserIds};
use crate::settings::{split_variable, table};
use crate::sys::ProcessId;
use log::info;
use std::ffi::CStr;

/// Nothing of it in a start as an ordinary user.
pub(super) fn publish(context: &StartContext, report: &Report, machine: &Machine, self_pid: ProcessId) {
    let Some(identity) = context.new_user else { return };
    let Some(process) = ProcessIdentity::read(self_pid) else { return };
    let settings = context.environment.iter().copied().filter(|variable| is_for_the_probe(variable));
    let state = PublishedState {
        report: report.clone(),
        identity: UserIds {
            user: identity.ids.user.0,
            group: identity.ids.group.0,
            groups: identity.ids.groups.iter().map(|group| group.0).collect(),
        },
        process,
        settings: settings.map(|variable| variable.to_string_lossy().into_owned()).collect(),
        devices: machine.devices.as_ref().map(|devices| devices.opened_paths()).unwrap_or_default(),
    };
    if let Err(errno) = state.write() {
        info!("cannot write /run/takumi/report.json: {errno}; --check falls back to /proc (add --tmpfs /run)");
    }
}

/// Everybody in the container can read it there: a query may hold a token, and the probe's own environment has it too.
fn is_for_the_probe(variable: &CStr) -> bool {
    let (name, value) = split_variable(variable.to_bytes());
    table::is_for_probe(name) && !(name == b"TAKUMI_HEALTH_URL" && value.contains(&b'?'))
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
}

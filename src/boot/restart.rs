//! What COMMAND is started with: once, and with TAKUMI_REBOOT again.

use super::environment::CommandEnvironment;
use super::node_scan::{NodeScan, Purpose};
use super::refusal::Refusal;
use crate::privilege::Dropped;
use crate::settings::Settings;
use crate::supervise::child::{self, Child, Command};
use crate::supervise::last_resort;
use crate::supervise::restart_marker::Marker;
use crate::sys::SignalSet;
use crate::{confine, logging};
use log::{debug, warn};
use std::cell::RefCell;
use std::ffi::CStr;

/// What COMMAND is started with.
pub(super) struct Prepared {
    pub(super) dropped: Dropped,
    pub(super) environment: CommandEnvironment,
    pub(super) mask: SignalSet,
    pub(super) sigchld_ignored: bool,
    pub(super) umask: Option<u32>,
    pub(super) listen_pid: bool,
    pub(super) sandbox: Option<confine::Sandbox>,
}

pub(super) struct Restart {
    pub(super) prepared: Prepared,
    pub(super) marker: Marker,
    pub(super) nodes: RefCell<Option<NodeScan>>,
}

impl Restart {
    /// Starts COMMAND once more; its nodes are looked at first, as at the first start. The error is the exit code: why
    /// was said.
    pub(super) fn start(&self, command: &[&CStr]) -> Result<Child, u8> {
        if let Ok(mut nodes) = self.nodes.try_borrow_mut()
            && let Some(nodes) = nodes.as_mut()
        {
            let finding = match nodes.scan(None, Purpose::Start) {
                Ok(finding) => finding,
                // As a stop that comes while COMMAND's leftovers are swept.
                Err(Refusal::StopRequested) => return Err(0),
                Err(refusal) => return Err(refusal.log()),
            };
            if finding.refuses_start() {
                return Err(Refusal::RequiredChecksFailed(vec![finding]).log());
            }
        }
        self.prepared.start(command).map_err(|error| Refusal::Child(error).log())
    }
}

impl Prepared {
    pub(super) fn start(&self, command: &[&CStr]) -> Result<Child, child::Error> {
        let child = child::start(
            &self.dropped,
            &Command {
                arguments: command,
                environment: &self.environment.variables(),
                mask: self.mask,
                sigchld_ignored: self.sigchld_ignored,
                umask: self.umask,
                listen_pid: self.listen_pid,
                sandbox: self.sandbox.as_ref(),
            },
        )?;
        // COMMAND runs. From here on nothing ends this process but its end.
        last_resort::set_command(child.id);
        child::publish_pid(Some(child.id));
        logging::never_wait();
        debug!("COMMAND is process {}", child.id);
        Ok(child)
    }
}

/// Where ComfyUI-Manager asks for a restart.
pub(super) fn create_marker(settings: &Settings) -> Option<Marker> {
    if !settings.reboot {
        return None;
    }
    Marker::create(settings)
        .inspect_err(|errno| {
            warn!("TAKUMI_REBOOT has no effect: cannot create its marker: {errno} (add --tmpfs /tmp)");
        })
        .ok()
}

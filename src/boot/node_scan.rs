//! The nodes before COMMAND runs, and again before each new start of it.
//!
//! `takumi-nodes` reads them: executed as COMMAND's user without a capability, behind Landlock and a filter under which
//! it can write nothing, with no secret and no variable that it does not need. It may be taken over by what it reads,
//! so its answer is bounded, and what a person approved reaches it sealed.

use super::is_stop_pending;
use super::node_state::{self, APPROVALS, REPORTS};
use super::refusal::Refusal;
use crate::identity::Identity;
use crate::machine::trust::{self, Trust};
use crate::nodes::response::{MAX_BYTES, Response};
use crate::posture::finding::Finding;
use crate::settings::checks::Check;
use crate::settings::{ScanMode, Settings};
use crate::sys::{Errno, credentials, forked_task, fs, handover, process, spawn};
use crate::text::{Escaped, List, SingleLine};
use crate::{confine, logging};
use log::warn;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

/// What a scan needs, kept for a reboot.
pub(super) struct NodeScan {
    mode: ScanMode,
    state: Option<CString>,
    /// Of the program.
    environment: Vec<CString>,
    approvals: Option<OwnedFd>,
    reports: Option<OwnedFd>,
    /// The files were read once. After the drop they may be closed; what they said still counts.
    state_is_read: bool,
}

/// What may follow from a scan.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `--report`: nothing.
    Report,
    /// COMMAND starts: a warning, nodes moved aside, and, as container root, what is known is kept.
    Start,
}

/// What the program may do to the nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Rename,
}

/// Why nothing is known of the nodes.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("node scan failed: {0}")]
    Failed(String),
    #[error("node scan timed out after {0:?}")]
    TimedOut(Duration),
    #[error("told to stop")]
    Stopped,
}

/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Beside `init`.
const PROGRAM: &str = "takumi-nodes";
/// All that the program is given of the environment.
const VARIABLES: [&[u8]; 8] = [
    b"TAKUMI_NODES=", b"TAKUMI_VOLUMES=", b"TAKUMI_STATE=", b"TAKUMI_SCAN=", b"TAKUMI_SCAN_COMMAND=", b"TAKUMI_LOG=",
    b"TAKUMI_LOG_FORMAT=", b"VIRTUAL_ENV=",
];
const FIX: &str =
    "review it: `init --nodes show NAME` in the container; then `init --nodes approve NAME`, or remove the node";

impl NodeScan {
    /// Nothing where no start scans nodes.
    pub(super) fn if_enabled(settings: &Settings, environment: &[&CStr]) -> Option<Self> {
        let is_off = settings.scan == ScanMode::Off || settings.skip.contains(&Check::NodeScan);
        if is_off { None } else { Self::if_configured(settings, environment) }
    }

    /// The same for a person who asks, whatever a start does. Nothing where TAKUMI_NODES names no directory.
    pub(super) fn if_configured(settings: &Settings, environment: &[&CStr]) -> Option<Self> {
        settings.nodes.as_ref()?;
        let is_needed = |variable: &&&CStr| VARIABLES.iter().any(|name| variable.to_bytes().starts_with(name));
        Some(NodeScan {
            mode: settings.scan,
            state: settings.state.clone(),
            environment: environment.iter().filter(is_needed).map(|variable| CString::from(*variable)).collect(),
            approvals: None,
            reports: None,
            state_is_read: false,
        })
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        [&self.approvals, &self.reports].into_iter().flatten().map(AsRawFd::as_raw_fd)
    }

    /// Scans and says what a person must know. `user`: whom COMMAND becomes; `None`: who runs already.
    pub(super) fn scan(&mut self, user: Option<&Identity>, purpose: Purpose) -> Result<Finding, Refusal> {
        let state = self.load_state();
        let mut stopped = || is_stop_pending().unwrap_or(false);
        let verb = if purpose == Purpose::Start { c"start" } else { c"report" };
        let (answer, kept) = match self.run_program(user, &[verb], Access::Read, &mut stopped) {
            Ok(answered) => answered,
            Err(Error::Stopped) => return Err(Refusal::StopRequested),
            Err(error) => return Ok(self.unknown(&error, purpose)),
        };
        let Some(verdict) = answer.verdict else {
            return Ok(self.unknown(&Error::Failed(answer.error.unwrap_or_default()), purpose));
        };
        let required = self.mode != ScanMode::Warn;
        let finding = match verdict.passed {
            true => Finding::pass(Check::NodeScan, verdict.detail),
            false => Finding { required, ..Finding::fail(Check::NodeScan, verdict.detail, FIX) },
        };
        if purpose == Purpose::Report {
            return Ok(finding);
        }
        print_warning(&answer.warning);
        log_notes(&answer.notes);
        self.log_state(!answer.warning.is_empty(), state.as_ref().err());
        let not_moved = self.move_aside(answer.names, user);
        if let Some(reports) = kept {
            self.store_reports(&reports, state.is_ok() && user.is_some());
            self.reports = Some(reports);
        }
        if not_moved.is_empty() {
            return Ok(finding);
        }
        let detail = format!("not approved and not moved aside: {} ({})", List(&not_moved), finding.detail);
        Ok(Finding { required, ..Finding::fail(Check::NodeScan, detail, FIX) })
    }

    /// What is approved by now. After the drop, where the files cannot be read, what was known at the start.
    pub(super) fn load_state(&mut self) -> Result<(), node_state::Error> {
        let place = self.state.as_deref().ok_or(node_state::Error::NoDirectory)?;
        self.approvals = node_state::read(place, APPROVALS)?;
        if self.reports.is_none() {
            self.reports = node_state::read(place, REPORTS)?;
        }
        self.state_is_read = true;
        Ok(())
    }

    /// Keeps approvals as the program returned them.
    pub(super) fn write_approvals(&self, approvals: &OwnedFd) -> Result<(), node_state::Error> {
        node_state::write(self.state.as_deref().ok_or(node_state::Error::NoDirectory)?, APPROVALS, approvals)
    }

    /// Runs the program. Returns its answer and, sealed, what it wants kept.
    pub(super) fn run_program(
        &self,
        user: Option<&Identity>,
        words: &[&CStr],
        access: Access,
        stopped: &mut dyn FnMut() -> bool,
    ) -> Result<(Response, Option<OwnedFd>), Error> {
        let failed = |what: &str, errno: Errno| Error::Failed(format!("cannot {what}: {errno}"));
        let sandbox = match access {
            Access::Read => Some(confine::read_only_sandbox(process::self_pid())),
            Access::Rename => None,
        };
        let sandbox = sandbox.transpose().map_err(|error| Error::Failed(error.to_string()))?;
        let kept = handover::memory_file().map_err(|errno| failed("create memory (memfd_create)", errno))?;
        let mut was_stopped = false;
        let mut should_continue = || {
            was_stopped = stopped();
            !was_stopped
        };
        let output = forked_task::run_while(TIMEOUT, MAX_BYTES + 1, &mut should_continue, |child| {
            let entered = enter_sandbox(child, user, sandbox.as_ref());
            let error = entered.and_then(|()| self.exec(child, words, &kept)).err();
            let _ =
                serde_json::to_vec(&Response { error, ..Response::default() }).map(|text| child.write_output(&text));
        });
        let answered = output.map_err(|errno| failed("fork takumi-nodes", errno))?;
        if was_stopped {
            return Err(Error::Stopped);
        }
        if answered.timed_out {
            return Err(Error::TimedOut(TIMEOUT));
        }
        if answered.bytes.len() > MAX_BYTES {
            return Err(Error::Failed(format!("the answer of takumi-nodes is longer than {MAX_BYTES} bytes")));
        }
        let ended_early = "takumi-nodes ended without an answer (out of memory? its last line above may say)";
        let answer = serde_json::from_slice(&answered.bytes).map_err(|_| Error::Failed(ended_early.to_owned()))?;
        let size = fs::stat(kept.as_fd(), fs::Freshness::Cached);
        let size = size.map_err(|errno| failed("read its memory", errno))?.size;
        if size == 0 {
            return Ok((answer, None));
        }
        handover::seal(&kept).map_err(|errno| failed("seal its memory", errno))?;
        Ok((answer, Some(kept)))
    }

    /// In the child: returns only what failed.
    fn exec(&self, child: &forked_task::ForkedChild, words: &[&CStr], kept: &OwnedFd) -> Result<(), String> {
        let path = program_path()?;
        let number = |descriptor: &OwnedFd| descriptor.as_raw_fd().to_string();
        let known = |memory: &Option<OwnedFd>| memory.as_ref().map_or("-".to_owned(), number);
        let handed = [number(child.output()), known(&self.approvals), known(&self.reports), number(kept)];
        let arguments = [path.clone(), c"--for-init".into()].into_iter();
        let arguments = arguments.chain(handed.into_iter().filter_map(|number| CString::new(number).ok()));
        let arguments: Vec<CString> = arguments.chain(words.iter().map(|word| CString::from(*word))).collect();
        let handed = [Some(child.output()), self.approvals.as_ref(), self.reports.as_ref(), Some(kept)];
        let handed: Vec<&OwnedFd> = handed.into_iter().flatten().collect();
        let errno = handover::exec(&path, &arguments, &self.environment, &handed);
        Err(format!("cannot execute {}: {errno}", Escaped(path.to_bytes())))
    }

    fn unknown(&self, why: &Error, purpose: Purpose) -> Finding {
        let fix = "to try again: `init --nodes list` in the container; to start without a scan: TAKUMI_SCAN=off";
        let required = self.mode != ScanMode::Warn;
        // Where it refuses nothing it is not to pass in silence.
        if !required && purpose == Purpose::Start {
            warn!("{why}");
        }
        Finding { required, ..Finding::unknown(Check::NodeScan, why.to_string(), fix) }
    }

    fn log_state(&self, warned: bool, forgets: Option<&node_state::Error>) {
        match forgets {
            Some(node_state::Error::NoDirectory) if !warned => {}
            Some(error) if !self.state_is_read => warn!("approvals ignored: {error}"),
            Some(_) if warned => warn!("new approvals take effect after the container restarts"),
            _ => {}
        }
    }

    /// Returns who could not be moved: who stays open, and refuses the start.
    fn move_aside(&self, mut names: Vec<String>, user: Option<&Identity>) -> Vec<String> {
        if names.is_empty() {
            return names;
        }
        match self.rename(c"aside", &names, user) {
            Ok(answer) => {
                log_notes(&answer.notes);
                names.retain(|name| !answer.names.contains(name));
            }
            Err(error) => warn!("no node was moved to quarantine: {error}"),
        }
        names
    }

    /// `aside` or `back`. The answer has the names of those that were moved.
    pub(super) fn rename(&self, verb: &CStr, names: &[String], user: Option<&Identity>) -> Result<Response, Error> {
        let names: Vec<CString> = names.iter().filter_map(|name| CString::new(name.as_str()).ok()).collect();
        let words: Vec<&CStr> = std::iter::once(verb).chain(names.iter().map(CString::as_c_str)).collect();
        let (answer, _) = self.run_program(user, &words, Access::Rename, &mut || false)?;
        match answer.error {
            Some(error) => Err(Error::Failed(error)),
            None => Ok(answer),
        }
    }

    fn store_reports(&self, reports: &OwnedFd, may_write: bool) {
        if let Some(place) = self.state.as_deref().filter(|_| may_write)
            && let Err(error) = node_state::write(place, REPORTS, reports)
        {
            warn!("the next start scans all nodes again: {error}");
        }
    }
}

/// From here on the child is COMMAND's user, in a sandbox of its own.
fn enter_sandbox(
    child: &forked_task::ForkedChild,
    user: Option<&Identity>,
    sandbox: Option<&confine::Sandbox>,
) -> Result<(), String> {
    let target = user.map(|identity| &identity.ids);
    let describe = |what: &'static str| move |errno: Errno| format!("cannot {what}: {errno}");
    credentials::set_no_new_privileges().map_err(describe("give up new privileges"))?;
    child.drop_to(target).map_err(describe("become COMMAND's user"))?;
    child.isolate_memory().map_err(describe("isolate its memory"))?;
    let Some(sandbox) = sandbox else { return Ok(()) };
    spawn::enforce(sandbox, child.parent()).map_err(|(what, errno)| describe(what)(errno))
}

/// The program's path, each step of which was found to be out of COMMAND's reach.
fn program_path() -> Result<CString, String> {
    // Without /proc: where the image has it.
    let init = std::fs::read_link("/proc/self/exe").unwrap_or_else(|_| PathBuf::from("/init"));
    let path = init.with_file_name(PROGRAM).into_os_string().into_encoded_bytes();
    let path = trust::resolve_trusted(&path, Trust::RootOwned).map_err(|trouble| match trouble.is_not_found() {
        true => format!(
            "{} is missing in this image, and nodes cannot be scanned without it: add it to the image, or unset TAKUMI_NODES",
            Escaped(&path)
        ),
        false => trouble.description(),
    })?;
    CString::new(path).map_err(|error| error.to_string())
}

fn print_warning(lines: &[String]) {
    if lines.is_empty() || log::max_level() < log::LevelFilter::Warn {
        return;
    }
    let prefix = if logging::is_json() { "" } else { "init: " };
    logging::write_lines(lines.iter().map(|line| format!("{prefix}{}", SingleLine(line))));
}

fn log_notes(notes: &[String]) {
    notes.iter().for_each(|note| warn!("{}", SingleLine(note)));
}

//! `--check`: whether `init` and COMMAND hold what they promised and do what they are there for.
//!
//! It judges others: whatever started it (HEALTHCHECK, `docker exec`, a Kubernetes probe), it first becomes a user
//! without any privilege, and then looks at /proc, at what is required, and at COMMAND's own server.

mod http;
mod identity;
mod processes;
mod shields;
pub mod state;
mod verdict;

use crate::http::Url;
use crate::logging;
use crate::machine::status;
use crate::machine::user_namespace::UserNamespace;
use crate::posture::finding::{CheckStatus, Finding};
use crate::problem::Problem;
use crate::settings::Settings;
use crate::settings::checks::Check;
use crate::sys::clock::Instant;
use crate::sys::{ProcessId, Signal, SignalSet, UserId, credentials, io, memory, process, signal, watchdog};
use log::{debug, error};
use serde::Serialize;
use shields::RequiredChecks;
use state::PublishedState;
use std::ffi::{CStr, CString};
use std::fmt::Write as _;
use std::panic::PanicHookInfo;
use std::time::Duration;
use verdict::{Health, HttpAnswer, Processes, Progress};

/// Answers within TAKUMI_HEALTH_TIMEOUT. Returns 0 (healthy) or 1, nothing else.
pub fn check(environment: &[&CStr], json: bool) -> u8 {
    let began = Instant::now();
    memory::set_out_of_memory_code(1);
    std::panic::set_hook(Box::new(on_panic));
    logging::install();
    // A reader that is gone, or a file that may not grow, is an error of write and no death; and nothing else is held
    // back.
    let blocked = signal::set_mask(SignalSet::of(&[Signal::PIPE, Signal::XFSZ, Signal::TTOU]));
    if let Err(errno) = blocked.map(drop).and_then(|()| io::reopen_closed_stdio()) {
        error!("cannot begin: {errno} (a seccomp filter or a limit of open files refuses it)");
        return 1;
    }
    // Its environment holds the container's.
    if let Err(errno) = credentials::set_not_dumpable() {
        debug!("open to its own user: {errno}");
    }
    let (level, format) = Settings::log_settings(environment);
    logging::configure(level, format);
    let settings = match Settings::from_environment(environment) {
        Ok(settings) => settings,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| error!("{mistake}"));
            return 1;
        }
    };
    let report = run_checks(environment, settings, began);
    let text = if json { report.to_json() } else { report.to_text() };
    if let Err(errno) = io::write_stdout(text.as_bytes()) {
        // Who asks a probe asks for its exit code.
        debug!("cannot write to stdout: {errno}");
    }
    u8::from(!report.healthy)
}

fn on_panic(panic: &PanicHookInfo) {
    error!("internal error in init (please report it): {panic}");
    process::exit(1)
}

/// Of the time for all of it, what is left for a last look at /proc and for saying it: where every processor is at
/// work, which is when a server does not answer, either takes some tenths of a second.
const REPORT_TIME: Duration = Duration::from_secs(1);
/// How long a server is waited for before it is looked whether COMMAND works: most answer at once.
const FIRST_WAIT: Duration = Duration::from_millis(500);

fn run_checks(environment: &[&CStr], own: Settings, began: Instant) -> ProbeReport {
    arm_watchdog(own.health_timeout);
    let trusted = PublishedState::read();
    let mut settings = trusted.as_ref().ok().and_then(published_settings).unwrap_or_else(|| own.clone());
    // One with a query is not left in a file that everybody can read.
    settings.health_url = settings.health_url.or(own.health_url);
    let end = began.after(settings.health_timeout);
    arm_watchdog(Instant::now().until(end));
    let state = trusted.as_ref().ok();
    // What the engine gave.
    let given = status::read().ok();
    let started = match identity::drop_privileges(&settings, state.map(|state| &state.identity)) {
        Ok(started) => started,
        Err(problem) => return ProbeReport::drop_failed(problem),
    };

    let init = state.map(|state| ProcessId(state.process.id));
    let found = processes::find_init_and_command(init);
    let by_choice = settings.allow_root || started.namespace().is_some_and(UserNamespace::is_root_remapped);
    let user = state.map(|state| UserId(state.identity.user));
    let mut findings = shields::process_findings(&shields::read_statuses(found), by_choice, user);
    let last = Instant::now().until(end);
    let deadline = Instant::now().after(last - REPORT_TIME.min(last / 10));
    if verdict::health_without_request(found).is_none() {
        let running = match found {
            Processes::Both(init, command) => Some((init.id, command.id)),
            _ => None,
        };
        let devices = state.map_or(&[][..], |state| &state.devices);
        let required = RequiredChecks { settings: &settings, environment, given, running, devices };
        findings.extend(required.evaluate_until(deadline));
    }
    let url = settings.health_url.as_ref();
    let (answer, progress) = match (verdict::health_without_request(found), url, found) {
        (None, Some(url), Processes::Both(_, command)) => request_health(url, command.id, deadline),
        _ => (HttpAnswer::NotAsked, Progress::default()),
    };
    // COMMAND may have ended, or begun, while its server was waited for.
    let found = if answer == HttpAnswer::NotAsked { found } else { processes::find_init_and_command(init) };
    let place = url.map(Url::to_string).unwrap_or_default();
    let mut verdict = verdict::evaluate(found, &answer, &place, progress);
    if let Err(why) = &trusted {
        let _ = write!(verdict.process.detail, " (only from /proc: {why})");
    }
    ProbeReport::from_verdict(findings, verdict)
}

fn arm_watchdog(time: Duration) {
    if let Err(errno) = watchdog::arm(time) {
        debug!("no timer: {errno}");
    }
}

/// What the container was started with: an exec may come with another environment.
fn published_settings(state: &PublishedState) -> Option<Settings> {
    let variables: Vec<CString> =
        state.settings.iter().map(|text| CString::new(text.as_str())).collect::<Result<_, _>>().ok()?;
    Settings::from_environment(&variables.iter().map(CString::as_c_str).collect::<Vec<_>>()).ok()
}

fn request_health(url: &Url, command: ProcessId, deadline: Instant) -> (HttpAnswer, Progress) {
    let mut exchange = match http::Exchange::prepare(url) {
        Ok(exchange) => exchange,
        Err(answer) => return (answer, Progress::default()),
    };
    let left = Instant::now().until(deadline);
    let at_once = Instant::now().after(FIRST_WAIT.min(left / 4));
    if let Some(answer) = exchange.wait(at_once) {
        return (answer, Progress::default());
    }
    let (first, began) = (processes::sample_activity(command), Instant::now());
    if let Some(answer) = exchange.wait(deadline) {
        return (answer, Progress::default());
    }
    let watched = began.until(Instant::now());
    (HttpAnswer::TimedOut, Progress::between(&first, &processes::sample_activity(command), watched))
}

#[derive(Serialize)]
struct ProbeReport {
    version: u32,
    healthy: bool,
    state: Health,
    findings: Vec<Finding>,
    #[serde(skip)]
    summary: String,
}

impl ProbeReport {
    fn from_verdict(mut findings: Vec<Finding>, verdict: verdict::HealthVerdict) -> Self {
        let shields_hold = !findings.iter().any(Finding::refuses_start);
        let state = match verdict.state {
            state if state.is_healthy() && !shields_hold => Health::Unhealthy,
            state => state,
        };
        let summary = match verdict.http.status {
            CheckStatus::Skipped => verdict.process.detail.clone(),
            _ => format!("{}; {}", verdict.process.detail, verdict.http.detail),
        };
        findings.sort_by_key(|finding| finding.id);
        findings.extend([verdict.process, verdict.http]);
        ProbeReport { version: 1, healthy: state.is_healthy(), state, findings, summary }
    }

    /// Nobody is looked at with privileges.
    fn drop_failed(problem: Problem) -> Self {
        let detail = format!("--check cannot drop its own privileges: {}", problem.what);
        let finding = Finding { required: true, ..Finding::fail(Check::Unprivileged, detail, problem.fix) };
        let summary = "nothing was checked".to_string();
        ProbeReport { version: 1, healthy: false, state: Health::Unhealthy, findings: vec![finding], summary }
    }

    fn to_json(&self) -> String {
        // Strings, numbers and words: this cannot fail.
        serde_json::to_string(self).map(|line| line + "\n").unwrap_or_default()
    }

    fn to_text(&self) -> String {
        let mut text = format!("{}: {}\n", self.state, self.summary);
        for finding in self.findings.iter().filter(|finding| !finding.passed()) {
            let fix = finding.fix.as_deref().unwrap_or_default();
            let _ = writeln!(text, "{} {}: {} (fix: {fix})", finding.id, finding.status.name(), finding.detail);
        }
        text
    }
}

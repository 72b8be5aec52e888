//! A start, from its first line to COMMAND's exit code. Who reads only this page knows the program.
//!
//! Until COMMAND runs every error is a [`Refusal`]: one line a reason, and 125 (126 and 127 for COMMAND itself).
//! Nothing below [`drop_privileges`] needs a capability, and there is no way back. Nothing above it runs afterwards but
//! the scan of nodes, before each start that ComfyUI-Manager asks for: it needs no privilege then.

mod context;
mod environment;
mod inherited;
mod node_scan;
mod node_state;
mod preflight;
mod print;
mod publish;
mod refusal;
mod report;
mod restart;
mod verbs;
mod volumes;

pub use report::report;
pub use verbs::{NodesVerb, nodes};

use crate::identity::{Identity, StartedAs};
use crate::ownership;
use crate::posture::finding::Finding;
use crate::posture::report::Report;
use crate::privilege::drop::Preflight;
use crate::privilege::{self, Dropped, verify};
use crate::secrets;
use crate::settings::Settings;
use crate::settings::checks::Check;
use crate::supervise::child::{self, Child};
use crate::supervise::last_resort;
use crate::supervise::lifecycle::Rules;
use crate::supervise::restart_marker::Marker;
use crate::supervise::run::{self, RestartHook, SuperviseOptions};
use crate::sys::entry::InheritedEnvironment;
use crate::sys::{Errno, GroupId, ProcessId, Signal, SignalSet, UserId, credentials, io, process, signal};
use crate::text::Escaped;
use crate::{confine, logging};
use context::StartContext;
use log::{debug, info, warn};
use node_scan::{NodeScan, Purpose};
use preflight::{check_started_as, preflight, resolve_target};
use refusal::Refusal;
use restart::{Prepared, Restart, create_marker};
use std::cell::RefCell;
use std::ffi::CStr;
use std::os::fd::RawFd;
use std::time::Duration;

/// Starts `command` and serves it to its end. Returns the exit code.
pub fn start(command: &[&CStr], environment: InheritedEnvironment) -> u8 {
    // Before anything else: from here on no signal is lost, it waits.
    let mask = signal::set_mask(SignalSet::ALL);
    logging::install();
    last_resort::install_panic_hook();
    child::publish_pid(None);
    match mask
        .map_err(|errno| Refusal::system("block signals", errno))
        .and_then(|mask| start_command(command, environment, mask))
    {
        Ok(running) => {
            let restart = running.restart.as_ref().map(|restart| (&restart.marker, || restart.start(command)));
            let hook = restart.as_ref().map(|(marker, start)| RestartHook { marker, start });
            let code = run::supervise(running.child, running.options, hook);
            // `exit` runs no destructor: the place of the restart's marker would stay on its volume.
            drop(running.restart);
            process::exit(code)
        }
        Err(refusal) => refusal.log(),
    }
}

struct Running {
    child: Child,
    options: SuperviseOptions,
    /// For TAKUMI_REBOOT.
    restart: Option<Restart>,
}

// Its frame holds whatever a start needs; inlined it would stay under the supervisor for ever.
#[inline(never)]
fn start_command(command: &[&CStr], inherited_env: InheritedEnvironment, mask: SignalSet) -> Result<Running, Refusal> {
    io::reopen_closed_stdio().map_err(|errno| Refusal::system("open /dev/null", errno))?;
    let environment = inherited_env.variables();
    let (level, format) = Settings::log_settings(environment);
    logging::configure(level, format);
    let settings = Settings::from_environment(environment).map_err(Refusal::Settings)?;
    if command.is_empty() {
        return Err(Refusal::no_command());
    }
    let sigchld_ignored = signal::default_sigchld().map_err(|errno| Refusal::system("receive SIGCHLD", errno))?;
    let (self_pid, parent) = (process::self_pid(), process::parent_pid());
    let is_pid_1 = self_pid == ProcessId(1);
    let inherited = inherited::close_undeclared(&settings.keep, environment, self_pid)?;

    // Nothing is changed so far.
    let started_as = check_started_as()?;
    let target = resolve_target(&settings, &started_as)?;
    let new_user = target.as_ref();
    let preflight = preflight(&started_as, new_user)?;
    let context = StartContext {
        settings: &settings,
        started_as: &started_as,
        environment,
        new_user,
        target_error: None,
        preflight_error: None,
    };
    let machine = context.observe();
    // What comes of volumes and nodes is judged when it is known.
    refuse_unmet(&context.examine(&machine, Vec::new()), |check| !matches!(check, Check::Volumes | Check::NodeScan))?;

    // As container root, in this order: no secret is read before strangers' files were.
    let volumes = volumes::prepare(&context)?;
    let mut known: Vec<Finding> = volumes.iter().map(|volume| volumes::finding(&context, volume)).collect();
    let mut nodes = NodeScan::if_enabled(&settings, environment);
    if let Some(nodes) = &mut nodes {
        known.push(nodes.scan(new_user, Purpose::Start)?);
    }
    let secrets = secrets::read(&settings, environment).map_err(Refusal::Secrets)?;
    let report = context.examine(&machine, known);
    refuse_unmet(&report, |_| true)?;
    publish::publish(&context, &report, &machine, self_pid);

    let dropped = drop_privileges(&context, preflight, self_pid)?;
    let marker = create_marker(&settings);
    let mut exports = environment::proxy_exports(environment, settings.egress);
    exports.extend(marker.as_ref().map(Marker::variable));
    let command_env = environment::build(environment, secrets, new_user, &exports, inherited.is_listen_pid);
    let style = print::detect_style(environment);
    // COMMAND's own lies elsewhere by now: no key stays in /proc/1/environ or in memory.
    inherited_env.wipe();
    ownership::verify_writable(volumes)?;

    if !is_pid_1 {
        // Orphans below COMMAND come to us, not to a PID 1 that may not reap.
        credentials::become_subreaper().map_err(|errno| Refusal::system("become the reaper of orphans", errno))?;
    }
    if let Some(death) = settings.parent_death {
        set_parent_death_signal(death, parent, self_pid)?;
    }
    // What is known of the nodes stays for a restart alone, and COMMAND does not inherit it.
    let nodes = nodes.filter(|_| marker.is_some());
    let known = nodes.iter().flat_map(NodeScan::descriptors);
    verify_inherited(&inherited.kept.iter().copied().chain(known).collect::<Vec<_>>())?;
    if is_stop_pending()? {
        return Err(Refusal::StopRequested);
    }
    print::print_report(&report, style);
    log_start(&started_as, &dropped, new_user, command);

    // Made before COMMAND runs: afterwards this process allocates nothing.
    let options = supervise_options(&settings, is_pid_1);
    // Enforced in the child, between fork and exec.
    let sandbox = confine::command_sandbox(&dropped, &settings, &machine, self_pid).map_err(Refusal::Confine)?;
    let (umask, listen_pid) = (settings.umask, inherited.is_listen_pid);
    let prepared = Prepared { dropped, environment: command_env, mask, sigchld_ignored, umask, listen_pid, sandbox };
    let child = prepared.start(command).map_err(Refusal::Child)?;
    // Without a restart all of it is gone here, before `close_inherited` closes every descriptor: that of the sandbox's
    // rules is its own.
    let restart = marker.map(|marker| Restart { prepared, marker, nodes: RefCell::new(nodes) });
    if restart.is_none() {
        close_inherited();
    }
    Ok(Running { child, options, restart })
}

fn supervise_options(settings: &Settings, is_pid_1: bool) -> SuperviseOptions {
    let health_url = settings.health_url.clone();
    SuperviseOptions { rules: Rules::from_settings(settings, is_pid_1), scope: settings.scope, is_pid_1, health_url }
}

/// Everything that is required and does not pass is told at once. `is_known`: whether the check's answer counts by now.
fn refuse_unmet(report: &Report, is_known: fn(Check) -> bool) -> Result<(), Refusal> {
    let refuses = |finding: &&Finding| finding.refuses_start() && is_known(finding.id);
    let refused: Vec<Finding> = report.findings.iter().filter(refuses).cloned().collect();
    if refused.is_empty() { Ok(()) } else { Err(Refusal::RequiredChecksFailed(refused)) }
}

/// The end of all privilege.
fn drop_privileges(
    context: &StartContext,
    preflight: Option<Preflight>,
    self_pid: ProcessId,
) -> Result<Dropped, Refusal> {
    let started_as = context.started_as;
    let (Some(identity), Some(preflight)) = (context.new_user, preflight) else {
        return Ok(privilege::stay_user(started_as.users, started_as.groups, started_as.capabilities)?);
    };
    if self_pid == ProcessId(1) {
        chown_stdio(identity.ids.user);
    }
    Ok(privilege::become_user(&identity.ids, preflight)?)
}

/// As runc does: the user could not reopen /dev/stdout otherwise (`man 7 pipe`: a pipe's owner is who made it). Only
/// pipes and terminals; a file or a device of the host is nobody's to give.
fn chown_stdio(user: UserId) {
    for number in 0..io::FIRST_NON_STDIO {
        if let Ok(stdio) = io::stdio_owner(number)
            && stdio.transferable
            && stdio.owner != user
            && let Err(errno) = io::chown_fd(number, user)
        {
            debug!("descriptor {number} stays with uid {}: {errno} (COMMAND cannot reopen it)", stdio.owner);
        }
    }
}

/// tini's -p. After the drop, which clears it.
fn set_parent_death_signal(death: Signal, parent: ProcessId, self_pid: ProcessId) -> Result<(), Refusal> {
    let what = "ask for a signal at the parent's death";
    credentials::set_parent_death_signal(death.number()).map_err(|errno| Refusal::system(what, errno))?;
    if credentials::parent_death_signal() != Ok(i32::from(death.number())) {
        return Err(Refusal::system(what, Errno(libc::EIO)));
    }
    if process::parent_pid() != parent {
        // It died before it could be asked for; the signal comes all the same.
        signal::kill(self_pid.0, death).map_err(|errno| Refusal::system(what, errno))?;
    }
    Ok(())
}

/// Neither a descriptor nor the directory leads COMMAND outside.
fn verify_inherited(descriptors: &[RawFd]) -> Result<(), Refusal> {
    match process::is_working_directory_inside() {
        Ok(true) => Ok(verify::verify_descriptors(descriptors)?),
        Ok(false) => Err(Refusal::directory_outside()),
        Err(errno) => Err(Refusal::system("check the working directory", errno)),
    }
}

/// Whether somebody has asked for an end before there is anything to end. Takes that signal from the queue.
fn is_stop_pending() -> Result<bool, Refusal> {
    let stops = SignalSet::of(&[Signal::TERM, Signal::INT, Signal::QUIT]);
    for _ in 0..8 {
        match signal::receive(stops, Some(Duration::ZERO)) {
            Ok(taken) => return Ok(taken.is_some()),
            Err(Errno(libc::EINTR)) => continue,
            Err(errno) => return Err(Refusal::system("look for pending signals", errno)),
        }
    }
    Err(Refusal::system("look for pending signals", Errno(libc::EINTR)))
}

/// COMMAND has its own copy of everything: PID 1 pins neither a descriptor nor a directory (catatonit#12, #28). Not
/// where COMMAND may be started again, which it is with the same descriptors in the same directory.
fn close_inherited() {
    if let Err(errno) = io::close_range(io::FIRST_NON_STDIO as u32, u32::MAX) {
        warn!("cannot close inherited descriptors: {errno} (they stay open as long as COMMAND runs)");
    }
    if let Err(errno) = process::change_directory(c"/") {
        warn!("cannot leave the working directory: {errno} (it stays in use as long as COMMAND runs)");
    }
}

fn log_start(started_as: &StartedAs, dropped: &Dropped, new_user: Option<&Identity>, command: &[&CStr]) {
    if !dropped.seen_in_proc {
        warn!("/proc cannot be read: the drop was verified only by prctl, capget and getres*id (mount /proc)");
    }
    let name = Escaped(command.first().map_or(b"", |name| name.to_bytes()));
    match new_user {
        Some(identity) if identity.ids.user == UserId(0) => {
            info!("starting {name} as {identity}: root allowed by TAKUMI_ALLOW_ROOT, no capabilities")
        }
        Some(identity) => info!("starting {name} as {identity}: no capabilities, no_new_privs"),
        None => info!(
            "starting {name} as uid {}, gid {}, as init was started: no capabilities, no_new_privs",
            started_as.users.real, started_as.groups.real
        ),
    }
    if dropped.bounding != 0 {
        info!(
            "bounding set is not empty ({:#x}); harmless under no_new_privs (--cap-drop ALL empties it)",
            dropped.bounding
        );
    }
    if new_user.is_some() && !dropped.secure_bits_locked {
        info!("secure bits not locked: CAP_SETPCAP is missing (add --cap-add SETPCAP)");
    }
    if new_user.is_none() && started_as.groups.contains(GroupId(0)) {
        info!("COMMAND keeps group 0 from the engine (--user {0}:{0} gives another group)", started_as.users.real);
    }
}

//! A start, from its first line to COMMAND's exit code. Who reads only this page knows the program.
//!
//! Until COMMAND runs every error is a [`Refusal`]: one line a reason, and 125 (126 and 127 for COMMAND itself). Nothing below
//! [`become_nobody`] needs a capability, nothing above it runs afterwards, and there is no way back.

mod again;
mod before;
mod environment;
mod inherited;
mod nodes;
mod refusal;
mod report;
mod shields;
mod verbs;

pub use report::report;
pub use verbs::nodes;

use crate::identity::{Identity, StartedAs};
use crate::machine::Machine;
use crate::ownership::{self, Container, Target, Volume};
use crate::posture::finding::Finding;
use crate::posture::report::Report;
use crate::privilege::{self, Dropped, verify};
use crate::secrets::{self, Secrets};
use crate::settings::{Ownership, Settings};
use crate::supervise::child::{self, Child};
use crate::supervise::last_resort;
use crate::supervise::lifecycle::Rules;
use crate::supervise::reboot::Marker;
use crate::supervise::run::{self, Reboot, Terms};
use crate::sys::entry::Environment;
use crate::sys::{Errno, GroupId, ProcessId, Signal, SignalSet, UserId, credentials, io, process, signal};
use crate::text::Shown;
use crate::{confine, logging};
use again::{Again, Prepared, reboot_marker};
use before::{become_whom, started_as};
use log::{debug, info, warn};
use nodes::{Nodes, Purpose};
use refusal::Refusal;
use shields::Plan;
use std::cell::RefCell;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// Starts `command` and serves it to its end. Returns the exit code.
pub fn start(command: &[&CStr], environment: Environment) -> u8 {
    // Before anything else: from here on no signal is lost, it waits.
    let mask = signal::set_mask(SignalSet::ALL);
    logging::begin();
    last_resort::arm();
    child::tell_probe(None);
    match mask
        .map_err(|errno| Refusal::System("block signals", errno))
        .and_then(|mask| begin(command, environment, mask))
    {
        Ok(running) => {
            let again = running.again.as_ref().map(|again| (&again.marker, || again.start(command)));
            let reboot = again.as_ref().map(|(marker, start)| Reboot { marker, start });
            let code = run::supervise(running.child, running.terms, reboot);
            // `exit` runs no destructor: the place of the reboot's marker would stay on its volume.
            drop(running.again);
            process::exit(code)
        }
        Err(refusal) => refusal.tell(),
    }
}

struct Running {
    child: Child,
    terms: Terms,
    /// For TAKUMI_REBOOT.
    again: Option<Again>,
}

// Its frame holds whatever a start needs; inlined it would stay under the supervisor for ever.
#[inline(never)]
fn begin(command: &[&CStr], came: Environment, mask: SignalSet) -> Result<Running, Refusal> {
    io::occupy_closed_stdio().map_err(|errno| Refusal::System("open /dev/null", errno))?;
    let environment = came.variables();
    let (level, format) = Settings::log(environment);
    logging::configure(level, format);
    let settings = Settings::read(environment).map_err(Refusal::Settings)?;
    if command.is_empty() {
        return Err(Refusal::NoCommand);
    }
    let sigchld_ignored = signal::default_sigchld().map_err(|errno| Refusal::System("receive SIGCHLD", errno))?;
    let own = process::own_id();
    let is_pid_1 = own == ProcessId(1);
    let parent = process::parent_id();
    let inherited = inherited::keep_only(&settings.keep, environment, own)?;

    let before = started_as()?;
    let new_user = become_whom(&settings, &before)?;
    let plan = Plan { settings: &settings, before: &before, environment, new_user: new_user.as_ref() };
    let Nobody { dropped, secrets, volumes, report, machine, nodes } = become_nobody(&plan, own)?;
    let marker = reboot_marker(&settings);
    let mut exports = environment::proxies(environment, settings.egress);
    exports.extend(marker.as_ref().map(Marker::variable));
    let finished = environment::for_command(environment, secrets, new_user.as_ref(), &exports, inherited.listens);
    let style = shields::style(environment);
    // COMMAND's own lies elsewhere by now: no key stays in /proc/1/environ or in memory.
    came.wipe();
    ownership::prove(volumes)?;

    if !is_pid_1 {
        // Orphans below COMMAND come to us, not to a PID 1 that may not reap.
        credentials::become_subreaper().map_err(|errno| Refusal::System("become the reaper of orphans", errno))?;
    }
    if let Some(death) = settings.parent_death {
        ask_for_parents_death(death, parent, own)?;
    }
    if !process::directory_is_inside().map_err(|errno| Refusal::System("look at the working directory", errno))? {
        return Err(Refusal::DirectoryOutside);
    }
    verify::descriptors(&inherited.kept)?;
    if told_to_stop()? {
        return Err(Refusal::ToldToStop);
    }
    shields::tell(&report, style);
    tell(&before, &dropped, new_user.as_ref(), command);

    // Made before COMMAND runs: afterwards this process allocates nothing.
    let terms = Terms {
        rules: Rules::of(&settings, is_pid_1),
        scope: settings.scope,
        is_pid_1,
        health_url: settings.health_url.clone(),
    };
    let is_root = new_user.as_ref().map_or(before.users.real, |identity| identity.ids.user) == UserId(0);
    let lock = confine::prepare(&dropped, &settings, &machine, own, is_root)?;
    let (umask, listen_pid) = (settings.umask, inherited.listens);
    let prepared = Prepared { dropped, environment: finished, mask, sigchld_ignored, umask, listen_pid, lock };
    let child = prepared.start(command)?;
    // Without a reboot all of it is gone here, before `let_go` closes every descriptor: that of the lock's rules is its own.
    let again = marker.map(|marker| Again { prepared, marker, nodes: RefCell::new(nodes) });
    if again.is_none() {
        let_go();
    }
    Ok(Running { child, terms, again })
}

/// What is left when all privilege is gone.
struct Nobody {
    dropped: Dropped,
    secrets: Secrets,
    volumes: Vec<Volume>,
    report: Report,
    machine: Machine,
    nodes: Option<Nodes>,
}

/// Everything that needs a privilege, and then the end of all privilege.
fn become_nobody(plan: &Plan, own: ProcessId) -> Result<Nobody, Refusal> {
    let settings = plan.settings;
    let means = plan.means()?;
    // Before anything is changed; what came of the volumes is judged when it is known.
    let mut shields = plan.look(Vec::new());
    refuse_weak(&shields.report)?;
    let secrets = secrets::read(settings, plan.environment).map_err(Refusal::Secrets)?;
    let volumes = match plan.new_user {
        Some(identity) => own_volumes(settings, plan.before, identity)?,
        None => ownership::volumes_of_a_plain_start(&volume_paths(settings))?,
    };
    let changes = plan.new_user.is_some() && !matches!(settings.ownership, Ownership::Verify | Ownership::Off);
    let of_volume = |volume| shields::of_volume(volume, settings.ownership, changes);
    let mut findings: Vec<Finding> = volumes.iter().map(of_volume).collect();
    let mut nodes = Nodes::of(settings, plan.environment);
    if let Some(nodes) = &mut nodes {
        findings.push(nodes.scan(plan.new_user, Purpose::Start)?);
    }
    if !findings.is_empty() {
        shields.report = plan.judge(&shields.machine, findings);
        refuse_weak(&shields.report)?;
    }
    plan.leave_for_the_probe(&shields, own);
    let dropped = match (plan.new_user, means) {
        (Some(identity), Some(means)) => {
            if own == ProcessId(1) {
                hand_over_stdio(identity.ids.user);
            }
            privilege::become_user(&identity.ids, means)?
        }
        _ => privilege::stay_user(plan.before.users, plan.before.groups, plan.before.capabilities)?,
    };
    Ok(Nobody { dropped, secrets, volumes, report: shields.report, machine: shields.machine, nodes })
}

/// Everything that is required and not held is told at once.
fn refuse_weak(report: &Report) -> Result<(), Refusal> {
    let refused: Vec<Finding> = report.findings.iter().filter(|finding| finding.refuses()).cloned().collect();
    if refused.is_empty() { Ok(()) } else { Err(Refusal::Weak(refused)) }
}

fn volume_paths(settings: &Settings) -> Vec<PathBuf> {
    settings.volumes.iter().map(|path| PathBuf::from(OsStr::from_bytes(path.to_bytes()))).collect()
}

fn own_volumes(settings: &Settings, before: &StartedAs, identity: &Identity) -> Result<Vec<Volume>, Refusal> {
    if settings.volumes.is_empty() {
        return Ok(Vec::new());
    }
    let target = Target { uid: identity.ids.user, gid: identity.ids.group };
    // A stop that cannot be asked for is no stop: the question is asked again, and fails, before COMMAND runs.
    let mut stopped = || told_to_stop().unwrap_or(false);
    let paths = volume_paths(settings);
    Ok(ownership::prepare(&paths, settings.ownership, &target, &Container::of(before), &mut stopped)?)
}

/// As runc does: the user could not reopen /dev/stdout otherwise (`man 7 pipe`: a pipe's owner is who made it). Only pipes and
/// terminals; a file or a device of the host is nobody's to give.
fn hand_over_stdio(user: UserId) {
    for number in 0..io::FIRST_OTHER {
        if let Ok(stdio) = io::stdio(number)
            && stdio.handed_over
            && stdio.owner != user
            && let Err(errno) = io::give(number, user)
        {
            debug!("descriptor {number} stays with uid {}: {errno} (COMMAND cannot reopen it)", stdio.owner);
        }
    }
}

/// tini's -p. After the drop, which clears it.
fn ask_for_parents_death(death: Signal, parent: ProcessId, own: ProcessId) -> Result<(), Refusal> {
    let what = "ask for a signal at the parent's death";
    credentials::set_parent_death_signal(death.number()).map_err(|errno| Refusal::System(what, errno))?;
    if credentials::parent_death_signal() != Ok(i32::from(death.number())) {
        return Err(Refusal::System(what, Errno(libc::EIO)));
    }
    if process::parent_id() != parent {
        // It died before it could be asked for; the signal comes all the same.
        signal::kill(own.0, death).map_err(|errno| Refusal::System(what, errno))?;
    }
    Ok(())
}

/// Whether somebody has asked for an end before there is anything to end. Takes that signal from the queue.
fn told_to_stop() -> Result<bool, Refusal> {
    let stops = SignalSet::of(&[Signal::TERM, Signal::INT, Signal::QUIT]);
    for _ in 0..8 {
        match signal::take(stops, Some(Duration::ZERO)) {
            Ok(taken) => return Ok(taken.is_some()),
            Err(Errno(libc::EINTR)) => continue,
            Err(errno) => return Err(Refusal::System("look for pending signals", errno)),
        }
    }
    Err(Refusal::System("look for pending signals", Errno(libc::EINTR)))
}

/// COMMAND has its own copy of everything: PID 1 pins neither a descriptor nor a directory (catatonit#12, #28). Not where COMMAND may
/// be started again, which it is with the same descriptors in the same directory.
fn let_go() {
    if let Err(errno) = io::close_range(io::FIRST_OTHER as u32, u32::MAX) {
        warn!("cannot close inherited descriptors: {errno} (they stay open as long as COMMAND runs)");
    }
    if let Err(errno) = process::change_directory(c"/") {
        warn!("cannot leave the working directory: {errno} (it stays in use as long as COMMAND runs)");
    }
}

fn tell(before: &StartedAs, dropped: &Dropped, new_user: Option<&Identity>, command: &[&CStr]) {
    if !dropped.seen_in_proc {
        warn!("/proc cannot be read: the drop was verified by prctl, capget and getres*id alone (mount /proc)");
    }
    let name = Shown(command.first().map_or(b"", |name| name.to_bytes()));
    match new_user {
        Some(identity) if identity.ids.user == UserId(0) => {
            info!("starting {name} as {identity}: root by choice, no capability")
        }
        Some(identity) => info!("starting {name} as {identity}: no capability, no_new_privs"),
        None => info!(
            "starting {name} as uid {}, gid {}, as init was started: no capability, no_new_privs",
            before.users.real, before.groups.real
        ),
    }
    if dropped.bounding != 0 {
        info!(
            "the engine left a bounding set of {:#x}: no_new_privs makes it worthless (--cap-drop ALL empties it)",
            dropped.bounding
        );
    }
    if new_user.is_some() && !dropped.secure_bits_locked {
        info!("the secure bits are not locked: CAP_SETPCAP was missing (add --cap-add SETPCAP)");
    }
    if new_user.is_none() && before.groups.has(GroupId(0)) {
        info!("COMMAND keeps group 0, which the engine gave (--user {0}:{0} gives another)", before.users.real);
    }
}

//! A start, from its first line to COMMAND's exit code. Who reads only this page knows the program.
//!
//! Until COMMAND runs every error is a [`Refusal`]: one line a reason, and 125 (126 and 127 for COMMAND itself). Nothing below
//! [`become_nobody`] needs a capability, nothing above it runs afterwards, and there is no way back.

mod environment;
mod inherited;
mod report;

pub use report::report;

use crate::identity::resolve::{self, Sources};
use crate::machine::user_namespace::UserNamespace;
use crate::ownership::{self, Container, Target, Volume};
use crate::privilege::{self, Dropped, drop, verify};
use crate::secrets::{self, Secrets};
use crate::settings::{Mistake, Settings};
use crate::supervise::child::{self, Child, Command};
use crate::supervise::lifecycle::Rules;
use crate::supervise::{last_resort, run};
use crate::sys::credentials::{self, Capabilities, Three};
use crate::sys::entry::Environment;
use crate::sys::{Errno, GroupId, ProcessId, Signal, SignalSet, UserId, io, process, signal};
use crate::text::{List, Shown};
use crate::{identity, logging};
use log::{debug, error, info, warn};
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
    match mask
        .map_err(|errno| Refusal::System("block signals", errno))
        .and_then(|mask| begin(command, environment, mask))
    {
        Ok(running) => {
            let code = run::supervise(running.child, running.rules, running.scope, running.is_pid_1);
            process::exit(code)
        }
        Err(refusal) => refusal.tell(),
    }
}

struct Running {
    child: Child,
    rules: Rules,
    scope: crate::settings::Scope,
    is_pid_1: bool,
}

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

    let before = Before::look()?;
    let Nobody { dropped, secrets, volumes, new_user } = become_nobody(&settings, &before, environment, is_pid_1)?;
    let finished = environment::for_command(environment, secrets, new_user.as_ref(), inherited.listens);
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
    tell(&settings, &before, &dropped, new_user.as_ref(), command);

    let child = child::start(
        &dropped,
        &Command {
            arguments: command,
            environment: &finished.variables(),
            mask,
            sigchld_ignored,
            umask: settings.umask,
            listen_pid: inherited.listens,
        },
    )?;
    // COMMAND runs. From here on nothing ends this process but its end.
    last_resort::command_runs(child.id);
    logging::never_wait();
    let_go();
    debug!("COMMAND is process {}", child.id);
    Ok(Running { child, rules: Rules::of(&settings, is_pid_1), scope: settings.scope, is_pid_1 })
}

/// What this process was started as.
struct Before {
    users: Three<UserId>,
    groups: Three<GroupId>,
    capabilities: Capabilities,
    /// `None`: /proc is not mounted.
    namespace: Option<UserNamespace>,
}

impl Before {
    fn look() -> Result<Self, Refusal> {
        let unseen = |what| move |errno| Refusal::System(what, errno);
        let users = credentials::user_ids().map_err(unseen("read the user ids"))?;
        let groups = credentials::group_ids().map_err(unseen("read the group ids"))?;
        if users != Three::all(users.real)
            || groups != Three::all(groups.real)
            || credentials::started_with_more_privilege()
        {
            return Err(Refusal::SetUserId);
        }
        let capabilities = credentials::capabilities().map_err(unseen("read the capabilities"))?;
        let namespace = if users.real == UserId(0) { UserNamespace::read().ok() } else { None };
        Ok(Before { users, groups, capabilities, namespace })
    }

    fn is_root(&self) -> bool {
        self.users.real == UserId(0)
    }
}

/// What is left when all privilege is gone.
struct Nobody {
    dropped: Dropped,
    secrets: Secrets,
    volumes: Vec<Volume>,
    /// That of a start as root.
    new_user: Option<identity::Identity>,
}

/// Everything that needs a privilege, and then the end of all privilege.
fn become_nobody(
    settings: &Settings,
    before: &Before,
    environment: &[&CStr],
    is_pid_1: bool,
) -> Result<Nobody, Refusal> {
    let new_user = become_whom(settings, before)?;
    let secrets = secrets::read(settings, environment).map_err(Refusal::Secrets)?;
    let Some(identity) = new_user else {
        let dropped = drop::stay_user(before.users, before.groups, before.capabilities)?;
        let volumes = ownership::volumes_of_a_plain_start(&volume_paths(settings))?;
        return Ok(Nobody { dropped, secrets, volumes, new_user: None });
    };
    let means = drop::means(&identity, before.capabilities, setgroups_denied(before))?;
    let volumes = own_volumes(settings, before, &identity)?;
    if is_pid_1 {
        hand_over_stdio(identity.user);
    }
    let dropped = drop::become_user(&identity, means)?;
    Ok(Nobody { dropped, secrets, volumes, new_user: Some(identity) })
}

/// The target of a start as root; nobody in a start as an ordinary user, which must not be told to become another.
fn become_whom(settings: &Settings, before: &Before) -> Result<Option<identity::Identity>, Refusal> {
    let passwd = account_file(c"/etc/passwd", settings, before)?;
    let group = account_file(c"/etc/group", settings, before)?;
    let sources = Sources { passwd: &passwd, group: &group, namespace: before.namespace.as_ref() };
    if before.is_root() {
        return Ok(Some(resolve::resolve(settings, &sources)?));
    }
    match resolve::somebody_else(settings, &sources, before.users.real, before.groups.real)? {
        Some(asked) => Err(Refusal::NotRoot(asked, before.users.real, before.groups.real)),
        None => Ok(None),
    }
}

/// /etc/passwd or /etc/group, where anything is to be looked up in it: an ordinary start by numbers reads neither.
fn account_file(path: &'static CStr, settings: &Settings, before: &Before) -> Result<Vec<u8>, Refusal> {
    if !before.is_root() && settings.user.is_none() && settings.groups.is_none() {
        return Ok(Vec::new());
    }
    match io::read_whole(path, 64 << 20) {
        Ok(text) => Ok(text),
        Err(Errno(libc::ENOENT | libc::ENOTDIR)) => Ok(Vec::new()),
        Err(errno) => Err(Refusal::AccountFile(path.to_str().unwrap_or_default(), errno)),
    }
}

fn volume_paths(settings: &Settings) -> Vec<PathBuf> {
    settings.volumes.iter().map(|path| PathBuf::from(OsStr::from_bytes(path.to_bytes()))).collect()
}

fn own_volumes(settings: &Settings, before: &Before, identity: &identity::Identity) -> Result<Vec<Volume>, Refusal> {
    if settings.volumes.is_empty() {
        return Ok(Vec::new());
    }
    let target = Target { uid: identity.user, gid: identity.group };
    // A stop that cannot be asked for is no stop: the question is asked again, and fails, before COMMAND runs.
    let mut stopped = || told_to_stop().unwrap_or(false);
    let paths = volume_paths(settings);
    Ok(ownership::prepare(&paths, settings.ownership, &target, &container_of(before), &mut stopped)?)
}

fn container_of(before: &Before) -> Container {
    let namespace = before.namespace.clone().unwrap_or_else(UserNamespace::first);
    Container { namespace, capabilities: before.capabilities.effective }
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

/// Only a namespace that an ordinary user made without help denies it (`man 7 user_namespaces`).
fn setgroups_denied(before: &Before) -> bool {
    let whole = before.namespace.as_ref().is_none_or(|namespace| namespace.groups.is_whole());
    let mut buffer = [0; 16];
    !whole && io::read_into(c"/proc/self/setgroups", &mut buffer).is_ok_and(|text| text.starts_with(b"deny"))
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

/// COMMAND has its own copy of everything: PID 1 pins neither a descriptor nor a directory (catatonit#12, #28).
fn let_go() {
    if let Err(errno) = io::close_range(io::FIRST_OTHER as u32, u32::MAX) {
        warn!("cannot close inherited descriptors: {errno} (they stay open as long as COMMAND runs)");
    }
    if let Err(errno) = process::change_directory(c"/") {
        warn!("cannot leave the working directory: {errno} (it stays in use as long as COMMAND runs)");
    }
}

fn tell(
    settings: &Settings,
    before: &Before,
    dropped: &Dropped,
    new_user: Option<&identity::Identity>,
    command: &[&CStr],
) {
    let without_effect = settings.without_effect();
    if !without_effect.is_empty() {
        info!("no effect in this version: {}", List(&without_effect));
    }
    if !dropped.seen_in_proc {
        warn!("/proc cannot be read: the drop was verified by prctl, capget and getres*id alone (mount /proc)");
    }
    let name = Shown(command.first().map_or(b"", |name| name.to_bytes()));
    match new_user {
        Some(identity) if identity.user == UserId(0) => {
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

/// Why COMMAND does not run.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("")]
    Settings(Vec<Mistake>),
    #[error("")]
    Secrets(Vec<secrets::Error>),
    #[error(
        "no COMMAND to start: usage: init [--] COMMAND [ARG]... (give it in CMD or after the image's name; see init --help)"
    )]
    NoCommand,
    #[error("cannot {0}: {1} (a seccomp filter or a sandbox refuses it; start without that rule)")]
    System(&'static str, Errno),
    #[error(
        "init was started with more privilege than its caller has: it must be neither setuid nor setgid nor have file capabilities (chmod 0711 /init, setcap -r /init)"
    )]
    SetUserId,
    #[error(
        "cannot become {0}: init was started as uid {1}, gid {2} (start the container as root, or leave PUID, PGID, TAKUMI_USER and TAKUMI_GROUPS unset)"
    )]
    NotRoot(String, UserId, GroupId),
    #[error("cannot read {0}: {1} (make it readable, or remove it and name ids)")]
    AccountFile(&'static str, Errno),
    #[error(
        "the working directory lies outside the container (an engine with CVE-2024-21626? update it, or set WORKDIR)"
    )]
    DirectoryOutside,
    #[error("told to stop before COMMAND ran (nothing is lost: start again)")]
    ToldToStop,
    #[error(transparent)]
    Identity(#[from] resolve::Error),
    #[error(transparent)]
    Ownership(#[from] ownership::Error),
    #[error(transparent)]
    Privilege(#[from] privilege::Error),
    #[error(transparent)]
    Child(#[from] child::Error),
}

impl Refusal {
    fn tell(&self) -> u8 {
        match self {
            Refusal::Settings(mistakes) => mistakes.iter().for_each(|mistake| error!("{mistake}")),
            Refusal::Secrets(errors) => errors.iter().for_each(|error| error!("{error}")),
            refusal => error!("{refusal}"),
        }
        match self {
            Refusal::Child(error) => error.code(),
            _ => 125,
        }
    }
}

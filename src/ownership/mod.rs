//! Volumes end up usable by the app: only what is wrong is touched, by descriptor, never outside the volume.
//!
//! [`repair_volumes`] runs as container root before the drop, [`verify_writable`] as the user after it. A volume's path may hold no
//! symbolic link: whoever could swap one would lead a walk with CAP_CHOWN where they like, so every link is refused and
//! named.

mod acl;
mod chown;
mod container;
mod mount;
mod outcome;
mod path;
mod progress;
mod share;
mod stack;
mod walk;
mod writable;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

pub use container::Container;
pub use outcome::Outcome;
pub use writable::verify_writable;

use crate::problem::Problem;
use crate::settings::OwnershipMode;
use crate::sys::fs::{self, Freshness};
use crate::sys::{Errno, GroupId, UserId};
use outcome::Tally;
use path::ShownPath;
use progress::Progress;
use walk::{Repair, WalkError};

/// Whom the volumes are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    pub uid: UserId,
    /// The app's primary group.
    pub gid: GroupId,
}

/// A declared directory on its way to be proved writable.
#[derive(Debug)]
pub struct Volume {
    path: PathBuf,
    /// `None`: it is missing and left to be created as the user.
    directory: Option<OwnedFd>,
    outcome: Option<Outcome>,
    remedy: Option<String>,
    may_change: bool,
    /// What there is to tell, once it is certain that the start goes on: a refusal is one line.
    tally: Option<Tally>,
}

impl Volume {
    fn declare(path: &Path, may_change: bool) -> Self {
        Volume { path: path.into(), directory: None, outcome: None, remedy: None, may_change, tally: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What became of its owners; `None` where nobody looked (mode `off`, an ordinary user's start, still missing).
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// The command that puts wrong owners right from the host, where there are any.
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

/// Why a start cannot go on.
#[derive(Debug)]
pub enum Error {
    Link { volume: ShownPath, at: ShownPath, to: ShownPath, hint: String },
    NotDirectory { volume: ShownPath, at: ShownPath },
    Path(ShownPath),
    System { act: &'static str, at: ShownPath, errno: Errno, hint: String },
    Missing { volume: ShownPath, why: Problem },
    Interrupted(ShownPath),
    Unusable { at: ShownPath, uid: UserId, gid: GroupId, errno: Errno, hint: String },
    Replaced(ShownPath),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Link { volume, at, to, hint } => {
                Problem::new(format!("cannot use the volume {volume}: {at} is a symbolic link to {to}"), hint)
            }
            Error::NotDirectory { volume, at } => Problem::new(
                format!("cannot use the volume {volume}: {at} is not a directory"),
                "remove it or name another directory",
            ),
            Error::Path(volume) => Problem::new(
                format!("cannot use the volume {volume}: it must be an absolute path without .. and not /"),
                "change TAKUMI_VOLUMES",
            ),
            Error::System { act, at, errno, hint } => Problem::new(format!("cannot {act} {at}: {errno}"), hint),
            Error::Missing { volume, why } => {
                Problem::new(format!("cannot take ownership of all of {volume}: {}", why.what), why.fix)
            }
            Error::Interrupted(volume) => Problem::new(
                format!("stopped during the ownership repair of {volume}"),
                "start again: it resumes where it stopped",
            ),
            Error::Unusable { at, uid, gid, errno, hint } => {
                Problem::new(format!("cannot write in {at} as {uid}:{gid}: {errno}"), hint)
            }
            Error::Replaced(volume) => Problem::new(
                format!("cannot use the volume {volume}: it was replaced during preparation"),
                "keep other containers from moving it",
            ),
        }
    }
}

/// As container root, before the drop: each declared directory is created if missing and its wrong owners are dealt
/// with.
///
/// A directory that root may not create (inside somebody else's directory: DAC_OVERRIDE is never asked for) is left to
/// [`verify_writable`]. `interrupted` is asked a few times a second; `true` ends the walk.
///
/// # Errors
/// [`Error`]; whether a volume that stayed partly wrong is good enough is for [`verify_writable`] to find out.
pub fn repair_volumes(
    paths: &[PathBuf],
    mode: OwnershipMode,
    target: &Target,
    container: &Container,
    interrupted: &mut dyn FnMut() -> bool,
) -> Result<Vec<Volume>, Error> {
    paths.iter().map(|path| repair_volume(path, mode, target, container, interrupted)).collect()
}

/// What [`repair_volumes`] would find; changes nothing, creates nothing.
///
/// # Errors
/// As [`repair_volumes`].
pub fn inspect_volume(
    path: &Path,
    mode: OwnershipMode,
    target: &Target,
    container: &Container,
    interrupted: &mut dyn FnMut() -> bool,
) -> Result<Volume, Error> {
    let mut volume = Volume::declare(path, false);
    if let Some(directory) = path::open(path, None)? {
        let plan = RepairPlan { mode, target, container, dry: true };
        walk_volume(&mut volume, &directory, &plan, &mut Progress::new(path, interrupted))?;
        volume.directory = Some(directory);
    }
    Ok(volume)
}

/// The volumes of a start as an ordinary user, for [`verify_writable`]: nobody's owner is changed.
///
/// # Errors
/// [`Error::Path`] for what can never be a volume.
pub fn declare_volumes(paths: &[PathBuf]) -> Result<Vec<Volume>, Error> {
    let plain = |path: &PathBuf| {
        path::components(path)?;
        Ok(Volume::declare(path, true))
    };
    paths.iter().map(plain).collect()
}

fn repair_volume(
    path: &Path,
    mode: OwnershipMode,
    target: &Target,
    container: &Container,
    interrupted: &mut dyn FnMut() -> bool,
) -> Result<Volume, Error> {
    let may_change = mode != OwnershipMode::Verify;
    let mut volume = Volume::declare(path, may_change);
    let opened = match path::open(path, may_change.then_some(target)) {
        Err(Error::System { act: "create", errno: Errno(libc::EACCES | libc::EPERM | libc::EROFS), .. }) => None,
        opened => opened?,
    };
    let Some(directory) = opened else { return Ok(volume) };
    if mode != OwnershipMode::Off {
        let plan = RepairPlan { mode, target, container, dry: !may_change };
        walk_volume(&mut volume, &directory, &plan, &mut Progress::new(path, interrupted))?;
    }
    // A volume that is usable all the same would only hide the mistake until the file is needed.
    if let Some(why) = volume.outcome.as_ref().filter(|_| may_change).and_then(Outcome::missing_capability) {
        return Err(Error::Missing { volume: ShownPath::of(path), why });
    }
    volume.directory = Some(directory);
    Ok(volume)
}

struct RepairPlan<'a> {
    mode: OwnershipMode,
    target: &'a Target,
    container: &'a Container,
    dry: bool,
}

fn walk_volume(
    volume: &mut Volume,
    directory: &OwnedFd,
    plan: &RepairPlan<'_>,
    progress: &mut Progress<'_>,
) -> Result<(), Error> {
    let at = || ShownPath::of(&volume.path);
    let system = |errno| Error::System { act: "check", at: at(), errno, hint: "check the host's filesystem".into() };
    let root = fs::stat(directory.as_fd(), Freshness::Cached).map_err(system)?;
    let lies_on = || root.mount.and_then(mount::find_mount);
    let shares = match plan.mode {
        OwnershipMode::Share => true,
        OwnershipMode::Auto | OwnershipMode::Verify => {
            plan.container.root_is_host_user() && lies_on().as_ref().is_some_and(mount::is_host_bind_mount)
        }
        OwnershipMode::Chown | OwnershipMode::Off => false,
    };
    let mut chown = chown::ChownRepair::new(plan, directory.as_fd());
    let mut share = share::ShareRepair::new(plan);
    let repair: &mut dyn Repair = if shares { &mut share } else { &mut chown };
    let mut tally = Tally::default();
    let outcome = match walk::walk(directory.as_fd(), repair, &mut tally, progress) {
        Ok(()) => tally.outcome(shares),
        Err(WalkError::Unsupported(why)) => Outcome::Unsupported(why),
        Err(WalkError::Interrupted) => return Err(Error::Interrupted(at())),
    };
    let owner = if shares { (UserId(0), GroupId(0)) } else { (plan.target.uid, plan.target.gid) };
    volume.remedy = match outcome {
        Outcome::Right | Outcome::Fixed(_) | Outcome::Shared(_) => None,
        _ => Some(mount::host_command(lies_on().as_ref(), &volume.path, plan.container, owner)),
    };
    volume.outcome = Some(outcome);
    volume.tally = Some(tally);
    Ok(())
}

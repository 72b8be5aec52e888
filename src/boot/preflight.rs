//! What this process was started as, and whom it is to become.

use super::refusal::Refusal;
use crate::identity::resolve::{self, AccountSources};
use crate::identity::{Identity, StartedAs, passwd};
use crate::machine::devices;
use crate::privilege;
use crate::privilege::drop::{self, Preflight};
use crate::problem::Problem;
use crate::settings::{CheckMode, Settings};
use crate::sys::credentials::{self, ResIds};
use std::ffi::CStr;

/// What a start begins with: one id of each kind, and no more than its caller had.
pub(super) fn check_started_as() -> Result<StartedAs, Refusal> {
    let started_as = StartedAs::read().map_err(|(what, errno)| Refusal::system(what, errno))?;
    let is_plain = started_as.users == ResIds::all(started_as.users.real)
        && started_as.groups == ResIds::all(started_as.groups.real);
    match is_plain && !credentials::is_secure_execution() {
        true => Ok(started_as),
        false => Err(Refusal::Problem(Problem::new(
            "init has more privilege than its caller: it must not be setuid, setgid or have file capabilities",
            "chmod 0711 /init, setcap -r /init",
        ))),
    }
}

/// What the drop will need. Nothing in a start as an ordinary user.
pub(super) fn preflight(
    started_as: &StartedAs,
    new_user: Option<&Identity>,
) -> Result<Option<Preflight>, privilege::Error> {
    new_user.map(|user| drop::preflight(&user.ids, started_as.capabilities, started_as.setgroups_denied())).transpose()
}

/// The target of a start as root; nobody in a start as an ordinary user, which must not be told to become another.
pub(super) fn resolve_target(settings: &Settings, started_as: &StartedAs) -> Result<Option<Identity>, Problem> {
    let passwd = read_account_file(c"/etc/passwd", settings, started_as)?;
    let group = read_account_file(c"/etc/group", settings, started_as)?;
    let needs_device_groups = started_as.is_root() && settings.groups.is_none() && settings.gpu != CheckMode::Off;
    let of_devices = if needs_device_groups { devices::gpu_groups() } else { Vec::new() };
    let sources = AccountSources {
        passwd: &passwd,
        group: &group,
        namespace: started_as.namespace(),
        device_groups: &of_devices,
    };
    if started_as.is_root() {
        return Ok(Some(resolve::resolve(settings, &sources)?));
    }
    match resolve::conflicting_identity(settings, &sources, started_as.users.real, started_as.groups.real)? {
        Some(asked) => {
            let (user, group) = (started_as.users.real, started_as.groups.real);
            let what = format!("cannot become {asked}: init was started as uid {user}, gid {group}");
            let fix = "start the container as root, or leave PUID, PGID, TAKUMI_USER and TAKUMI_GROUPS unset";
            Err(Problem::new(what, fix))
        }
        None => Ok(None),
    }
}

/// /etc/passwd or /etc/group, where anything is to be looked up in it: an ordinary start by numbers reads neither.
fn read_account_file(path: &'static CStr, settings: &Settings, started_as: &StartedAs) -> Result<Vec<u8>, Problem> {
    if !started_as.is_root() && settings.user.is_none() && settings.groups.is_none() {
        return Ok(Vec::new());
    }
    passwd::read(path).map_err(|errno| {
        let what = format!("cannot read {}: {errno}", path.to_string_lossy());
        Problem::new(what, "make it readable, or remove it and name ids")
    })
}

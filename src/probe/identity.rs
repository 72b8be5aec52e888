//! Whom the probe becomes before it looks at anything: `docker exec` and HEALTHCHECK inherit neither the drop of `init`
//! nor its locks, they run as the image's USER with all that the container was given.

use super::state::UserIds;
use crate::identity::resolve::{self, AccountSources};
use crate::identity::{StartedAs, passwd};
use crate::machine::devices;
use crate::privilege::{self, drop};
use crate::problem::Problem;
use crate::settings::Settings;
use crate::sys::credentials::{Credentials, sorted};
use crate::sys::{GroupId, UserId};
use std::ffi::CStr;

/// Gives up every privilege: as root by becoming COMMAND's user, as anybody else by staying that. `who`: whom the start
/// named. The answer is what it was.
pub fn drop_privileges(settings: &Settings, who: Option<&UserIds>) -> Result<StartedAs, Problem> {
    let started = StartedAs::read().map_err(|(_, errno)| {
        let fix = "a seccomp filter or a sandbox refuses it; start without that rule";
        Problem::new(format!("cannot read its own ids: {errno}"), fix)
    })?;
    if !started.is_root() {
        privilege::stay_user(started.users, started.groups, started.capabilities)?;
        return Ok(started);
    }
    let target = match who {
        Some(who) => Credentials {
            user: UserId(who.user),
            group: GroupId(who.group),
            groups: sorted(who.groups.iter().copied().map(GroupId).collect()),
        },
        None => {
            let (passwd, group) = (account_file(c"/etc/passwd")?, account_file(c"/etc/group")?);
            let (namespace, of_devices) = (started.namespace(), &devices::gpu_groups());
            resolve::resolve(
                settings,
                &AccountSources { passwd: &passwd, group: &group, namespace, device_groups: of_devices },
            )?
            .ids
        }
    };
    let preflight = drop::preflight(&target, started.capabilities, started.setgroups_denied())?;
    privilege::become_user(&target, preflight)?;
    Ok(started)
}

fn account_file(path: &'static CStr) -> Result<Vec<u8>, Problem> {
    passwd::read(path).map_err(|errno| {
        let what = format!("cannot read {}: {errno}", path.to_string_lossy());
        Problem::new(what, "make it readable, or mount a valid one")
    })
}

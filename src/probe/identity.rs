//! Who the probe is, and whom it becomes before it looks at anything: `docker exec` and HEALTHCHECK inherit neither the drop of
//! `init` nor its locks, they run as the image's USER with all that the container was given.

use super::state::State;
use crate::identity::Identity;
use crate::identity::resolve::{self, Sources};
use crate::machine::status::{self, Status};
use crate::machine::user_namespace::UserNamespace;
use crate::privilege::{Dropped, drop};
use crate::problem::Problem;
use crate::settings::Settings;
use crate::sys::credentials::{self, Capabilities, Three};
use crate::sys::{Errno, GroupId, UserId, io};
use std::ffi::CStr;

/// What this process was started as.
pub struct Before {
    users: Three<UserId>,
    groups: Three<GroupId>,
    capabilities: Capabilities,
    /// What /proc says of it: what the engine gave.
    pub given: Option<Status>,
    /// Where that is asked: as root.
    namespace: Option<UserNamespace>,
}

impl Before {
    /// Looks.
    pub fn look() -> Result<Self, Problem> {
        let unseen = |errno| {
            let fix = "a seccomp filter or a sandbox refuses it; start without that rule";
            Problem::new(format!("cannot read its own ids: {errno}"), fix)
        };
        let users = credentials::user_ids().map_err(unseen)?;
        let namespace = if users.has(UserId(0)) { UserNamespace::read().ok() } else { None };
        Ok(Before {
            users,
            groups: credentials::group_ids().map_err(unseen)?,
            capabilities: credentials::capabilities().map_err(unseen)?,
            given: status::read().ok(),
            namespace,
        })
    }

    /// Whether root here is an ordinary user outside.
    pub fn root_is_ordinary(&self) -> bool {
        self.namespace.as_ref().is_some_and(UserNamespace::root_is_an_ordinary_user)
    }

    /// Gives up every privilege: as root by becoming COMMAND's user, as anybody else by staying that.
    pub fn drop(&self, settings: &Settings, state: Option<&State>) -> Result<Dropped, Problem> {
        if !self.users.has(UserId(0)) {
            return Ok(drop::stay_user(self.users, self.groups, self.capabilities)?);
        }
        let identity = match state {
            Some(state) => identity_of(state),
            None => resolve::resolve(
                settings,
                &Sources {
                    passwd: &account_file(c"/etc/passwd")?,
                    group: &account_file(c"/etc/group")?,
                    namespace: self.namespace.as_ref(),
                    of_devices: &crate::machine::devices::groups(),
                },
            )?,
        };
        let means = drop::means(&identity, self.capabilities, self.setgroups_denied())?;
        Ok(drop::become_user(&identity, means)?)
    }

    fn setgroups_denied(&self) -> bool {
        let whole = self.namespace.as_ref().is_none_or(|namespace| namespace.groups.is_whole());
        let mut buffer = [0; 16];
        !whole && io::read_into(c"/proc/self/setgroups", &mut buffer).is_ok_and(|text| text.starts_with(b"deny"))
    }
}

fn identity_of(state: &State) -> Identity {
    Identity {
        user: UserId(state.identity.user),
        group: GroupId(state.identity.group),
        groups: credentials::sorted(state.identity.groups.iter().map(|&group| GroupId(group)).collect()),
        name: Vec::new(),
        home: Vec::new(),
        started_home: None,
    }
}

fn account_file(path: &'static CStr) -> Result<Vec<u8>, Problem> {
    match io::read_whole(path, 64 << 20) {
        Ok(text) => Ok(text),
        Err(Errno(libc::ENOENT | libc::ENOTDIR)) => Ok(Vec::new()),
        Err(errno) => {
            let what = format!("cannot read {}: {errno}", path.to_string_lossy());
            Err(Problem::new(what, "make it readable, or mount a good one"))
        }
    }
}

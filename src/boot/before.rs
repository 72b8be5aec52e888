//! What this process was started as, and whom it is to become.

use super::refusal::Refusal;
use crate::identity::Identity;
use crate::identity::resolve::{self, Sources};
use crate::machine::devices;
use crate::machine::user_namespace::UserNamespace;
use crate::ownership::Container;
use crate::privilege;
use crate::privilege::drop::{self, Means};
use crate::problem::Problem;
use crate::settings::{Settings, Wanted};
use crate::sys::credentials::{self, Capabilities, Three};
use crate::sys::{Errno, GroupId, UserId, io};
use std::ffi::CStr;

/// What this process was started as.
pub(super) struct Before {
    pub(super) users: Three<UserId>,
    pub(super) groups: Three<GroupId>,
    pub(super) capabilities: Capabilities,
    /// `None`: nobody asked. A start as an ordinary user becomes nobody else.
    pub(super) namespace: Option<Result<UserNamespace, Errno>>,
}

impl Before {
    pub(super) fn look() -> Result<Self, Refusal> {
        let unseen = |what| move |errno| Refusal::system(what, errno);
        let users = credentials::user_ids().map_err(unseen("read the user ids"))?;
        let groups = credentials::group_ids().map_err(unseen("read the group ids"))?;
        if users != Three::all(users.real)
            || groups != Three::all(groups.real)
            || credentials::started_with_more_privilege()
        {
            return Err(Refusal::Problem(Problem::new(
                "init was started with more privilege than its caller has: it must be neither setuid nor setgid nor have file capabilities",
                "chmod 0711 /init, setcap -r /init",
            )));
        }
        let capabilities = credentials::capabilities().map_err(unseen("read the capabilities"))?;
        let namespace = (users.real == UserId(0)).then(UserNamespace::read);
        Ok(Before { users, groups, capabilities, namespace })
    }

    pub(super) fn is_root(&self) -> bool {
        self.users.real == UserId(0)
    }

    /// As far as it is known: /proc may not be mounted.
    fn namespace(&self) -> Option<&UserNamespace> {
        self.namespace.as_ref()?.as_ref().ok()
    }

    /// What the owners in the volumes are judged by.
    pub(super) fn container(&self) -> Container {
        let namespace = self.namespace().cloned().unwrap_or_else(UserNamespace::first);
        Container { namespace, capabilities: self.capabilities.effective }
    }

    /// What the drop will need. Nothing in a start as an ordinary user.
    pub(super) fn preflight(&self, new_user: Option<&Identity>) -> Result<Option<Means>, privilege::Error> {
        new_user.map(|user| drop::means(user, self.capabilities, self.setgroups_denied())).transpose()
    }

    /// Only a namespace that an ordinary user made without help denies it (`man 7 user_namespaces`).
    fn setgroups_denied(&self) -> bool {
        let whole = self.namespace().is_none_or(|namespace| namespace.groups.is_whole());
        let mut buffer = [0; 16];
        !whole && io::read_into(c"/proc/self/setgroups", &mut buffer).is_ok_and(|text| text.starts_with(b"deny"))
    }
}

/// The target of a start as root; nobody in a start as an ordinary user, which must not be told to become another.
pub(super) fn become_whom(settings: &Settings, before: &Before) -> Result<Option<Identity>, Problem> {
    let passwd = account_file(c"/etc/passwd", settings, before)?;
    let group = account_file(c"/etc/group", settings, before)?;
    let wants_devices = before.is_root() && settings.groups.is_none() && settings.gpu != Wanted::Off;
    let of_devices = if wants_devices { devices::groups() } else { Vec::new() };
    let sources = Sources { passwd: &passwd, group: &group, namespace: before.namespace(), of_devices: &of_devices };
    if before.is_root() {
        return Ok(Some(resolve::resolve(settings, &sources)?));
    }
    match resolve::somebody_else(settings, &sources, before.users.real, before.groups.real)? {
        Some(asked) => {
            let (user, group) = (before.users.real, before.groups.real);
            let what = format!("cannot become {asked}: init was started as uid {user}, gid {group}");
            let fix = "start the container as root, or leave PUID, PGID, TAKUMI_USER and TAKUMI_GROUPS unset";
            Err(Problem::new(what, fix))
        }
        None => Ok(None),
    }
}

/// /etc/passwd or /etc/group, where anything is to be looked up in it: an ordinary start by numbers reads neither.
fn account_file(path: &'static CStr, settings: &Settings, before: &Before) -> Result<Vec<u8>, Problem> {
    if !before.is_root() && settings.user.is_none() && settings.groups.is_none() {
        return Ok(Vec::new());
    }
    match io::read_whole(path, 64 << 20) {
        Ok(text) => Ok(text),
        Err(Errno(libc::ENOENT | libc::ENOTDIR)) => Ok(Vec::new()),
        Err(errno) => {
            let what = format!("cannot read {}: {errno}", path.to_string_lossy());
            Err(Problem::new(what, "make it readable, or remove it and name ids"))
        }
    }
}

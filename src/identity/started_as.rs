//! What this process was started as.

use crate::machine::user_namespace::UserNamespace;
use crate::sys::credentials::{self, Capabilities, ResIds};
use crate::sys::{Errno, GroupId, UserId, io};

/// Its ids, and what it may do with them.
pub struct StartedAs {
    pub users: ResIds<UserId>,
    pub groups: ResIds<GroupId>,
    pub capabilities: Capabilities,
    /// `None`: nobody asked. Who is an ordinary user becomes nobody else.
    pub namespace: Option<Result<UserNamespace, Errno>>,
}

impl StartedAs {
    /// Asks the kernel. Errors: what could not be done, and the kernel's word.
    pub fn read() -> Result<Self, (&'static str, Errno)> {
        let unseen = |what| move |errno| (what, errno);
        let users = credentials::user_ids().map_err(unseen("read the user ids"))?;
        Ok(StartedAs {
            users,
            groups: credentials::group_ids().map_err(unseen("read the group ids"))?,
            capabilities: credentials::capabilities().map_err(unseen("read the capabilities"))?,
            namespace: users.contains(UserId(0)).then(UserNamespace::read),
        })
    }

    /// Whether it can become somebody else.
    pub fn is_root(&self) -> bool {
        self.users.contains(UserId(0))
    }

    /// As far as it is known: /proc may not be mounted.
    pub fn namespace(&self) -> Option<&UserNamespace> {
        self.namespace.as_ref()?.as_ref().ok()
    }

    /// Only a namespace that an ordinary user made without help denies it (`man 7 user_namespaces`).
    pub fn setgroups_denied(&self) -> bool {
        let whole = self.namespace().is_none_or(|namespace| namespace.groups.is_identity());
        let mut buffer = [0; 16];
        !whole && io::read_into(c"/proc/self/setgroups", &mut buffer).is_ok_and(|text| text.starts_with(b"deny"))
    }
}

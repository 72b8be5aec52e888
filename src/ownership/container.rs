//! What the room knows of the container that it works in.

use crate::identity::StartedAs;
use crate::machine::user_namespace::UserNamespace;
use crate::sys::credentials::CapabilityBits;
use crate::sys::{GroupId, UserId};

/// Which ids exist here and whose they are outside, and what this process may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Container {
    pub namespace: UserNamespace,
    /// The effective capabilities of this process.
    pub capabilities: CapabilityBits,
}

impl Container {
    /// What a start knows of its own.
    pub fn from_start(started: &StartedAs) -> Self {
        let namespace = started.namespace().cloned().unwrap_or_else(UserNamespace::initial);
        Container { namespace, capabilities: started.capabilities.effective }
    }

    /// Container root is the user who started the engine: a chown takes that user's files away.
    pub(super) fn root_is_host_user(&self) -> bool {
        self.namespace.is_root_the_engine_user()
    }

    /// An owner that may be somebody unmapped: the overflow id is a real id as well where it is mapped.
    pub(super) fn may_be_unmapped(&self, uid: UserId, gid: GroupId) -> bool {
        let namespace = &self.namespace;
        (uid == namespace.overflow_user && !namespace.users.is_identity())
            || (gid == namespace.overflow_group && !namespace.groups.is_identity())
    }

    pub(super) fn has_capability(&self, capability: CapabilityBits) -> bool {
        self.capabilities & capability != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(map: &str) -> Container {
        Container { namespace: UserNamespace::from_map(map.as_bytes()), capabilities: 0 }
    }

    #[test]
    fn the_overflow_id_is_nobody_where_everybody_is_mapped() {
        let (nobody, group) = (UserId(65534), GroupId(0));
        assert!(container("0 1500 1\n1 100000 65536\n").may_be_unmapped(nobody, group));
        assert!(!container("0 0 4294967295\n").may_be_unmapped(nobody, group));
    }
}

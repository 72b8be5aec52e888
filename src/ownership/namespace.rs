//! Which ids exist here, and whose they are outside (`man 7 user_namespaces`).

use std::fmt;

use crate::sys::{GroupId, UserId};

/// One line of `/proc/self/uid_map` or `gid_map`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdRange {
    /// First id in this namespace.
    pub inside: u32,
    /// The id that it is in the parent namespace.
    pub outside: u32,
    /// How many ids follow one another.
    pub count: u32,
}

impl IdRange {
    const EVERY: IdRange = IdRange { inside: 0, outside: 0, count: u32::MAX };

    fn outside_of(self, id: u32) -> Option<u32> {
        let offset = id.checked_sub(self.inside)?;
        if offset < self.count { self.outside.checked_add(offset) } else { None }
    }
}

/// What the room knows of the user namespace that it works in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserNamespaceView {
    /// Container root is an ordinary user of the host (rootless engines): a chown takes that user's files away from them.
    pub root_is_host_user: bool,
    /// The uid that stands for every unmapped one (`/proc/sys/kernel/overflowuid`).
    pub overflow_uid: u32,
    /// The gid that stands for every unmapped one.
    pub overflow_gid: u32,
    /// The lines of `uid_map`.
    pub uids: Vec<IdRange>,
    /// The lines of `gid_map`.
    pub gids: Vec<IdRange>,
    /// The effective capability set of the calling process (bit N is capability number N).
    pub capabilities: u64,
}

impl UserNamespaceView {
    /// Outside of any user namespace, with `capabilities` effective.
    pub fn initial(capabilities: u64) -> Self {
        let every = || vec![IdRange::EVERY];
        Self::of_maps(every(), every(), 65534, 65534, capabilities)
    }

    /// From the two maps. Root is the host's user where its line maps exactly itself to somebody who is not root: engines
    /// write `0 1500 1` for rootless, `0 100000 65536` for a remapped root.
    pub fn of_maps(
        uids: Vec<IdRange>,
        gids: Vec<IdRange>,
        overflow_uid: u32,
        overflow_gid: u32,
        capabilities: u64,
    ) -> Self {
        let is_host_user = |range: &IdRange| range.inside == 0 && range.count == 1 && range.outside != 0;
        let root_is_host_user = uids.iter().any(is_host_user);
        Self { root_is_host_user, overflow_uid, overflow_gid, uids, gids, capabilities }
    }

    /// Reads the lines of a `uid_map`; a line that is none is passed over.
    pub fn parse_map(text: &[u8]) -> Vec<IdRange> {
        let line = |line: &[u8]| {
            let mut fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
            let mut next = || fields.next()?.ok();
            Some(IdRange { inside: next()?, outside: next()?, count: next()? })
        };
        text.split(|&byte| byte == b'\n').filter_map(line).collect()
    }

    /// Whether the namespace has this uid.
    pub fn maps_uid(&self, uid: UserId) -> bool {
        self.outside_uid(uid).is_some()
    }

    /// Whether the namespace has this gid.
    pub fn maps_gid(&self, gid: GroupId) -> bool {
        self.outside_gid(gid).is_some()
    }

    /// Who this user is outside.
    pub fn outside_uid(&self, uid: UserId) -> Option<u32> {
        self.uids.iter().find_map(|range| range.outside_of(uid.0))
    }

    /// Which group this is outside.
    pub fn outside_gid(&self, gid: GroupId) -> Option<u32> {
        self.gids.iter().find_map(|range| range.outside_of(gid.0))
    }

    /// An owner that may be somebody unmapped: the overflow id is a real id as well where it is mapped.
    pub(super) fn may_be_unmapped(&self, uid: UserId, gid: GroupId) -> bool {
        let every = |ranges: &[IdRange]| ranges == [IdRange::EVERY];
        (uid.0 == self.overflow_uid && !every(&self.uids)) || (gid.0 == self.overflow_gid && !every(&self.gids))
    }

    pub(super) fn may(&self, capability: u32) -> bool {
        self.capabilities >> capability & 1 == 1
    }
}

/// `uids 0, 1-65536; gids 0-999`
impl fmt::Display for UserNamespaceView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, ranges) in [("uids", &self.uids), ("; gids", &self.gids)] {
            f.write_str(word)?;
            for (index, range) in ranges.iter().enumerate() {
                f.write_str(if index == 0 { " " } else { ", " })?;
                match range.count {
                    1 => write!(f, "{}", range.inside)?,
                    count => write!(f, "{}-{}", range.inside, u64::from(range.inside) + u64::from(count) - 1)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(map: &str) -> UserNamespaceView {
        let ranges = || UserNamespaceView::parse_map(map.as_bytes());
        UserNamespaceView::of_maps(ranges(), ranges(), 65534, 65534, 0)
    }

    #[test]
    fn rootless_is_told_from_remapped_and_from_none() {
        assert!(view("         0       1500          1\n         1     100000      65536\n").root_is_host_user);
        assert!(!view("0 100000 65536\n").root_is_host_user);
        assert!(!view("0 0 4294967295\n").root_is_host_user);
        // podman --userns=keep-id: container user 1000 is the host's user, container root is not.
        assert!(!view("0 1 1000\n1000 0 1\n1001 1001 64536\n").root_is_host_user);
    }

    #[test]
    fn ids_are_translated_to_the_outside() {
        let rootless = view("0 1500 1\n1 100000 65536\n");
        assert_eq!(rootless.outside_uid(UserId(0)), Some(1500));
        assert_eq!(rootless.outside_uid(UserId(1000)), Some(100_999));
        assert_eq!(rootless.outside_gid(GroupId(65537)), None);
        assert_eq!(rootless.to_string(), "uids 0, 1-65536; gids 0, 1-65536");
        assert!(view("0 0 4294967295\n").maps_uid(UserId(4_294_967_294)));
    }

    #[test]
    fn the_overflow_id_is_nobody_where_everybody_is_mapped() {
        let (nobody, group) = (UserId(65534), GroupId(0));
        assert!(view("0 1500 1\n1 100000 65536\n").may_be_unmapped(nobody, group));
        assert!(!view("0 0 4294967295\n").may_be_unmapped(nobody, group));
    }

    #[test]
    fn lines_that_are_no_ranges_are_passed_over() {
        assert_eq!(UserNamespaceView::parse_map(b"\nx y z\n1 2\n0 0 1"), [IdRange { inside: 0, outside: 0, count: 1 }]);
    }
}

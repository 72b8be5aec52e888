//! Which ids of this user namespace stand for which outside: /proc/self/uid_map and gid_map (`man 7 user_namespaces`).

use crate::sys::{Errno, GroupId, UserId, io};
use std::ffi::CStr;
use std::fmt;

/// One line of a map: `length` ids from `inside` on stand for those from `outside` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct IdRange {
    inside: u32,
    outside: u32,
    length: u32,
}

/// A map of ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdMap(Vec<IdRange>);

/// Both maps and what goes with them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserNamespace {
    pub users: IdMap,
    pub groups: IdMap,
    /// The user that files of unmapped users show.
    pub overflow_user: UserId,
    /// The group that files of unmapped groups show.
    pub overflow_group: GroupId,
}

impl UserNamespace {
    /// Reads it from /proc. Errors: the kernel's; ENOENT where /proc is not mounted, ENODATA where a map holds nothing.
    pub fn read() -> Result<Self, Errno> {
        let users = IdMap::read(c"/proc/self/uid_map")?;
        let groups = IdMap::read(c"/proc/self/gid_map")?;
        let (overflow_user, overflow_group) = if users.is_identity() && groups.is_identity() {
            // Nothing is unmapped: the kernel's own default stands for what other filesystems may show.
            (OVERFLOW_ID, OVERFLOW_ID)
        } else {
            (read_overflow_id(c"/proc/sys/kernel/overflowuid"), read_overflow_id(c"/proc/sys/kernel/overflowgid"))
        };
        Ok(UserNamespace {
            users,
            groups,
            overflow_user: UserId(overflow_user),
            overflow_group: GroupId(overflow_group),
        })
    }

    /// As before any user namespace was made, and as good as can be said where /proc does not show one.
    pub fn initial() -> Self {
        Self::from_map(b"0 0 4294967295")
    }

    /// One with the same map for users and groups.
    pub fn from_map(text: &[u8]) -> Self {
        let map = IdMap::parse(text);
        UserNamespace {
            users: map.clone(),
            groups: map,
            overflow_user: UserId(OVERFLOW_ID),
            overflow_group: GroupId(OVERFLOW_ID),
        }
    }

    /// Whether root here is an ordinary user of the host (rootless Docker and Podman).
    pub fn is_root_remapped(&self) -> bool {
        self.users.outside(0).is_some_and(|outside| outside != 0)
    }

    /// Whether root here is exactly the user who started the engine: rootless maps 0 alone, a remapped engine maps 0
    /// with the rest.
    pub fn is_root_the_engine_user(&self) -> bool {
        self.users.0.iter().any(|range| range.inside == 0 && range.outside != 0 && range.length == 1)
    }
}

/// `DEFAULT_OVERFLOWUID` and `DEFAULT_OVERFLOWGID` of the kernel.
pub const OVERFLOW_ID: u32 = 65_534;

fn read_overflow_id(path: &CStr) -> u32 {
    let mut buffer = [0; 16];
    let text = io::read_into(path, &mut buffer).unwrap_or_default();
    std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(OVERFLOW_ID)
}

impl IdMap {
    fn read(path: &CStr) -> Result<Self, Errno> {
        // 340 lines at most, 33 bytes each.
        let mut buffer = [0; 12 * 1024];
        let text = io::read_into(path, &mut buffer)?;
        if text.is_empty() { Err(Errno(libc::ENODATA)) } else { Ok(IdMap::parse(text)) }
    }

    /// Reads the text of a map: lines of inside, outside and length. A line that is none maps nothing.
    pub fn parse(text: &[u8]) -> Self {
        let range = |line: &[u8]| {
            let mut numbers =
                std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(|number| number.parse().ok());
            Some(IdRange { inside: numbers.next()??, outside: numbers.next()??, length: numbers.next()?? })
        };
        IdMap(text.split(|&byte| byte == b'\n').filter_map(range).collect())
    }

    /// What `id` is outside; `None` where it is not mapped.
    pub fn outside(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let offset = id.checked_sub(range.inside).filter(|&offset| offset < range.length)?;
            range.outside.checked_add(offset)
        })
    }

    /// Whether every id stands for itself: the first user namespace, or one that is as good.
    pub fn is_identity(&self) -> bool {
        matches!(self.0[..], [IdRange { inside: 0, outside: 0, length: u32::MAX }])
    }
}

impl fmt::Display for IdMap {
    /// `0→1500, 1-65536→100000-165535`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            let last = |first: u32| first.saturating_add(range.length.saturating_sub(1));
            match range.length {
                1 => write!(f, "{}→{}", range.inside, range.outside)?,
                _ => write!(f, "{}-{}→{}-{}", range.inside, last(range.inside), range.outside, last(range.outside))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = b"         0          0 4294967295\n";
    const ROOTLESS: &[u8] = b"         0       1500          1\n         1     100000      65536\n";
    const KEEP_ID: &[u8] = b"0 1 1000\n1000 0 1\n1001 1001 64536\n";
    const REMAP: &[u8] = b"0 100000 65536\n";

    #[test]
    fn the_maps_of_real_engines_are_read() {
        for (text, id, outside) in [
            (FIRST, 1000, Some(1000)),
            (ROOTLESS, 0, Some(1500)),
            (ROOTLESS, 1000, Some(100_999)),
            (ROOTLESS, 65_536, Some(165_535)),
            (ROOTLESS, 70_000, None),
            (KEEP_ID, 1000, Some(0)),
            (REMAP, 65_536, None),
        ] {
            assert_eq!(IdMap::parse(text).outside(id), outside, "{id} in {}", IdMap::parse(text));
        }
        assert!(IdMap::parse(FIRST).is_identity());
        assert!(!IdMap::parse(REMAP).is_identity());
    }

    #[test]
    fn rootless_is_told_from_remapped() {
        for (text, ordinary, host_user) in
            [(FIRST, false, false), (ROOTLESS, true, true), (REMAP, true, false), (KEEP_ID, true, false)]
        {
            assert_eq!(UserNamespace::from_map(text).is_root_remapped(), ordinary);
            assert_eq!(UserNamespace::from_map(text).is_root_the_engine_user(), host_user);
        }
    }

    #[test]
    fn a_map_is_shown_as_people_read_it() {
        assert_eq!(IdMap::parse(ROOTLESS).to_string(), "0→1500, 1-65536→100000-165535");
    }

    #[test]
    fn a_broken_line_maps_nothing() {
        assert_eq!(IdMap::parse(b"0 0\nx y z\n\n"), IdMap(vec![]));
        assert_eq!(IdMap::parse(b"4294967290 4294967290 100").outside(4_294_967_295), Some(4_294_967_295));
    }
}

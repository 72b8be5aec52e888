//! POSIX access control lists as the kernel stores them (linux/posix_acl_xattr.h): version 2, then tag, permission and
//! id.

/// More than anybody writes; a longer list is left alone.
const MAX_ENTRIES: usize = 64;
const VERSION: [u8; 4] = 2_u32.to_le_bytes();
const NO_ID: u32 = u32::MAX;

const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// A list in the making, sorted as the kernel wants it (`posix_acl_valid`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acl {
    entries: Vec<(u16, u32, u16)>,
}

impl Acl {
    /// What the permission bits say, of a file that has no list.
    pub(super) fn from_mode(mode: u32) -> Self {
        let bits = |shift: u32| (mode >> shift & 7) as u16;
        Self { entries: vec![(USER_OBJ, NO_ID, bits(6)), (GROUP_OBJ, NO_ID, bits(3)), (OTHER, NO_ID, bits(0))] }
    }

    /// `None` for bytes that are no list.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let entries = bytes.strip_prefix(&VERSION)?;
        if entries.len() % 8 != 0 || entries.len() / 8 > MAX_ENTRIES {
            return None;
        }
        let entry = |entry: &[u8]| {
            let half = |at: usize| Some(u16::from_le_bytes(entry.get(at..at + 2)?.try_into().ok()?));
            Some((half(0)?, u32::from_le_bytes(entry.get(4..8)?.try_into().ok()?), half(2)?))
        };
        entries.chunks(8).map(entry).collect::<Option<_>>().map(|entries| Self { entries })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_vec();
        for &(tag, id, permission) in &self.entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permission.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    fn find(&self, tag: u16, id: u32) -> Option<u16> {
        self.entries.iter().find(|entry| (entry.0, entry.1) == (tag, id)).map(|entry| entry.2)
    }

    /// What the file's owner may.
    pub(super) fn owners(&self) -> u16 {
        self.find(USER_OBJ, NO_ID).unwrap_or(0)
    }

    /// What the named user may: the entry, cut by the mask.
    fn effective(&self, user: u32) -> u16 {
        self.find(USER, user).unwrap_or(0) & self.find(MASK, NO_ID).unwrap_or(7)
    }

    /// Grants `permission` to each of `users`; `false` if they all had it. Nobody else gains: where the mask has to
    /// grow, what it had cut off the others is taken out of their entries.
    pub(super) fn grant(&mut self, users: impl Iterator<Item = u32> + Clone, permission: u16) -> bool {
        if users.clone().all(|user| self.effective(user) & permission == permission) {
            return false;
        }
        let mask = self.find(MASK, NO_ID).unwrap_or(7);
        for (tag, _, held) in &mut self.entries {
            if !matches!(*tag, USER_OBJ | OTHER | MASK) {
                *held &= mask;
            }
        }
        for user in users {
            match self.entries.iter_mut().find(|entry| (entry.0, entry.1) == (USER, user)) {
                Some((_, _, held)) => *held |= permission,
                None => self.entries.push((USER, user, permission)),
            }
        }
        self.entries.retain(|entry| entry.0 != MASK);
        let of_class = |entry: &&(u16, u32, u16)| !matches!(entry.0, USER_OBJ | OTHER);
        let mask = self.entries.iter().filter(of_class).fold(0, |mask, entry| mask | entry.2);
        self.entries.push((MASK, NO_ID, mask));
        self.entries.sort_unstable();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(acl: &Acl, permission: u16) -> Option<Acl> {
        let mut acl = acl.clone();
        acl.grant([0, 1000].into_iter(), permission).then_some(acl)
    }

    #[test]
    fn a_plain_file_gets_two_named_users_and_a_mask() {
        let acl = granted(&Acl::from_mode(0o644), 6).unwrap();
        // As `setfacl -m u:0:rw,u:1000:rw` writes it.
        let expected = [
            (USER_OBJ, NO_ID, 6),
            (USER, 0, 6),
            (USER, 1000, 6),
            (GROUP_OBJ, NO_ID, 4),
            (MASK, NO_ID, 6),
            (OTHER, NO_ID, 4),
        ];
        assert_eq!(acl.entries, expected);
        assert_eq!(Acl::parse(&acl.to_bytes()), Some(acl.clone()));
        assert_eq!(granted(&acl, 6), None);
    }

    #[test]
    fn an_empty_mask_is_opened_for_the_two_alone() {
        // What a file created 0600 below a default list looks like: every entry is there, the mask cuts them all.
        let entries = vec![
            (USER_OBJ, NO_ID, 6),
            (USER, 0, 7),
            (USER, 33, 7),
            (USER, 1000, 7),
            (GROUP_OBJ, NO_ID, 5),
            (MASK, NO_ID, 0),
            (OTHER, NO_ID, 0),
        ];
        let acl = granted(&Acl { entries }, 6).unwrap();
        assert_eq!((acl.effective(0), acl.effective(1000), acl.effective(33)), (6, 6, 0));
        assert_eq!((acl.find(GROUP_OBJ, NO_ID), acl.find(MASK, NO_ID)), (Some(0), Some(6)));
    }

    #[test]
    fn bytes_that_are_no_list_are_refused() {
        for bytes in [&[][..], &[1, 0, 0, 0], &[2, 0, 0, 0, 1], &[2, 0, 0]] {
            assert_eq!(Acl::parse(bytes), None);
        }
        assert_eq!(Acl::parse(&VERSION), Some(Acl { entries: vec![] }));
    }
}

//! /etc/passwd and /etc/group (`man 5 passwd`, `man 5 group`). Not getpwnam: NSS needs shared libraries at run time.

use crate::sys::{Errno, io};
use std::ffi::CStr;

/// The text of one of the two, empty where there is none. Errors: the kernel's.
pub fn read(path: &CStr) -> Result<Vec<u8>, Errno> {
    match io::read_whole(path, 64 << 20) {
        Err(Errno(libc::ENOENT | libc::ENOTDIR)) => Ok(Vec::new()),
        answer => answer,
    }
}

/// One line of /etc/passwd.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PasswdEntry<'a> {
    pub name: &'a [u8],
    pub id: u32,
    pub group: u32,
    pub home: &'a [u8],
}

/// One line of /etc/group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupEntry<'a> {
    pub name: &'a [u8],
    pub id: u32,
    members: &'a [u8],
}

impl GroupEntry<'_> {
    /// Whether the user of that name is a member.
    pub fn has_member(&self, user: &[u8]) -> bool {
        !user.is_empty() && self.members.split(|&byte| byte == b',').any(|member| member.trim_ascii() == user)
    }
}

/// The users of a passwd file. A line that is none (a comment, `+` of NIS, a bad id, too few fields) is passed over, as
/// glibc does.
pub fn parse_users(text: &[u8]) -> impl Iterator<Item = PasswdEntry<'_>> {
    lines(text).filter_map(|line| {
        let [name, _, id, group, _, home] = fields(line)?;
        Some(PasswdEntry { name, id: parse_id(id)?, group: parse_id(group)?, home })
    })
}

/// The groups of a group file; what is no line of one is passed over.
pub fn parse_groups(text: &[u8]) -> impl Iterator<Item = GroupEntry<'_>> {
    lines(text).filter_map(|line| {
        let [name, _, id, members] = fields(line)?;
        Some(GroupEntry { name, id: parse_id(id)?, members })
    })
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').filter(|line| !matches!(line.first(), None | Some(b'#' | b'+' | b'-' | b':')))
}

fn fields<const COUNT: usize>(line: &[u8]) -> Option<[&[u8]; COUNT]> {
    let mut parts = line.split(|&byte| byte == b':');
    let mut fields = [&b""[..]; COUNT];
    for field in &mut fields {
        *field = parts.next()?;
    }
    Some(fields)
}

fn parse_id(field: &[u8]) -> Option<u32> {
    crate::settings::parse::id(field).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n# a comment\n+nis::::::\nshort:x:5\nbad:x:-1:0::/:\nbig:x:4294967295:0::/:\n\
        app:x:1000:1001:,,,:/home/app:/bin/sh\n\xff\xfe:x:7:7::/odd:\nlast:x:8:8::/last:/bin/sh";

    #[test]
    fn lines_that_are_none_are_passed_over() {
        let names: Vec<&[u8]> = parse_users(PASSWD).map(|user| user.name).collect();
        assert_eq!(names, [&b"root"[..], b"app", b"\xff\xfe", b"last"]);
        let app = parse_users(PASSWD).nth(1).unwrap();
        assert_eq!((app.id, app.group, app.home), (1000, 1001, &b"/home/app"[..]));
    }

    #[test]
    fn members_are_whole_names() {
        let text = b"video:x:44:app,other\nempty:x:45:\nbroken:x\nspaced:x:46: app , b\n";
        let found: Vec<(u32, bool, bool)> =
            parse_groups(text).map(|group| (group.id, group.has_member(b"app"), group.has_member(b"ap"))).collect();
        assert_eq!(found, [(44, true, false), (45, false, false), (46, true, false)]);
        assert!(!parse_groups(text).nth(1).unwrap().has_member(b""));
    }
}

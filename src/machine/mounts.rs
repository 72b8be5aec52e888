//! The mounts of this mount namespace: /proc/self/mountinfo (`man 5 proc_pid_mountinfo`).

use crate::path::is_within;
use crate::sys::{Errno, io};

/// One mount. Its texts lie behind each other in one piece of memory: PID 1 keeps what a start scatters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// Its id, as statx tells it of an open file.
    pub id: u64,
    text: Box<[u8]>,
    /// Where root, point, options, filesystem and the filesystem's options end in it.
    ends: [usize; 5],
}

/// All mounts, in the kernel's order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// Reads them. Errors: the kernel's; ENOENT where /proc is not mounted, ENODATA where it holds nothing.
    pub fn read() -> Result<Self, Errno> {
        let text = io::read_whole(c"/proc/self/mountinfo", 16 << 20)?;
        let mounts = Self::parse(&text);
        if mounts.0.is_empty() { Err(Errno(libc::ENODATA)) } else { Ok(mounts) }
    }

    /// Reads the text of the file. A line that is none is no mount.
    pub fn parse(text: &[u8]) -> Self {
        Mounts(text.split(|&byte| byte == b'\n').filter_map(Mount::parse).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter()
    }

    /// What is mounted exactly there; the last of several hides the others.
    pub fn at(&self, point: &[u8]) -> Option<&Mount> {
        self.0.iter().rfind(|mount| mount.point() == point)
    }

    /// The one with this id.
    pub fn with_id(&self, id: u64) -> Option<&Mount> {
        self.0.iter().find(|mount| mount.id == id)
    }

    /// The mount that `path` (absolute, without links) lies on.
    pub fn containing(&self, path: &[u8]) -> Option<&Mount> {
        let longest =
            self.0.iter().filter(|mount| is_within(path, mount.point())).map(|mount| mount.point().len()).max();
        self.0.iter().rfind(|mount| Some(mount.point().len()) == longest && is_within(path, mount.point()))
    }
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let (root, point, options) = (fields.nth(2)?, fields.next()?, fields.next()?);
        // Optional fields (`shared:1`) end with a dash.
        let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
        let (filesystem, super_options) = (rest.next()?, rest.nth(1).unwrap_or_default());
        let mut text = Vec::with_capacity(line.len());
        let ends = [root, point, options, filesystem, super_options].map(|field| {
            unescape(field, &mut text);
            text.len()
        });
        Some(Mount { id, text: text.into_boxed_slice(), ends })
    }

    fn field(&self, index: usize) -> &[u8] {
        let begin = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[begin..self.ends[index]]
    }

    fn word(&self, index: usize) -> &str {
        std::str::from_utf8(self.field(index)).unwrap_or_default()
    }

    /// Which directory or file of its filesystem is mounted: the host's path, where that filesystem is the host's root.
    pub fn root(&self) -> &[u8] {
        self.field(0)
    }

    /// Where it is mounted.
    pub fn point(&self) -> &[u8] {
        self.field(1)
    }

    /// Whether this mount has the option (`ro`, `nosuid`, `nodev`, `noexec` …). Of the mount (the sixth field), not of
    /// its filesystem: a read-only root of overlay has a writable filesystem.
    pub fn has_option(&self, option: &str) -> bool {
        self.word(2).split(',').any(|word| word == option)
    }

    /// The filesystem's type, with its subtype (`fuse.sshfs`).
    pub fn filesystem(&self) -> &str {
        self.word(3)
    }

    /// The value of an option of its filesystem (`size`); an empty text where it has none.
    pub fn filesystem_option(&self, option: &str) -> Option<&str> {
        self.word(4).split(',').find_map(|word| match word.split_once('=') {
            Some((name, value)) => (name == option).then_some(value),
            None => (word == option).then_some(""),
        })
    }
}

/// Space, tab, newline and backslash stand as three octal digits.
fn unescape(field: &[u8], to: &mut Vec<u8>) {
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                to.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            _ => {
                to.push(*first);
                tail
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] =
        b"69 45 0:39 / / ro,nodev,noatime master:2 shared:1 - fuse.fuse-overlayfs fuse-overlayfs rw,user_id=0\n\
        70 69 0:41 / /proc rw,nosuid - proc proc rw\n\
        71 69 98:0 /home/u/my\\040models /data rw - ext4 /dev/vda rw,discard\n\
        72 69 0:46 / /tmp rw,nosuid,noexec - tmpfs tmpfs rw,size=1024k,mode=1777\n\
        73 72 0:47 / /tmp rw - tmpfs tmpfs rw\n\
        garbage\n\
        74 69";

    #[test]
    fn the_kernels_table_is_read() {
        let mounts = Mounts::parse(TEXT);
        assert_eq!(mounts.iter().count(), 5);
        let root = mounts.at(b"/").unwrap();
        assert!(root.has_option("ro") && !root.has_option("rw") && root.filesystem_option("rw") == Some(""));
        assert_eq!(root.filesystem(), "fuse.fuse-overlayfs");
        let data = mounts.with_id(71).unwrap();
        assert_eq!((data.root(), data.point()), (&b"/home/u/my models"[..], &b"/data"[..]));
        assert_eq!(mounts.with_id(72).unwrap().filesystem_option("size"), Some("1024k"));
    }

    #[test]
    fn what_is_mounted_last_hides_what_was_there() {
        let mounts = Mounts::parse(TEXT);
        assert_eq!(mounts.at(b"/tmp").unwrap().id, 73);
        assert_eq!(mounts.containing(b"/tmp/x/y").unwrap().id, 73);
        assert_eq!(mounts.containing(b"/data").unwrap().id, 71);
        assert_eq!(mounts.containing(b"/database").unwrap().id, 69);
        assert_eq!(mounts.at(b"/app"), None);
    }
}

//! What a walk has gathered: files, faults and the digest over all of it, within limits.

use super::{File, Kind, Tree};
use crate::sys::fs::{self, Freshness, Stat};
use crate::sys::{Errno, io};
use crate::text::Escaped;
use sha2::{Digest, Sha256};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How much a tree may hold, and what to do about one that holds more.
#[derive(Clone, Copy)]
pub(in crate::nodes) struct Limits {
    /// The first bytes of the digest: a node and an environment with the same files are not the same.
    pub(in crate::nodes) label: &'static [u8],
    /// Names in it, directories among them.
    pub(in crate::nodes) entries: usize,
    /// Directories above a name.
    pub(in crate::nodes) levels: usize,
    /// Of all contents together.
    pub(in crate::nodes) gibibytes: u64,
    /// Of all paths and link targets together: what is remembered of a tree.
    pub(in crate::nodes) mebibytes_of_names: usize,
    /// After "more than 50000 files: ".
    pub(in crate::nodes) advice: &'static str,
}

/// A limit was met: the fault says which, and the walk is over.
#[derive(Debug)]
pub(in crate::nodes) struct Over;

/// One name in a directory.
pub(in crate::nodes) struct Entry {
    pub(in crate::nodes) name: CString,
    /// `DT_DIR` and so on.
    pub(in crate::nodes) kind: u8,
}

/// How many files that cannot be read are told one by one.
const MOST_FAULTS: usize = 8;
const BUFFER: usize = 256 * 1024;
/// The kernel gives no longer target (PATH_MAX).
const LONGEST_TARGET: usize = 4096;

/// Why a file could not be read whole.
pub(super) enum Trouble {
    Errno(Errno),
    /// It is not what it was a moment ago.
    Changed,
    /// More than the limit of all contents.
    TooMuch,
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        Trouble::Errno(errno)
    }
}

pub(in crate::nodes) struct Gather {
    limits: Limits,
    files: Vec<File>,
    faults: Vec<String>,
    untold: usize,
    digest: Sha256,
    entries: usize,
    bytes: u64,
    bytes_of_names: usize,
    buffer: Vec<u8>,
}

impl Gather {
    pub(in crate::nodes) fn new(limits: Limits) -> Gather {
        let mut digest = Sha256::new();
        digest.update(limits.label);
        let (files, faults, buffer) = (Vec::new(), Vec::new(), vec![0; BUFFER]);
        Gather { limits, files, faults, untold: 0, digest, entries: 0, bytes: 0, bytes_of_names: 0, buffer }
    }

    /// What came of it. The files are in the order of their paths.
    pub(in crate::nodes) fn into_tree(mut self, name: CString, root: OwnedFd) -> Tree {
        if self.untold > 0 {
            self.faults.push(format!("{} more of the same", self.untold));
        }
        self.files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        let digest = self.faults.is_empty().then(|| self.digest.finalize().into());
        Tree { name, root, files: self.files, digest, faults: self.faults }
    }

    /// The tree has no digest, and this is why.
    pub(in crate::nodes) fn fault(&mut self, words: String) {
        if self.faults.len() < MOST_FAULTS { self.faults.push(words) } else { self.untold += 1 }
    }

    /// The file that was just taken in must not be a link; `wanted` says what else.
    pub(in crate::nodes) fn refuse_link(&mut self, path: &[u8], wanted: &str) {
        let Some(Kind::Link(target)) = self.files.last().filter(|file| file.path == path).map(|file| &file.kind) else {
            return;
        };
        self.fault(format!("{} is a link to {}: {wanted}", Escaped(path), Escaped(target)));
    }

    /// Something that cannot be read.
    pub(in crate::nodes) fn unreadable(&mut self, path: &[u8], errno: Errno) {
        self.fault(format!(
            "cannot read {}: {errno}: make it readable for the app's user, or remove it",
            Escaped(path)
        ));
    }

    fn changed(&mut self, path: &[u8]) {
        self.fault(format!("{} changed while it was read: stop what writes there, and look again", Escaped(path)));
    }

    fn over(&mut self, words: String) -> Over {
        // Ahead of the others: it is why the walk did not see all.
        self.faults.insert(0, format!("more than {words}: {}", self.limits.advice));
        Over
    }

    /// Everything in a directory, in the order of the names' bytes: that of the directory differs from copy to copy.
    pub(in crate::nodes) fn list(&mut self, directory: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<Entry>, Over> {
        let room = self.limits.entries - self.entries;
        let mut found = Vec::new();
        let mut listed = false;
        let answer = io::while_entries_of(directory, |name, kind| {
            listed = true;
            if name != b"." && name != b".." {
                // Without a NUL: the kernel ends it by one.
                found.extend(CString::new(name).map(|name| Entry { name, kind }));
            }
            found.len() <= room
        });
        if found.len() > room {
            return Err(self.over(format!("{} files", self.limits.entries)));
        }
        self.entries += found.len();
        match answer {
            // Not even `.` was listed: whoever answered was not the kernel, and an end that is none hides entries.
            Ok(()) if !listed => self.unreadable(path, Errno(libc::EIO)),
            Ok(()) => {}
            Err(Errno(libc::ENOENT)) => self.changed(path),
            Err(errno) => self.unreadable(path, errno),
        }
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        found.retain_mut(|entry| match kind_of(directory, entry) {
            Ok(kind) => {
                entry.kind = kind;
                true
            }
            Err(errno) => {
                self.unreadable(&beneath(path, &entry.name), errno);
                false
            }
        });
        Ok(found)
    }

    /// Opens a directory to go down into; nothing where it cannot be read.
    pub(in crate::nodes) fn enter(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        path: &[u8],
        levels: usize,
    ) -> Result<Option<OwnedFd>, Over> {
        if levels > self.limits.levels {
            return Err(self.over(format!("{} directories deep ({})", self.limits.levels, Escaped(path))));
        }
        match fs::open_directory_at(directory, name) {
            Ok(opened) => return Ok(Some(opened)),
            // It was listed as a directory a moment ago.
            Err(Errno(libc::ELOOP | libc::ENOTDIR | libc::ENOENT)) => self.changed(path),
            Err(errno) => self.unreadable(path, errno),
        }
        Ok(None)
    }

    /// Takes a directory into the digest: an empty one is a package for Python too.
    pub(in crate::nodes) fn directory(&mut self, path: &[u8]) {
        self.record(b'd', path);
    }

    /// Takes in what is no directory.
    pub(in crate::nodes) fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        kind: u8,
        path: &[u8],
    ) -> Result<(), Over> {
        let file = match kind {
            libc::DT_REG => self.plain(directory, name, path),
            libc::DT_LNK => link(directory, name, path),
            _ => Ok(File { path: path.to_vec(), kind: Kind::Other, size: 0, digest: [0; 32] }),
        };
        match file {
            Ok(file) => self.take(file),
            Err(Trouble::TooMuch) => Err(self.over(format!("{} GiB ({})", self.limits.gibibytes, Escaped(path)))),
            Err(Trouble::Changed) => {
                self.changed(path);
                Ok(())
            }
            Err(Trouble::Errno(errno)) => {
                self.unreadable(path, errno);
                Ok(())
            }
        }
    }

    fn plain(&mut self, directory: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<File, Trouble> {
        // What it is instead now, a moment after it was listed as a plain file: a link, nothing, a socket.
        let file = fs::open_file_at(directory, name).map_err(|errno| match errno {
            Errno(libc::ELOOP | libc::ENOENT | libc::ENXIO) => Trouble::Changed,
            errno => Trouble::Errno(errno),
        })?;
        let stat = fs::stat(file.as_fd(), Freshness::Cached)?;
        if !stat.is_regular() {
            return Err(Trouble::Changed);
        }
        self.bytes = self.bytes.saturating_add(stat.size);
        if self.bytes > self.limits.gibibytes << 30 {
            return Err(Trouble::TooMuch);
        }
        let (digest, begins) = digest_of(&file, &stat, &mut self.buffer)?;
        let kind = Kind::Plain { executable: stat.is_executable(), begins };
        Ok(File { path: path.to_vec(), kind, size: stat.size, digest })
    }

    fn take(&mut self, file: File) -> Result<(), Over> {
        self.record(file.letter(), &file.path);
        if let Kind::Plain { executable, .. } = file.kind {
            self.digest.update([u8::from(executable)]);
        }
        self.digest.update(file.size.to_le_bytes());
        self.digest.update(file.digest);
        self.bytes_of_names += file.path.len() + if let Kind::Link(target) = &file.kind { target.len() } else { 0 };
        self.files.push(file);
        if self.bytes_of_names > self.limits.mebibytes_of_names << 20 {
            return Err(self.over(format!("{} MiB of names", self.limits.mebibytes_of_names)));
        }
        Ok(())
    }

    /// What follows has one length for each kind, and a path tells its own: no two trees are written alike.
    fn record(&mut self, kind: u8, path: &[u8]) {
        self.digest.update([kind]);
        self.digest.update((path.len() as u64).to_le_bytes());
        self.digest.update(path);
    }
}

impl File {
    fn letter(&self) -> u8 {
        match self.kind {
            Kind::Plain { .. } => b'f',
            Kind::Link(_) => b'l',
            Kind::Other => b'o',
        }
    }
}

/// The path of a name in the directory with that path.
pub(in crate::nodes) fn beneath(path: &[u8], name: &CStr) -> Vec<u8> {
    let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
    [path, slash, name.to_bytes()].concat()
}

/// What the listing said, or where the filesystem does not tell kinds there, what the name is.
pub(in crate::nodes) fn kind_of(directory: BorrowedFd<'_>, entry: &Entry) -> Result<u8, Errno> {
    if entry.kind == libc::DT_UNKNOWN { kind_at(directory, &entry.name) } else { Ok(entry.kind) }
}

/// `DT_DIR` and so on.
pub(in crate::nodes) fn kind_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<u8, Errno> {
    let kind = fs::stat_at(directory, name)?.kind();
    Ok(match kind {
        libc::S_IFREG => libc::DT_REG,
        libc::S_IFDIR => libc::DT_DIR,
        libc::S_IFLNK => libc::DT_LNK,
        // A socket, a pipe or a device: none is opened.
        _ => libc::DT_SOCK,
    })
}

pub(super) fn digest_of(file: &OwnedFd, stat: &Stat, buffer: &mut [u8]) -> Result<([u8; 32], [u8; 8]), Trouble> {
    let mut digest = Sha256::new();
    let mut begins = [0; 8];
    let mut size = 0_u64;
    while size <= stat.size {
        let count = io::read(file, buffer)?;
        let Some(read @ [_, ..]) = buffer.get(..count) else { break };
        digest.update(read);
        for (place, &byte) in begins.iter_mut().skip(size.min(8) as usize).zip(read) {
            *place = byte;
        }
        size += count as u64;
    }
    let after = fs::stat(file.as_fd(), Freshness::Cached)?;
    if size != stat.size || after.size != stat.size || after.changed != stat.changed {
        return Err(Trouble::Changed);
    }
    Ok((digest.finalize().into(), begins))
}

fn link(directory: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<File, Trouble> {
    let mut buffer = [0; LONGEST_TARGET];
    match fs::read_link_at(directory, name, &mut buffer) {
        Ok(target) => Ok(File {
            path: path.to_vec(),
            kind: Kind::Link(target.to_vec()),
            size: target.len() as u64,
            digest: Sha256::digest(target).into(),
        }),
        // No link any more, or gone.
        Err(Errno(libc::EINVAL | libc::ENOENT)) => Err(Trouble::Changed),
        Err(errno) => Err(errno.into()),
    }
}

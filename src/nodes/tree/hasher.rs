//! The files that a walk takes in, their faults and the digest over all of it, within limits.

use super::{File, FileKind, Tree};
use crate::sys::fs::{self, Freshness, Stat};
use crate::sys::{Errno, io};
use crate::text::Escaped;
use sha2::{Digest, Sha256};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How much a tree may hold, and what to do about one that holds more.
#[derive(Clone, Copy)]
pub(in crate::nodes) struct TreeLimits {
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
pub(in crate::nodes) struct LimitExceeded;

/// One name in a directory.
pub(in crate::nodes) struct DirEntry {
    pub(in crate::nodes) name: CString,
    /// `DT_DIR` and so on.
    pub(in crate::nodes) kind: u8,
}

/// How many files that cannot be read are told one by one.
const MAX_FAULTS: usize = 8;
const BUFFER: usize = 256 * 1024;
/// The kernel gives no longer target (PATH_MAX).
const MAX_TARGET: usize = 4096;

/// Why a file could not be read whole.
pub(super) enum ReadError {
    Errno(Errno),
    /// It is not what it was a moment ago.
    Changed,
    /// More than the limit of all contents.
    LimitExceeded,
}

impl From<Errno> for ReadError {
    fn from(errno: Errno) -> Self {
        ReadError::Errno(errno)
    }
}

pub(in crate::nodes) struct TreeHasher {
    limits: TreeLimits,
    files: Vec<File>,
    faults: Vec<String>,
    omitted_faults: usize,
    digest: Sha256,
    entries: usize,
    bytes: u64,
    bytes_of_names: usize,
    buffer: Vec<u8>,
}

impl TreeHasher {
    pub(in crate::nodes) fn new(limits: TreeLimits) -> TreeHasher {
        let mut digest = Sha256::new();
        digest.update(limits.label);
        let (files, faults, buffer) = (Vec::new(), Vec::new(), vec![0; BUFFER]);
        TreeHasher { limits, files, faults, omitted_faults: 0, digest, entries: 0, bytes: 0, bytes_of_names: 0, buffer }
    }

    /// What came of it. The files are in the order of their paths.
    pub(in crate::nodes) fn into_tree(mut self, name: CString, root: OwnedFd) -> Tree {
        if self.omitted_faults > 0 {
            self.faults.push(format!("{} more like this", self.omitted_faults));
        }
        self.files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        let digest = self.faults.is_empty().then(|| self.digest.finalize().into());
        Tree { name, root, files: self.files, digest, faults: self.faults }
    }

    /// The tree has no digest, and this is why.
    pub(in crate::nodes) fn add_fault(&mut self, words: String) {
        if self.faults.len() < MAX_FAULTS { self.faults.push(words) } else { self.omitted_faults += 1 }
    }

    /// The file that was just taken in must not be a link; `wanted` says what else.
    pub(in crate::nodes) fn reject_link(&mut self, path: &[u8], wanted: &str) {
        let Some(FileKind::Link(target)) = self.files.last().filter(|file| file.path == path).map(|file| &file.kind)
        else {
            return;
        };
        self.add_fault(format!("{} is a link to {}: {wanted}", Escaped(path), Escaped(target)));
    }

    /// Something that cannot be read.
    pub(in crate::nodes) fn add_unreadable(&mut self, path: &[u8], errno: Errno) {
        self.add_fault(format!(
            "cannot read {}: {errno}: make it readable for the app's user, or remove it",
            Escaped(path)
        ));
    }

    fn add_changed(&mut self, path: &[u8]) {
        self.add_fault(format!("{} changed while it was read: stop what writes there, then scan again", Escaped(path)));
    }

    fn exceed_limit(&mut self, words: String) -> LimitExceeded {
        // Ahead of the others: it is why the walk did not see all.
        self.faults.insert(0, format!("more than {words}: {}", self.limits.advice));
        LimitExceeded
    }

    /// Everything in a directory, in the order of the names' bytes: that of the directory differs from copy to copy.
    pub(in crate::nodes) fn list_directory(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &[u8],
    ) -> Result<Vec<DirEntry>, LimitExceeded> {
        let room = self.limits.entries - self.entries;
        let mut found = Vec::new();
        let mut listed = false;
        let answer = io::while_entries_of(directory, |name, kind| {
            listed = true;
            if name != b"." && name != b".." {
                // Without a NUL: the kernel ends it by one.
                found.extend(CString::new(name).map(|name| DirEntry { name, kind }));
            }
            found.len() <= room
        });
        if found.len() > room {
            return Err(self.exceed_limit(format!("{} files", self.limits.entries)));
        }
        self.entries += found.len();
        match answer {
            // Not even `.` was listed: whoever answered was not the kernel, and an end that is none hides entries.
            Ok(()) if !listed => self.add_unreadable(path, Errno(libc::EIO)),
            Ok(()) => {}
            Err(Errno(libc::ENOENT)) => self.add_changed(path),
            Err(errno) => self.add_unreadable(path, errno),
        }
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        found.retain_mut(|entry| match resolve_kind(directory, entry) {
            Ok(kind) => {
                entry.kind = kind;
                true
            }
            Err(errno) => {
                self.add_unreadable(&join(path, &entry.name), errno);
                false
            }
        });
        Ok(found)
    }

    /// Opens a directory to go down into; nothing where it cannot be read.
    pub(in crate::nodes) fn open_directory(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        path: &[u8],
        levels: usize,
    ) -> Result<Option<OwnedFd>, LimitExceeded> {
        if levels > self.limits.levels {
            return Err(self.exceed_limit(format!("{} directories deep ({})", self.limits.levels, Escaped(path))));
        }
        match fs::open_directory_at(directory, name) {
            Ok(opened) => return Ok(Some(opened)),
            // It was listed as a directory a moment ago.
            Err(Errno(libc::ELOOP | libc::ENOTDIR | libc::ENOENT)) => self.add_changed(path),
            Err(errno) => self.add_unreadable(path, errno),
        }
        Ok(None)
    }

    /// Takes a directory into the digest: an empty one is a package for Python too.
    pub(in crate::nodes) fn hash_directory(&mut self, path: &[u8]) {
        self.hash_path(b'd', path);
    }

    /// Takes in what is no directory.
    pub(in crate::nodes) fn hash_entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        kind: u8,
        path: &[u8],
    ) -> Result<(), LimitExceeded> {
        let file = match kind {
            libc::DT_REG => self.read_file(directory, name, path),
            libc::DT_LNK => read_link(directory, name, path),
            _ => Ok(File { path: path.to_vec(), kind: FileKind::Other, size: 0, digest: [0; 32] }),
        };
        match file {
            Ok(file) => self.hash_file(file),
            Err(ReadError::LimitExceeded) => {
                Err(self.exceed_limit(format!("{} GiB ({})", self.limits.gibibytes, Escaped(path))))
            }
            Err(ReadError::Changed) => {
                self.add_changed(path);
                Ok(())
            }
            Err(ReadError::Errno(errno)) => {
                self.add_unreadable(path, errno);
                Ok(())
            }
        }
    }

    fn read_file(&mut self, directory: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<File, ReadError> {
        // What it is instead now, a moment after it was listed as a plain file: a link, nothing, a socket.
        let file = fs::open_file_at(directory, name).map_err(|errno| match errno {
            Errno(libc::ELOOP | libc::ENOENT | libc::ENXIO) => ReadError::Changed,
            errno => ReadError::Errno(errno),
        })?;
        let stat = fs::stat(file.as_fd(), Freshness::Cached)?;
        if !stat.is_regular() {
            return Err(ReadError::Changed);
        }
        self.bytes = self.bytes.saturating_add(stat.size);
        if self.bytes > self.limits.gibibytes << 30 {
            return Err(ReadError::LimitExceeded);
        }
        let (digest, magic) = digest_file(&file, &stat, &mut self.buffer)?;
        let kind = FileKind::Plain { executable: stat.is_executable(), magic };
        Ok(File { path: path.to_vec(), kind, size: stat.size, digest })
    }

    fn hash_file(&mut self, file: File) -> Result<(), LimitExceeded> {
        self.hash_path(file.type_byte(), &file.path);
        if let FileKind::Plain { executable, .. } = file.kind {
            self.digest.update([u8::from(executable)]);
        }
        self.digest.update(file.size.to_le_bytes());
        self.digest.update(file.digest);
        self.bytes_of_names += file.path.len() + if let FileKind::Link(target) = &file.kind { target.len() } else { 0 };
        self.files.push(file);
        if self.bytes_of_names > self.limits.mebibytes_of_names << 20 {
            return Err(self.exceed_limit(format!("{} MiB of names", self.limits.mebibytes_of_names)));
        }
        Ok(())
    }

    /// What follows has one length for each kind, and a path tells its own: no two trees are written alike.
    fn hash_path(&mut self, kind: u8, path: &[u8]) {
        self.digest.update([kind]);
        self.digest.update((path.len() as u64).to_le_bytes());
        self.digest.update(path);
    }
}

impl File {
    fn type_byte(&self) -> u8 {
        match self.kind {
            FileKind::Plain { .. } => b'f',
            FileKind::Link(_) => b'l',
            FileKind::Other => b'o',
        }
    }
}

/// The path of a name in the directory with that path.
pub(in crate::nodes) fn join(path: &[u8], name: &CStr) -> Vec<u8> {
    let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
    [path, slash, name.to_bytes()].concat()
}

/// What the listing said, or where the filesystem does not tell kinds there, what the name is.
pub(in crate::nodes) fn resolve_kind(directory: BorrowedFd<'_>, entry: &DirEntry) -> Result<u8, Errno> {
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

pub(super) fn digest_file(file: &OwnedFd, stat: &Stat, buffer: &mut [u8]) -> Result<([u8; 32], [u8; 8]), ReadError> {
    let mut digest = Sha256::new();
    let mut magic = [0; 8];
    let mut size = 0_u64;
    while size <= stat.size {
        let count = io::read(file, buffer)?;
        let Some(read @ [_, ..]) = buffer.get(..count) else { break };
        digest.update(read);
        for (place, &byte) in magic.iter_mut().skip(size.min(8) as usize).zip(read) {
            *place = byte;
        }
        size += count as u64;
    }
    let after = fs::stat(file.as_fd(), Freshness::Cached)?;
    if size != stat.size || after.size != stat.size || after.changed != stat.changed {
        return Err(ReadError::Changed);
    }
    Ok((digest.finalize().into(), magic))
}

fn read_link(directory: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<File, ReadError> {
    let mut buffer = [0; MAX_TARGET];
    match fs::read_link_at(directory, name, &mut buffer) {
        Ok(target) => Ok(File {
            path: path.to_vec(),
            kind: FileKind::Link(target.to_vec()),
            size: target.len() as u64,
            digest: Sha256::digest(target).into(),
        }),
        // No link any more, or gone.
        Err(Errno(libc::EINVAL | libc::ENOENT)) => Err(ReadError::Changed),
        Err(errno) => Err(errno.into()),
    }
}

//! The walk: every name, kind and byte of a node, by descriptor, without following a link.

pub(super) mod git;
mod hasher;

use crate::sys::fs::{self, Freshness};
use crate::sys::{Errno, io};
use sha2::{Digest, Sha256};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(super) use hasher::{DirEntry, LimitExceeded, TreeHasher, TreeLimits, join, kind_at};

/// The largest custom nodes have some thousand files and some hundred MB; a directory of models is none.
const LIMITS: TreeLimits = TreeLimits {
    label: b"takumi-init node 1\0",
    entries: 50_000,
    levels: 64,
    gibibytes: 16,
    mebibytes_of_names: 32,
    advice: "move its data outside the node",
};

/// A directory with more of them is no directory of nodes.
const MAX_NODES: usize = 5000;

/// A node as it lies on the disk.
#[derive(Debug)]
pub struct Tree {
    /// Its entry in the directory of nodes.
    pub name: CString,
    /// The node's directory; for a single file the directory that it lies in. Only for opening, never for a path of its
    /// own.
    pub root: OwnedFd,
    /// In the order of their paths.
    pub files: Vec<File>,
    /// Of all of them; none where not everything could be read.
    pub digest: Option<[u8; 32]>,
    /// Why the node is not whole: too many files, one that cannot be read, the node is a link itself.
    pub faults: Vec<String>,
}

/// Something in a node that is no directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Relative to [`Tree::root`].
    pub path: Vec<u8>,
    /// What it is.
    pub kind: FileKind,
    /// In bytes.
    pub size: u64,
    /// SHA-256 of the content, or of a link's target; zeroes for what has none.
    pub digest: [u8; 32],
}

/// What a file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A plain file.
    Plain {
        /// Somebody may execute it.
        executable: bool,
        /// What it begins with, at most 8 bytes.
        magic: [u8; 8],
    },
    /// A symbolic link and its target.
    Link(Vec<u8>),
    /// A socket, a pipe, a device: nothing that is read.
    Other,
}

/// What in there runs when ComfyUI starts, sorted: directories, links and files `NAME.py` that do not end in
/// `.disabled` (`init_external_custom_nodes` in its nodes.py). Its `__pycache__` is among them where it holds
/// something: it is no node, yet the loop before that one (`execute_prestartup_script` in main.py) means to leave it
/// out and runs its `prestartup_script.py`.
///
/// Errors: the kernel's; EFBIG for more than 5000.
pub fn list_nodes(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    // Opened again, so that it is listed from its beginning.
    let directory = fs::open_directory_at(directory.as_fd(), c".")?;
    let directory = directory.as_fd();
    let mut found = Vec::new();
    io::while_entries_of(directory, |name, kind| {
        if may_be_node(name, kind) {
            found.extend(CString::new(name).map(|name| DirEntry { name, kind }));
        }
        found.len() <= MAX_NODES
    })?;
    if found.len() > MAX_NODES {
        return Err(Errno(libc::EFBIG));
    }
    let mut names = Vec::with_capacity(found.len());
    for mut entry in found {
        if entry.kind == libc::DT_UNKNOWN {
            entry.kind = match kind_at(directory, &entry.name) {
                Err(Errno(libc::ENOENT)) => continue,
                kind => kind?,
            };
        }
        let is_empty_cache = || entry.name.as_c_str() == c"__pycache__" && is_empty(directory, &entry.name);
        if may_be_node(entry.name.to_bytes(), entry.kind) && !is_empty_cache() {
            names.push(entry.name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn may_be_node(name: &[u8], kind: u8) -> bool {
    // As Python's os.path.splitext does it: `.py` alone is a name, not an ending.
    let is_python = name.strip_suffix(b".py").is_some_and(|stem| stem.iter().any(|&byte| byte != b'.'));
    let is_loaded = match kind {
        // What a link leads to may be a directory by the time that ComfyUI looks.
        libc::DT_DIR | libc::DT_LNK | libc::DT_UNKNOWN => name != b"." && name != b"..",
        libc::DT_REG => is_python,
        _ => false,
    };
    is_loaded && !name.ends_with(b".disabled")
}

/// A directory without an entry; `false` for what is none or cannot be read.
fn is_empty(directory: BorrowedFd<'_>, name: &CStr) -> bool {
    let mut is_empty = true;
    let listed = fs::open_directory_at(directory, name).and_then(|opened| {
        io::while_entries_of(opened.as_fd(), |name, _| {
            is_empty = name == b"." || name == b"..";
            is_empty
        })
    });
    listed.is_ok() && is_empty
}

/// Reads one of them whole. What is wrong with a file of it is among the tree's faults.
///
/// Errors: the kernel's for the node itself; EINVAL for a name that leads elsewhere.
pub fn read_node(directory: &OwnedFd, name: &CStr) -> Result<Tree, Errno> {
    let bytes = name.to_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(Errno(libc::EINVAL));
    }
    let directory = directory.as_fd();
    let kind = kind_at(directory, name)?;
    let mut hasher = TreeHasher::new(LIMITS);
    if kind == libc::DT_DIR {
        match fs::open_directory_at(directory, name) {
            Ok(root) => {
                // Over a limit there is a fault, and the files that were seen before stand all the same.
                let _ = hash_node(&mut hasher, root.as_fd());
                return Ok(hasher.into_tree(name.to_owned(), root));
            }
            Err(errno @ Errno(libc::ENOENT)) => return Err(errno),
            Err(errno) => hasher.add_unreadable(bytes, errno),
        }
    } else {
        let _ = hasher.hash_entry(directory, name, kind, bytes);
        hasher.reject_link(bytes, "put the node itself there, not a link");
    }
    Ok(hasher.into_tree(name.to_owned(), fs::open_directory_at(directory, c".")?))
}

fn hash_node(hasher: &mut TreeHasher, root: BorrowedFd<'_>) -> Result<(), LimitExceeded> {
    hasher.hash_directory(b"");
    // Where everything is executable (a volume of Windows) that says nothing. Who sets it by hand changes the digest:
    // HEAD is in it.
    let executables_tell = !fs::open_directory_at(root, c".git")
        .and_then(|git| fs::stat_at(git.as_fd(), c"HEAD"))
        .is_ok_and(|head| head.is_executable());
    walk(hasher, root, b"", |_, found| {
        if !git::is_data(found.path) {
            return true;
        }
        match found.kind {
            libc::DT_DIR => false,
            // By its own bits, not by the listing.
            libc::DT_REG => fs::stat_at(found.directory, found.name)
                .map_or(true, |stat| !stat.is_regular() || (stat.is_executable() && executables_tell)),
            _ => true,
        }
    })
}

/// What a walk came to.
pub(super) struct WalkEntry<'a> {
    pub(super) directory: BorrowedFd<'a>,
    pub(super) name: &'a CStr,
    /// From the tree's root.
    pub(super) path: &'a [u8],
    /// `DT_DIR` and so on.
    pub(super) kind: u8,
}

/// A directory that the walk is in.
struct WalkLevel {
    directory: OwnedFd,
    entries: std::vec::IntoIter<DirEntry>,
    path: Vec<u8>,
}

/// Goes through a directory, whose path from the tree's root is `path`, and takes in what `takes` says. It goes down
/// into every directory, whether that is taken in or not. As many descriptors are open as levels are allowed.
pub(super) fn walk(
    hasher: &mut TreeHasher,
    directory: BorrowedFd<'_>,
    path: &[u8],
    mut takes: impl FnMut(&mut TreeHasher, &WalkEntry<'_>) -> bool,
) -> Result<(), LimitExceeded> {
    let mut levels = Vec::new();
    let above = path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).count();
    let mut next = hasher.open_directory(directory, c".", path, above)?.map(|opened| (opened, path.to_vec()));
    loop {
        if let Some((directory, path)) = next.take() {
            let entries = hasher.list_directory(directory.as_fd(), &path)?.into_iter();
            levels.push(WalkLevel { directory, entries, path });
        }
        let depth = above + levels.len();
        let Some(level) = levels.last_mut() else { return Ok(()) };
        let Some(DirEntry { name, kind }) = level.entries.next() else {
            levels.pop();
            continue;
        };
        let directory = level.directory.as_fd();
        let path = join(&level.path, &name);
        let is_taken = takes(hasher, &WalkEntry { directory, name: &name, path: &path, kind });
        if kind == libc::DT_DIR {
            if is_taken {
                hasher.hash_directory(&path);
            }
            next = hasher.open_directory(directory, &name, &path, depth)?.map(|opened| (opened, path));
        } else if is_taken {
            hasher.hash_entry(directory, &name, kind, &path)?;
        }
    }
}

impl Tree {
    /// What a file holds, where that is at most `most` bytes and what was digested.
    ///
    /// Errors: the kernel's; EFBIG where it is larger; ESTALE where it is not the same any more; EINVAL for what is no
    /// plain file.
    pub fn read_content(&self, file: &File, most: usize) -> Result<Vec<u8>, Errno> {
        if !matches!(file.kind, FileKind::Plain { .. }) {
            return Err(Errno(libc::EINVAL));
        }
        if file.size > most as u64 {
            return Err(Errno(libc::EFBIG));
        }
        let name = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno(libc::EINVAL));
        let mut parts = file.path.split(|&byte| byte == b'/');
        let last = name(parts.next_back().unwrap_or_default())?;
        let mut directory = None;
        for part in parts {
            let above = directory.as_ref().unwrap_or(&self.root).as_fd();
            directory = Some(fs::open_directory_at(above, &name(part)?)?);
        }
        let opened = fs::open_file_at(directory.as_ref().unwrap_or(&self.root).as_fd(), &last)?;
        let stat = fs::stat(opened.as_fd(), Freshness::Cached)?;
        if !stat.is_regular() || stat.size != file.size {
            return Err(Errno(libc::ESTALE));
        }
        let content = io::read_rest(&opened, most)?;
        if Sha256::digest(&content)[..] == file.digest { Ok(content) } else { Err(Errno(libc::ESTALE)) }
    }
}

#[cfg(test)]
mod tests;

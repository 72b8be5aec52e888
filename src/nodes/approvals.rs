//! What was approved and what is known, by content digest, in a file that only container root can write.

use super::ability::Ability;
use super::{Report, Seen};
use crate::sys::fs::{self, Freshness};
use crate::sys::{Errno, UserId, io};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// In TAKUMI_STATE.
const NAME: &CStr = c"nodes.json";
const MOST_BYTES: usize = 64 << 20;

/// A node that a person approved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Approval {
    /// Of everything in it.
    pub digest: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Each file with its digest, so that a change can be named.
    pub files: BTreeMap<String, String>,
    /// What it could do.
    pub report: Report,
}

/// Everything that is remembered.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Book {
    version: u32,
    /// By the node's name.
    pub approved: BTreeMap<String, Approval>,
    /// Who made `reports`: this program and its scanner. Another one starts anew.
    by: String,
    /// What is known of a digest: of nodes in which all was scanned.
    reports: BTreeMap<String, Report>,
}

/// Why nothing is remembered, as a sentence with what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs)] // each variant's line says what it is
pub enum Error {
    #[error("no directory keeps approvals (set TAKUMI_STATE to one that only container root can write)")]
    NoDirectory,
    #[error(
        "{0} is not root's alone: COMMAND could approve for itself (chown 0:0 and chmod 755 it; it must lie in no volume of TAKUMI_VOLUMES)"
    )]
    NotRoots(String),
    #[error("{0}: {1} (mount a volume there that container root can write)")]
    Call(String, Errno),
    #[error("{0} is no list of approvals (remove it, and approve the nodes again)")]
    Damaged(String),
}

impl Book {
    /// An empty one, for this program with that scanner.
    pub fn new(command: &[u8]) -> Self {
        Book { version: 1, by: by(command), ..Book::default() }
    }

    /// Reads it; an empty one where there is none yet.
    pub fn read(place: &CStr, command: &[u8]) -> Result<Self, Error> {
        let path = format!("{}/{}", place.to_string_lossy(), NAME.to_string_lossy());
        let call = |errno| Error::Call(path.clone(), errno);
        let directory = match open(place) {
            Err(Error::Call(_, Errno(libc::ENOENT))) | Ok((_, Whose::RootsAndOpen)) => return Ok(Book::new(command)),
            directory => directory?.0,
        };
        let full = std::ffi::CString::new(path.as_bytes()).map_err(|_| call(Errno(libc::EINVAL)))?;
        match fs::stat_at(directory.as_fd(), NAME) {
            Err(Errno(libc::ENOENT)) => return Ok(Book::new(command)),
            Err(errno) => return Err(call(errno)),
            Ok(_) => {}
        }
        let file = io::open_plain(&full).map_err(call)?;
        let stat = fs::stat(file.as_fd(), Freshness::Cached).map_err(call)?;
        if !stat.is_regular() || !is_roots(&stat) {
            return Err(Error::NotRoots(path.clone()));
        }
        let text = io::read_rest(&file, MOST_BYTES).map_err(call)?;
        let mut book: Book = serde_json::from_slice(&text).map_err(|_| Error::Damaged(path.clone()))?;
        if book.version != 1 {
            return Err(Error::Damaged(path));
        }
        if book.by != by(command) {
            book.by = by(command);
            book.reports.clear();
        }
        Ok(book)
    }

    /// Writes it, whole or not at all. Only container root can.
    pub fn write(&self, place: &CStr) -> Result<(), Error> {
        const NEW: &CStr = c".nodes.json.new";
        let path = format!("{}/{}", place.to_string_lossy(), NAME.to_string_lossy());
        let call = |errno| Error::Call(path.clone(), errno);
        let (directory, whose) = open(place)?;
        if whose == Whose::RootsAndOpen {
            let listable = io::open_directory(place).map_err(call)?;
            io::set_mode(&listable, 0o700).map_err(call)?;
            if open(place)?.1 != Whose::Roots {
                return Err(Error::NotRoots(place.to_string_lossy().into_owned()));
            }
        }
        let text = serde_json::to_vec(self).map_err(|_| call(Errno(libc::EINVAL)))?;
        match fs::unlink_at(directory.as_fd(), NEW) {
            Ok(()) | Err(Errno(libc::ENOENT)) => {}
            Err(errno) => return Err(call(errno)),
        }
        let file = fs::create_at(directory.as_fd(), NEW).map_err(call)?;
        io::write_whole(&file, &text).map_err(call)?;
        // Everybody may read what was approved: a list is no secret, and `--nodes list` works for the app's user.
        io::set_mode(&file, 0o644).map_err(call)?;
        fs::sync(file.as_fd()).map_err(call)?;
        fs::rename_at(directory.as_fd(), NEW, directory.as_fd(), NAME, true).map_err(call)
    }

    /// What is known of each digest: approved or scanned.
    pub fn known(&self) -> BTreeMap<String, Report> {
        let approved = self.approved.values().map(|approval| (approval.digest.clone(), approval.report.clone()));
        self.reports.clone().into_iter().chain(approved).collect()
    }

    /// The same with what another one knows of digests beside it.
    pub fn with_reports_of(mut self, other: &Book) -> Self {
        if self.by == other.by {
            self.reports.extend(other.reports.clone());
        }
        self
    }

    /// Remembers what was seen, and forgets what is not there any more. Returns whether anything changed.
    pub fn remember(&mut self, seen: &[Seen]) -> bool {
        let whole = seen.iter().filter(|seen| seen.report.unscanned.is_empty());
        let reports: BTreeMap<String, Report> =
            whole.filter_map(|seen| Some((seen.digest.clone()?, seen.report.clone()))).collect();
        let changed = reports != self.reports;
        self.reports = reports;
        changed
    }

    /// Remembers that a person approved it as it is. The digest must be there.
    pub fn approve(&mut self, seen: Seen, at: u64) -> Option<()> {
        let Seen { name, digest, files, report } = seen;
        self.approved.insert(name, Approval { digest: digest?, at, files, report });
        Some(())
    }
}

impl Approval {
    /// What it could do.
    pub fn abilities(&self) -> impl Iterator<Item = Ability> {
        self.report.can.iter().map(|can| can.ability)
    }
}

fn by(command: &[u8]) -> String {
    format!("takumi-init {} {}", env!("CARGO_PKG_VERSION"), String::from_utf8_lossy(command))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Roots,
    /// Root's, everybody's to write, and without a book: a fresh volume, as some clusters make it.
    RootsAndOpen,
}

fn open(place: &CStr) -> Result<(OwnedFd, Whose), Error> {
    let path = place.to_string_lossy();
    let call = |errno| Error::Call(path.to_string(), errno);
    let directory = io::open_path(place).map_err(call)?;
    let stat = fs::stat(directory.as_fd(), Freshness::Cached).map_err(call)?;
    if stat.is_directory() && is_roots(&stat) {
        return Ok((directory, Whose::Roots));
    }
    let is_fresh = || fs::stat_at(directory.as_fd(), NAME) == Err(Errno(libc::ENOENT));
    if stat.is_directory() && stat.uid == UserId(0) && is_fresh() {
        return Ok((directory, Whose::RootsAndOpen));
    }
    Err(Error::NotRoots(path.to_string()))
}

/// Root's, and nobody else may write it.
fn is_roots(stat: &fs::Stat) -> bool {
    stat.uid == UserId(0) && stat.mode & 0o022 == 0
}

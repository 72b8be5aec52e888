//! A .env file that is changed in place: comments, order, quotes, line ends, mode and owner stay.

use super::Message;
use crate::secrets::dotenv::{self, Assignment};
use crate::text::Escaped;
use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The most that one variable with its name can hold (MAX_ARG_STRLEN).
pub const MAX_BYTES: usize = 128 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub struct EnvFile {
    path: PathBuf,
    /// Line ends are `\n`.
    text: Zeroizing<Vec<u8>>,
    has_mark: bool,
    has_returns: bool,
    /// Owner and group; `None`: there is no old file.
    owner: Option<(u32, u32)>,
    mode: u32,
}

impl EnvFile {
    pub fn read(path: &Path) -> Result<EnvFile, Message> {
        let failure = |error| format!("cannot read {}: {error}", path.display());
        // A link stays: what it leads to is replaced.
        let path = fs::canonicalize(path).map_err(failure)?;
        let content = Zeroizing::new(fs::read(&path).map_err(failure)?);
        let old = fs::metadata(&path).map_err(failure)?;
        let (owner, mode) = (Some((old.uid(), old.gid())), old.mode() & 0o7777);
        let has_returns = content.windows(2).any(|pair| pair == b"\r\n");
        let has_mark = content.starts_with(BYTE_ORDER_MARK);
        Ok(EnvFile { path, text: dotenv::normalise(&content), has_mark, has_returns, owner, mode })
    }

    /// The same, or an empty one of mode 0600 where there is none.
    pub fn read_or_new(path: &Path) -> Result<EnvFile, Message> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(EnvFile {
                path: path.to_owned(),
                text: Zeroizing::default(),
                has_mark: false,
                has_returns: false,
                owner: None,
                mode: 0o600,
            }),
            _ => EnvFile::read(path),
        }
    }

    /// What it sets, each name once. Where a line sets nothing or a name twice, every such line is told instead: what
    /// cannot be understood is not changed.
    pub fn assignments(&self) -> Result<Vec<Assignment<'_>>, Message> {
        let (mut assignments, mut wrong, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        for found in dotenv::parse(&self.text) {
            match found {
                Ok(found) if names.insert(found.name) => assignments.push(found),
                Ok(found) => wrong.push(self.error_at(&found, "is set twice")),
                Err(fault) => {
                    let name = Escaped(fault.name.unwrap_or_default());
                    wrong.push(format!(
                        "{}:{}: {name} is neither NAME=value nor a comment",
                        self.path.display(),
                        fault.line
                    ));
                }
            }
        }
        if wrong.is_empty() { Ok(assignments) } else { Err(wrong.join("\n")) }
    }

    /// `FILE:LINE: NAME and what is wrong with it`.
    pub fn error_at(&self, found: &Assignment, what: &str) -> Message {
        format!("{}:{}: {} {what}", self.path.display(), found.line, Escaped(found.name))
    }

    /// Where a part of the text lies in it.
    pub fn range_of(&self, part: &[u8]) -> Range<usize> {
        let begin = part.as_ptr().addr() - self.text.as_ptr().addr();
        begin..begin + part.len()
    }

    pub fn replace_range(&mut self, range: Range<usize>, new: &[u8]) {
        let parts = [&self.text[..range.start], new, &self.text[range.end..]];
        self.text = Zeroizing::new(parts.concat());
    }

    /// Several at once, in the order in which they stand.
    pub fn replace(&mut self, changes: Vec<(Range<usize>, String)>) {
        for (range, new) in changes.into_iter().rev() {
            self.replace_range(range, new.as_bytes());
        }
    }

    pub fn append(&mut self, line: &str) {
        let end = self.text.len();
        let unfinished = self.text.last().is_some_and(|&last| last != b'\n');
        self.replace_range(end..end, [if unfinished { "\n" } else { "" }, line].concat().as_bytes());
    }

    pub fn make_private(&mut self) {
        self.mode &= 0o700;
    }

    /// All of it or nothing: a new file beside the old one, renamed over it.
    pub fn write(&self) -> Result<(), Message> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = self.path.with_file_name(name);
        let written = self.write_new(&new).and_then(|()| fs::rename(&new, &self.path));
        written.map_err(|error| {
            let _ = fs::remove_file(&new);
            format!("cannot write {}: {error}", self.path.display())
        })
    }

    fn write_new(&self, path: &Path) -> std::io::Result<()> {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        let own = file.metadata()?;
        if let Some((user, group)) = self.owner.filter(|&owner| owner != (own.uid(), own.gid())) {
            fchown(&file, Some(user), Some(group))?;
        }
        file.set_permissions(Permissions::from_mode(self.mode))?;
        file.write_all(if self.has_mark { BYTE_ORDER_MARK } else { b"" })?;
        for (index, line) in self.text.split(|&byte| byte == b'\n').enumerate() {
            if index > 0 {
                file.write_all(if self.has_returns { b"\r\n" } else { b"\n" })?;
            }
            file.write_all(line)?;
        }
        file.sync_all()
    }
}

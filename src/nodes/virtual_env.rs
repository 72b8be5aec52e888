//! The virtual environments of the nodes' packages: code in them that runs without being imported.
//!
//! Python reads `.pth` files, `sitecustomize` and `usercustomize` at every start (site.py), and a compiled file instead
//! of its source. All of an environment is far too much to digest: PyTorch alone has gigabytes. Which packages are in
//! it is known by their metadata.

use super::quarantine;
use super::tree::git::ends_with;
use super::tree::{LimitExceeded, Tree, TreeHasher, TreeLimits, WalkEntry, join, kind_at, walk};
use crate::sys::fs::{self, DescriptorPath, Freshness, Stat};
use crate::sys::{Errno, UserId, io};
use crate::text::Escaped;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// PyTorch with everything around it has 50 000 files; most are only named.
const LIMITS: TreeLimits = TreeLimits {
    label: b"takumi-init environment 1\0",
    entries: 500_000,
    levels: 64,
    gibibytes: 4,
    mebibytes_of_names: 32,
    advice: "remove the environment, and install the nodes' packages again",
};

const PYVENV_CFG: &CStr = c"pyvenv.cfg";
/// Where the directories of packages lie, one for each version of Python.
const LIBRARIES: [&[&CStr]; 3] = [&[c"lib"], &[c"lib64"], &[c"local", c"lib"]];
const PACKAGES: [&CStr; 2] = [c"site-packages", c"dist-packages"];
/// Read at every start of Python, where they lie beside the packages; `.start` since 3.15 (PEP 829).
const READ_AT_START: [&[u8]; 3] = [b".pth", b".start", b".egg-link"];
/// Imported at every start of Python, as a module or a package.
const IMPORTED_AT_START: [&[u8]; 2] = [b"sitecustomize", b"usercustomize"];

/// Virtual environments that COMMAND may write, sorted: VIRTUAL_ENV (what it leads to), and every directory with a
/// `pyvenv.cfg` that is a volume or lies directly in one.
pub fn find_writable(volumes: &[CString], virtual_env: Option<&CStr>) -> Vec<CString> {
    let mut found: Vec<CString> = virtual_env.and_then(|path| resolve_virtual_env(path, volumes)).into_iter().collect();
    for path in volumes {
        let Ok(volume) = io::open_path(path).and_then(|volume| fs::open_directory_at(volume.as_fd(), c".")) else {
            continue;
        };
        if fs::stat_at(volume.as_fd(), PYVENV_CFG).is_ok() {
            found.extend(without_slashes(path));
        }
        // An error in the middle of a listing leaves what was found: the volume's own faults are told elsewhere.
        let _ = io::for_each_entry_of(volume.as_fd(), |name, kind| {
            let is_dot = name == b"." || name == b"..";
            if is_dot || quarantine::is_quarantined(name) || !matches!(kind, libc::DT_DIR | libc::DT_UNKNOWN) {
                return;
            }
            let Ok(name) = CString::new(name) else { return };
            let Ok(configuration) = CString::new(join(name.to_bytes(), PYVENV_CFG)) else { return };
            if fs::stat_at(volume.as_fd(), &configuration).is_ok() {
                let above = path.to_bytes();
                found.extend(CString::new(join(above.strip_suffix(b"/").unwrap_or(above), &name)));
            }
        });
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// VIRTUAL_ENV, where it is an environment and COMMAND's to write: a baked one has ten thousand compiled files that
/// stay.
fn resolve_virtual_env(path: &CStr, volumes: &[CString]) -> Option<CString> {
    let directory = io::open_path(path).ok()?;
    fs::stat_at(directory.as_fd(), PYVENV_CFG).ok()?;
    let mut buffer = [0; 4096];
    let real = DescriptorPath::of(directory.as_fd()).target(&mut buffer).unwrap_or(path.to_bytes());
    let real = without_slashes(&CString::new(real).ok()?)?;
    let lies_in = |volume: &CString| crate::path::is_within(real.to_bytes(), volume.to_bytes());
    (volumes.iter().any(lies_in) || is_writable_by_app(directory.as_fd())).then_some(real)
}

/// Not by container root alone, who asks this, and not where the filesystem is read-only.
fn is_writable_by_app(directory: BorrowedFd<'_>) -> bool {
    let is_owned_by_root = |stat: Stat| stat.uid == UserId(0) && stat.mode & 0o022 == 0;
    fs::may_write(directory).is_ok() && !fs::stat(directory, Freshness::Cached).is_ok_and(is_owned_by_root)
}

fn without_slashes(path: &CStr) -> Option<CString> {
    let mut bytes = path.to_bytes();
    while let [rest @ .., b'/'] = bytes {
        bytes = rest;
    }
    CString::new(bytes).ok()
}

/// What of an environment is code that runs by itself: `.pth`, `sitecustomize`, `usercustomize`, every compiled file,
/// the Python that is started and programs in place of the image's; and the metadata of each package, which lies in
/// `NAME-VERSION.dist-info`. The tree is named by the environment's path.
///
/// Errors: the kernel's for the environment itself; EINVAL for a path that names no directory below another.
pub fn read_tree(environment: &CStr) -> Result<Tree, Errno> {
    let path = without_slashes(environment).unwrap_or_default();
    let bytes = path.to_bytes();
    let slash = bytes.iter().rposition(|&byte| byte == b'/').ok_or(Errno(libc::EINVAL))?;
    let (above, name) = bytes.split_at(slash + 1);
    let (Ok(above), Ok(name)) = (CString::new(above), CString::new(name)) else { return Err(Errno(libc::EINVAL)) };
    let above = io::open_path(&above)?;
    let mut hasher = TreeHasher::new(LIMITS);
    let Some(root) = enter_directory(&mut hasher, above.as_fd(), &name, name.to_bytes(), 0).unwrap_or(None) else {
        return match kind_at(above.as_fd(), &name)? {
            // A link, or a directory that cannot be entered: that is among the faults.
            libc::DT_LNK | libc::DT_DIR => Ok(hasher.into_tree(path, above)),
            _ => Err(Errno(libc::ENOTDIR)),
        };
    };
    let _ = hash_environment(&mut hasher, root.as_fd());
    Ok(hasher.into_tree(path, root))
}

fn hash_environment(hasher: &mut TreeHasher, root: BorrowedFd<'_>) -> Result<(), LimitExceeded> {
    // What Python is started, and whether other packages count too.
    hash_if_present(hasher, root, PYVENV_CFG, PYVENV_CFG.to_bytes())?;
    if let Some(programs) = enter_directory(hasher, root, c"bin", b"bin", 1)? {
        for entry in hasher.list_directory(programs.as_fd(), b"bin")? {
            if shadows_program(&entry.name) {
                hasher.hash_entry(programs.as_fd(), &entry.name, entry.kind, &join(b"bin", &entry.name))?;
            }
        }
    }
    for names in LIBRARIES {
        if let Some((library, path)) = enter_path(hasher, root, names)? {
            for entry in hasher.list_directory(library.as_fd(), &path)? {
                if entry.name.to_bytes().starts_with(b"python3") {
                    let path = join(&path, &entry.name);
                    if let Some(version) =
                        enter_directory(hasher, library.as_fd(), &entry.name, &path, names.len() + 1)?
                    {
                        hash_packages(hasher, version.as_fd(), &path)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// An environment's programs stand first in PATH: one of these names runs in place of the image's.
fn shadows_program(program: &CStr) -> bool {
    let name = program.to_bytes();
    name.starts_with(b"python")
        || crate::path::program_directories()
            .any(|directory| CString::new(join(directory.as_bytes(), program)).is_ok_and(|path| io::exists(&path)))
}

fn hash_packages(hasher: &mut TreeHasher, version: BorrowedFd<'_>, path: &[u8]) -> Result<(), LimitExceeded> {
    for name in PACKAGES {
        let path = join(path, name);
        let levels = path.split(|&byte| byte == b'/').count();
        let Some(directory) = enter_directory(hasher, version, name, &path, levels)? else { continue };
        walk(hasher, directory.as_fd(), &path, |hasher, found| {
            let inner = found.path.get(path.len() + 1..).unwrap_or_default();
            let counts = is_digested(inner, found);
            if counts && found.kind == libc::DT_LNK {
                hasher.add_fault(format!("{} is a link: replace it by what it points to", Escaped(found.path)));
            }
            // What other links lead to is imported or not, as any package is.
            counts || found.kind == libc::DT_LNK
        })?;
    }
    Ok(())
}

/// Whether the path, from the directory of packages on, is of something that is digested.
fn is_digested(inner: &[u8], found: &WalkEntry<'_>) -> bool {
    let parts: Vec<&[u8]> = inner.splitn(3, |&byte| byte == b'/').collect();
    let of_package = |first: &[u8], name: &[u8]| match name {
        b"METADATA" => ends_with(first, b".dist-info"),
        b"PKG-INFO" => ends_with(first, b".egg-info"),
        _ => false,
    };
    let by_place = match parts[..] {
        [first, ..] if IMPORTED_AT_START.iter().any(|name| first.starts_with(name)) => true,
        [name] => {
            READ_AT_START.iter().any(|ending| ends_with(name, ending))
                || (found.kind != libc::DT_DIR && (ends_with(name, b".egg-info") || ends_with(name, b".dist-info")))
        }
        [first, name] => of_package(first, name),
        _ => false,
    };
    let is_cache = found.kind == libc::DT_LNK && found.name == c"__pycache__";
    by_place || is_cache || ends_with(inner, b".pyc")
}

/// Opens a directory that need not be there. A link in its place is a fault, but for `lib64`, which is `lib` once more.
fn enter_directory(
    hasher: &mut TreeHasher,
    directory: BorrowedFd<'_>,
    name: &CStr,
    path: &[u8],
    levels: usize,
) -> Result<Option<OwnedFd>, LimitExceeded> {
    match kind_at(directory, name) {
        Ok(libc::DT_DIR) => return hasher.open_directory(directory, name, path, levels),
        Ok(kind) => {
            hasher.hash_entry(directory, name, kind, path)?;
            let mut target = [0; 8];
            let is_lib = fs::read_link_at(directory, name, &mut target) == Ok(b"lib");
            if !(path == b"lib64" && is_lib) {
                hasher.reject_link(path, "replace it by what it points to");
            }
        }
        Err(Errno(libc::ENOENT)) => {}
        Err(errno) => hasher.add_unreadable(path, errno),
    }
    Ok(None)
}

fn enter_path(
    hasher: &mut TreeHasher,
    root: BorrowedFd<'_>,
    names: &[&CStr],
) -> Result<Option<(OwnedFd, Vec<u8>)>, LimitExceeded> {
    let mut reached: Option<(OwnedFd, Vec<u8>)> = None;
    for (level, name) in names.iter().enumerate() {
        let (above, path) = reached.as_ref().map_or((root, &[][..]), |(above, path)| (above.as_fd(), path));
        let path = join(path, name);
        let Some(directory) = enter_directory(hasher, above, name, &path, level + 1)? else { return Ok(None) };
        reached = Some((directory, path));
    }
    Ok(reached)
}

/// Takes in a file that need not be there.
fn hash_if_present(
    hasher: &mut TreeHasher,
    directory: BorrowedFd<'_>,
    name: &CStr,
    path: &[u8],
) -> Result<(), LimitExceeded> {
    match kind_at(directory, name) {
        Ok(kind) => hasher.hash_entry(directory, name, kind, path)?,
        Err(Errno(libc::ENOENT)) => {}
        Err(errno) => hasher.add_unreadable(path, errno),
    }
    Ok(())
}

#[cfg(test)]
mod tests;

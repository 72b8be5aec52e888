//! The virtual environments of the nodes' packages: code in them that runs without being imported.
//!
//! Python reads `.pth` files, `sitecustomize` and `usercustomize` at every start (site.py), and a compiled file instead of its
//! source. All of an environment is far too much to digest: PyTorch alone has gigabytes. Which packages are in it is known by their
//! metadata.

use super::quarantine;
use super::tree::git::ends_with;
use super::tree::{Found, Gather, Limits, Over, Tree, beneath, kind_at, walk};
use crate::sys::fs::{self, DescriptorPath, Freshness, Stat};
use crate::sys::{Errno, UserId, io};
use crate::text::Escaped;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// PyTorch with everything around it has 50 000 files; most are only named.
const LIMITS: Limits = Limits {
    label: b"takumi-init environment 1\0",
    entries: 500_000,
    levels: 64,
    gibibytes: 4,
    mebibytes_of_names: 32,
    advice: "remove the environment, and install the nodes' packages again",
};

const CONFIGURATION: &CStr = c"pyvenv.cfg";
/// Where the directories of packages lie, one for each version of Python.
const LIBRARIES: [&[&CStr]; 3] = [&[c"lib"], &[c"lib64"], &[c"local", c"lib"]];
const PACKAGES: [&CStr; 2] = [c"site-packages", c"dist-packages"];
/// Read at every start of Python, where they lie beside the packages; `.start` since 3.15 (PEP 829).
const READ_AT_START: [&[u8]; 3] = [b".pth", b".start", b".egg-link"];
/// Imported at every start of Python, as a module or a package.
const IMPORTED_AT_START: [&[u8]; 2] = [b"sitecustomize", b"usercustomize"];

/// Virtual environments that COMMAND may write, sorted: VIRTUAL_ENV (what it leads to), and every directory with a `pyvenv.cfg` that
/// is a volume or lies directly in one.
pub fn environments(volumes: &[CString], virtual_env: Option<&CStr>) -> Vec<CString> {
    let mut found: Vec<CString> = virtual_env.and_then(|path| named(path, volumes)).into_iter().collect();
    for path in volumes {
        let Ok(volume) = io::open_path(path).and_then(|volume| fs::open_directory_at(volume.as_fd(), c".")) else {
            continue;
        };
        if fs::stat_at(volume.as_fd(), CONFIGURATION).is_ok() {
            found.extend(without_slashes(path));
        }
        // An error in the middle of a listing leaves what was found: the volume's own faults are told elsewhere.
        let _ = io::for_each_entry_of(volume.as_fd(), |name, kind| {
            let is_way = name == b"." || name == b"..";
            if is_way || quarantine::is_aside(name) || !matches!(kind, libc::DT_DIR | libc::DT_UNKNOWN) {
                return;
            }
            let Ok(name) = CString::new(name) else { return };
            let Ok(configuration) = CString::new(beneath(name.to_bytes(), CONFIGURATION)) else { return };
            if fs::stat_at(volume.as_fd(), &configuration).is_ok() {
                let above = path.to_bytes();
                found.extend(CString::new(beneath(above.strip_suffix(b"/").unwrap_or(above), &name)));
            }
        });
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// VIRTUAL_ENV, where it is an environment and COMMAND's to write: a baked one has ten thousand compiled files that stay.
fn named(path: &CStr, volumes: &[CString]) -> Option<CString> {
    let directory = io::open_path(path).ok()?;
    fs::stat_at(directory.as_fd(), CONFIGURATION).ok()?;
    let mut buffer = [0; 4096];
    let real = DescriptorPath::of(directory.as_fd()).target(&mut buffer).unwrap_or(path.to_bytes());
    let real = without_slashes(&CString::new(real).ok()?)?;
    let lies_in = |volume: &CString| crate::path::is_within(real.to_bytes(), volume.to_bytes());
    (volumes.iter().any(lies_in) || may_be_written(directory.as_fd())).then_some(real)
}

/// Not by container root alone, who asks this, and not where the filesystem is read-only.
fn may_be_written(directory: BorrowedFd<'_>) -> bool {
    let is_roots = |stat: Stat| stat.uid == UserId(0) && stat.mode & 0o022 == 0;
    fs::may_write(directory).is_ok() && !fs::stat(directory, Freshness::Cached).is_ok_and(is_roots)
}

fn without_slashes(path: &CStr) -> Option<CString> {
    let mut bytes = path.to_bytes();
    while let [rest @ .., b'/'] = bytes {
        bytes = rest;
    }
    CString::new(bytes).ok()
}

/// What of an environment is code that runs by itself: `.pth`, `sitecustomize`, `usercustomize`, every compiled file, the Python that
/// is started and programs in place of the image's; and the metadata of each package, which lies in `NAME-VERSION.dist-info`. The
/// tree is named by the environment's path.
///
/// Errors: the kernel's for the environment itself; EINVAL for a path that names no directory below another.
pub fn read(environment: &CStr) -> Result<Tree, Errno> {
    let path = without_slashes(environment).unwrap_or_default();
    let bytes = path.to_bytes();
    let slash = bytes.iter().rposition(|&byte| byte == b'/').ok_or(Errno(libc::EINVAL))?;
    let (above, name) = bytes.split_at(slash + 1);
    let (Ok(above), Ok(name)) = (CString::new(above), CString::new(name)) else { return Err(Errno(libc::EINVAL)) };
    let above = io::open_path(&above)?;
    let mut gather = Gather::new(LIMITS);
    let Some(root) = down(&mut gather, above.as_fd(), &name, name.to_bytes(), 0).unwrap_or(None) else {
        return match kind_at(above.as_fd(), &name)? {
            // A link, or a directory that cannot be entered: that is among the faults.
            libc::DT_LNK | libc::DT_DIR => Ok(gather.into_tree(path, above)),
            _ => Err(Errno(libc::ENOTDIR)),
        };
    };
    let _ = gather_all(&mut gather, root.as_fd());
    Ok(gather.into_tree(path, root))
}

fn gather_all(gather: &mut Gather, root: BorrowedFd<'_>) -> Result<(), Over> {
    // What Python is started, and whether other packages count too.
    take(gather, root, CONFIGURATION, CONFIGURATION.to_bytes())?;
    if let Some(programs) = down(gather, root, c"bin", b"bin", 1)? {
        for entry in gather.list(programs.as_fd(), b"bin")? {
            if is_first(&entry.name) {
                gather.entry(programs.as_fd(), &entry.name, entry.kind, &beneath(b"bin", &entry.name))?;
            }
        }
    }
    for names in LIBRARIES {
        if let Some((library, path)) = down_all(gather, root, names)? {
            for entry in gather.list(library.as_fd(), &path)? {
                if entry.name.to_bytes().starts_with(b"python3") {
                    let path = beneath(&path, &entry.name);
                    if let Some(version) = down(gather, library.as_fd(), &entry.name, &path, names.len() + 1)? {
                        packages(gather, version.as_fd(), &path)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// An environment's programs stand first in PATH: one of these names runs in place of the image's.
fn is_first(program: &CStr) -> bool {
    let name = program.to_bytes();
    name.starts_with(b"python")
        || crate::path::of_programs()
            .any(|directory| CString::new(beneath(directory.as_bytes(), program)).is_ok_and(|path| io::exists(&path)))
}

fn packages(gather: &mut Gather, version: BorrowedFd<'_>, path: &[u8]) -> Result<(), Over> {
    for name in PACKAGES {
        let path = beneath(path, name);
        let levels = path.split(|&byte| byte == b'/').count();
        let Some(directory) = down(gather, version, name, &path, levels)? else { continue };
        walk(gather, directory.as_fd(), &path, |gather, found| {
            let inner = found.path.get(path.len() + 1..).unwrap_or_default();
            let counts = counts(inner, found);
            if counts && found.kind == libc::DT_LNK {
                gather.fault(format!("{} is a link: put there what it leads to", Escaped(found.path)));
            }
            // What other links lead to is imported or not, as any package is.
            counts || found.kind == libc::DT_LNK
        })?;
    }
    Ok(())
}

/// Whether the path, from the directory of packages on, is of something that is digested.
fn counts(inner: &[u8], found: &Found<'_>) -> bool {
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
fn down(
    gather: &mut Gather,
    directory: BorrowedFd<'_>,
    name: &CStr,
    path: &[u8],
    levels: usize,
) -> Result<Option<OwnedFd>, Over> {
    match kind_at(directory, name) {
        Ok(libc::DT_DIR) => return gather.enter(directory, name, path, levels),
        Ok(kind) => {
            gather.entry(directory, name, kind, path)?;
            let mut target = [0; 8];
            let is_lib = fs::read_link_at(directory, name, &mut target) == Ok(b"lib");
            if !(path == b"lib64" && is_lib) {
                gather.refuse_link(path, "put there what it leads to");
            }
        }
        Err(Errno(libc::ENOENT)) => {}
        Err(errno) => gather.unreadable(path, errno),
    }
    Ok(None)
}

fn down_all(gather: &mut Gather, root: BorrowedFd<'_>, names: &[&CStr]) -> Result<Option<(OwnedFd, Vec<u8>)>, Over> {
    let mut reached: Option<(OwnedFd, Vec<u8>)> = None;
    for (level, name) in names.iter().enumerate() {
        let (above, path) = reached.as_ref().map_or((root, &[][..]), |(above, path)| (above.as_fd(), path));
        let path = beneath(path, name);
        let Some(directory) = down(gather, above, name, &path, level + 1)? else { return Ok(None) };
        reached = Some((directory, path));
    }
    Ok(reached)
}

/// Takes in a file that need not be there.
fn take(gather: &mut Gather, directory: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<(), Over> {
    match kind_at(directory, name) {
        Ok(kind) => gather.entry(directory, name, kind, path)?,
        Err(Errno(libc::ENOENT)) => {}
        Err(errno) => gather.unreadable(path, errno),
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! Where the scanner is, and what it is: a program, or a script of a Python that is then run apart from its
//! surroundings.

use super::Scanner;
use crate::machine::trust::{Trust, TrustError, check_tree, resolve_trusted, resolve_trusted_directory};
use crate::path::program_directories;
use crate::sys::{Errno, fs, io};
use crate::text::Escaped;
use std::ffi::CString;
use std::os::fd::AsFd;

/// `-I`: no PYTHON… variable, no user's packages, nothing from the working directory (it implies `-E`, `-P` and `-s`). `-B`: no
/// compiled file is written.
const ISOLATION_OPTIONS: [&str; 2] = ["-I", "-B"];

pub(super) fn locate(command: &[u8], trust: Trust) -> Result<Scanner, String> {
    let path = resolve_command(command)?;
    if resolve_trusted(&path, trust).is_err_and(|trouble| trouble.is_not_found()) {
        let path = Escaped(&path);
        return Err(format!("the scanner {path} does not exist: {INSTALL_HINT}"));
    }
    let beginning = read_magic(&path, trust)?;
    let text = |bytes: &[u8]| {
        CString::new(bytes).map_err(|_| format!("the scanner's path has a NUL byte: {}", Escaped(bytes)))
    };
    let script = text(&path)?;
    if beginning.starts_with(b"\x7fELF") {
        return Ok(Scanner { program: script.clone(), arguments: vec![script] });
    }
    let interpreter = parse_interpreter(&path, &beginning)?;
    if !read_magic(&interpreter, trust)?.starts_with(b"\x7fELF") {
        return Err(format!(
            "{}, the Python of the scanner {}, is not a program",
            Escaped(&interpreter),
            Escaped(&path)
        ));
    }
    verify_library(&interpreter, trust).map_err(|trouble| trouble.description())?;
    let program = text(&interpreter)?;
    let mut arguments = vec![program.clone()];
    for option in ISOLATION_OPTIONS {
        arguments.push(text(option.as_bytes())?);
    }
    arguments.push(script);
    Ok(Scanner { program, arguments })
}

const INSTALL_HINT: &str = "install Bandit in the image, or set TAKUMI_SCAN_COMMAND";

/// The absolute path of a command.
fn resolve_command(command: &[u8]) -> Result<Vec<u8>, String> {
    let shown = Escaped(command);
    if command.is_empty() || command.iter().any(|byte| byte.is_ascii_whitespace() || *byte == 0) {
        return Err(format!("TAKUMI_SCAN_COMMAND is \"{shown}\": expected one word, the scanner's name or path"));
    }
    if command.starts_with(b"/") {
        return Ok(command.to_vec());
    }
    if command.contains(&b'/') {
        return Err(format!("TAKUMI_SCAN_COMMAND is {shown}: a path must begin with /"));
    }
    // COMMAND's PATH could lead into what is scanned.
    let places: Vec<&str> = program_directories().collect();
    let paths = places.iter().map(|place| [place.as_bytes(), b"/", command].concat());
    let found = paths.into_iter().find(|path| CString::new(path.as_slice()).is_ok_and(|path| io::exists(&path)));
    found.ok_or_else(|| format!("the scanner {shown} is not in {}: {INSTALL_HINT}", places.join(":")))
}

/// What an executable file begins with, once every step of the way to it was looked at.
fn read_magic(path: &[u8], trust: Trust) -> Result<Vec<u8>, String> {
    let file = resolve_trusted(path, trust).map_err(|trouble| trouble.description())?;
    let read = || -> Result<Vec<u8>, Errno> {
        let name = CString::new(file.as_slice()).map_err(|_| Errno(libc::EINVAL))?;
        let pinned = io::open_path(&name)?;
        if !fs::stat(pinned.as_fd(), fs::Freshness::Asked)?.is_regular() {
            return Err(Errno(libc::EACCES));
        }
        fs::may_execute_at(pinned.as_fd(), &name)?;
        let mut buffer = [0; 512];
        Ok(io::read_into(&name, &mut buffer)?.to_vec())
    };
    read().map_err(|errno| {
        let path = Escaped(path);
        format!("the scanner's {path} cannot be executed and read by COMMAND's user: {errno} (chmod 0755)")
    })
}

/// The Python that a script names in its first line.
fn parse_interpreter(script: &[u8], beginning: &[u8]) -> Result<Vec<u8>, String> {
    let line = beginning.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut words =
        line.strip_prefix(b"#!").unwrap_or_default().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let interpreter = match base_name(first) {
        b"env" => resolve_command(words.next().unwrap_or_default())?,
        _ => first.to_vec(),
    };
    let version = base_name(&interpreter).strip_prefix(b"python");
    let is_python = version.is_some_and(|version| version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'));
    if is_python && interpreter.starts_with(b"/") {
        return Ok(interpreter);
    }
    let (script, line) = (Escaped(script), Escaped(line));
    Err(format!(
        "the scanner {script} is neither a program nor a Python script (it begins with \"{line}\"): {INSTALL_HINT}"
    ))
}

/// What a Python loads: its own library and, of a virtual environment, what is installed there.
fn verify_library(interpreter: &[u8], trust: Trust) -> Result<(), TrustError> {
    let above = |path: &[u8]| parent(parent(path)).to_vec();
    let mut places = vec![above(interpreter)];
    let mut bases = vec![above(&resolve_trusted(interpreter, trust)?)];
    // pyvenv.cfg lies beside bin or beside python (https://docs.python.org/3/library/site.html).
    let mut virtual_environment = false;
    for directory in [above(interpreter), parent(interpreter).to_vec()] {
        resolve_trusted_directory(&directory, trust)?;
        let path = [directory.as_slice(), b"/pyvenv.cfg"].concat();
        let file = match resolve_trusted(&path, trust) {
            Ok(file) => file,
            Err(trouble) if trouble.is_not_found() => continue,
            Err(trouble) => return Err(trouble),
        };
        let name = CString::new(file).map_err(|_| TrustError::System(path.clone(), Errno(libc::EINVAL)))?;
        let content = io::read_whole(&name, 65_536).map_err(|errno| TrustError::System(path, errno))?;
        for (key, value) in content.split(|&byte| byte == b'\n').filter_map(parse_cfg_line) {
            match key.to_ascii_lowercase().as_slice() {
                b"home" => bases.push(parent(value).to_vec()),
                b"include-system-site-packages" if value.eq_ignore_ascii_case(b"true") => places.extend(bases.clone()),
                _ => {}
            }
        }
        virtual_environment = true;
    }
    if !virtual_environment {
        // Debian's Python has its packages there.
        places.extend([b"/usr".to_vec(), b"/usr/local".to_vec()]);
    }
    for (prefix, packages) in places.iter().map(|place| (place, true)).chain(bases.iter().map(|base| (base, false))) {
        for library in [b"/lib".as_slice(), b"/lib64"] {
            verify_versions(&[prefix, library].concat(), packages, trust)?;
        }
    }
    Ok(())
}

/// Each `python3…` in a library directory: what is installed for it, or what comes with it.
fn verify_versions(library: &[u8], packages: bool, trust: Trust) -> Result<(), TrustError> {
    let library = match resolve_trusted_directory(library, trust) {
        Ok(library) => library,
        Err(trouble) if trouble.is_not_found() => return Ok(()),
        Err(trouble) => return Err(trouble),
    };
    let at = |errno| TrustError::System(library.clone(), errno);
    let mut versions = Vec::new();
    let name = CString::new(library.as_slice()).map_err(|_| at(Errno(libc::EINVAL)))?;
    io::for_each_name(&name, |name| {
        if name.starts_with(b"python3") {
            versions.push([library.as_slice(), b"/", name].concat());
        }
    })
    .map_err(at)?;
    const PACKAGES: [&[u8]; 2] = [b"site-packages", b"dist-packages"];
    for version in versions {
        let wanted = PACKAGES.iter().filter(|_| packages).map(|name| [version.as_slice(), b"/", name].concat());
        for place in wanted.chain((!packages).then(|| version.clone())) {
            match resolve_trusted_directory(&place, trust) {
                Ok(place) => check_tree(&place, if packages { &[] } else { &PACKAGES }, trust)?,
                Err(trouble) if trouble.is_not_found() => {}
                Err(trouble) => return Err(trouble),
            }
        }
    }
    Ok(())
}

/// A line of pyvenv.cfg.
fn parse_cfg_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = line.iter().position(|&byte| byte == b'=')?;
    Some((line.get(..equals)?.trim_ascii(), line.get(equals + 1..)?.trim_ascii()))
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// The directory that a path's last name is in.
fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    path.get(..slash).unwrap_or_default()
}

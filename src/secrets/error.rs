//! What is wrong with a secret: where, and why. Never a value, a part of one or a key.

use super::cipher;
use crate::sys::Errno;
use crate::sys::secret::SecretError;
use crate::text::Escaped;
use std::ffi::CString;
use std::fmt;

/// One thing that ends the start.
#[derive(Debug)]
pub struct Error {
    place: String,
    cause: Cause,
}

/// Why.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // each says what it is
pub enum Cause {
    #[error("{0}{fix}", fix = fix_of(.0))]
    Unread(#[from] SecretError),
    #[error("the line sets no variable (NAME=value, or # before a comment)")]
    NoAssignment,
    #[error(
        "its quote does not end, or something stands behind the end (close it; a value with one kind of quote goes into another)"
    )]
    Quote,
    #[error("it was set in line {0} already (remove one of them)")]
    Duplicate(usize),
    #[error("a file may not set it (set it in the container's environment)")]
    Denied,
    #[error("it holds a NUL byte, which no variable can (remove it)")]
    Nul,
    #[error(
        "$( in a value that is neither encrypted nor in single quotes: dotenvx would run it, init runs nothing (put the value into single quotes, or encrypt it)"
    )]
    Command,
    #[error("it is encrypted, and no key is there (set {0}, or {0}_FILE to the file of the key)")]
    NoKey(String),
    #[error("it {0} (encrypt the value again for this file's public key, or give the private key that belongs to it)")]
    Cipher(cipher::Error),
    #[error("it {0}")]
    PublicKey(cipher::Error),
    #[error("it does not belong to the private key in {0} (give the private key of this file)")]
    OtherKey(String),
    #[error("it {0} (give one key, or several with commas)")]
    Key(cipher::Error),
    #[error(
        "it lies in the volume {0}, where COMMAND could put something else (mount it elsewhere, as under /run/secrets)"
    )]
    InVolume(String),
    #[error("{0} is set too (leave one of the two)")]
    Both(String),
    #[error("it names no absolute path (a value is none: it goes into the file)")]
    NoPath,
    #[error("neither {0} nor {0}_FILE is set (set one, or take {0} out of TAKUMI_SECRETS)")]
    Neither(String),
}

impl Error {
    /// Of a line in a file.
    pub fn of_line(path: &[u8], line: usize, name: Option<&[u8]>, cause: Cause) -> Error {
        Error { place: place(path, line, name), cause }
    }

    /// Of a whole file.
    pub fn of_file(path: &[u8], cause: Cause) -> Error {
        Error { place: Escaped(path).to_string(), cause }
    }

    /// Of a variable of the environment.
    pub fn of_variable(name: &str, cause: Cause) -> Error {
        Error { place: name.to_owned(), cause }
    }

    /// Of a variable that names a file. What is no path may be the secret itself, put into the wrong variable.
    pub fn of_file_variable(name: &str, path: &[u8], cause: Cause) -> Error {
        match path.first() {
            Some(b'/') => Error { place: format!("{name}=\"{}\"", Escaped(path)), cause },
            _ => Error::of_variable(name, cause),
        }
    }
}

/// `FILE:LINE, NAME`.
pub fn place(path: &[u8], line: usize, name: Option<&[u8]>) -> String {
    match name {
        Some(name) => format!("{}:{line}, {}", Escaped(path), Escaped(name)),
        None => format!("{}:{line}", Escaped(path)),
    }
}

/// The path in a variable that names a file.
pub fn absolute(path: &[u8]) -> Result<CString, Cause> {
    let path = if path.starts_with(b"/") { path } else { return Err(Cause::NoPath) };
    CString::new(path).map_err(|_| Cause::NoPath)
}

fn fix_of(unread: &SecretError) -> &'static str {
    match unread {
        SecretError::Kernel(Errno(libc::EACCES | libc::EPERM)) => {
            " (the container lacks CAP_DAC_READ_SEARCH: add --cap-add DAC_READ_SEARCH; where it is not started as root, make the file readable for its user)"
        }
        SecretError::Kernel(Errno(libc::ENOENT | libc::ENOTDIR)) => " (mount it, or correct the path)",
        _ => "",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use {}: {}", self.place, self.cause)
    }
}

impl std::error::Error for Error {}

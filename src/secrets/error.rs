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

#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("{0}{fix}", fix = fix_for(.0))]
    Unread(#[from] SecretError),
    #[error("the line is not NAME=value (start a comment with #)")]
    NoAssignment,
    #[error(
        "its quote is not closed, or text follows the closing quote (close it; put a value that contains one kind of quote into another)"
    )]
    Quote,
    #[error("it is already set in line {0} (remove one of them)")]
    Duplicate(usize),
    #[error("a file must not set it (set it in the container's environment)")]
    Denied,
    #[error("it contains a NUL byte (remove it)")]
    Nul,
    #[error(
        "command substitution $( is not supported: dotenvx would run it, init does not (put the value into single quotes, or encrypt it)"
    )]
    Command,
    #[error("it is encrypted, but there is no key (set {0}, or set {0}_FILE to the key's file)")]
    NoKey(String),
    #[error("it {0} (encrypt the value again for this file's public key, or set the private key that belongs to it)")]
    Cipher(cipher::Error),
    #[error("it {0}")]
    PublicKey(cipher::Error),
    #[error("it does not belong to the private key in {0} (set the private key of this file)")]
    OtherKey(String),
    #[error("it {0} (set one key, or several with commas)")]
    Key(cipher::Error),
    #[error("it is in the volume {0}, where COMMAND could replace it (mount it elsewhere, such as under /run/secrets)")]
    InVolume(String),
    #[error("{0} is set too (unset one of the two)")]
    Both(String),
    #[error("it is not an absolute path (put the value into a file and set the path)")]
    NoPath,
    #[error("neither {0} nor {0}_FILE is set (set one, or remove {0} from TAKUMI_SECRETS)")]
    Neither(String),
}

impl Error {
    /// Of a line in a file.
    pub fn in_line(path: &[u8], line: usize, name: Option<&[u8]>, cause: Cause) -> Error {
        Error { place: location(path, line, name), cause }
    }

    /// Of a whole file.
    pub fn in_file(path: &[u8], cause: Cause) -> Error {
        Error { place: Escaped(path).to_string(), cause }
    }

    /// Of a variable of the environment.
    pub fn in_variable(name: &str, cause: Cause) -> Error {
        Error { place: name.to_owned(), cause }
    }

    /// Of a variable that names a file. What is no path may be the secret itself, put into the wrong variable.
    pub fn in_file_variable(name: &str, path: &[u8], cause: Cause) -> Error {
        match path.first() {
            Some(b'/') => Error { place: format!("{name}=\"{}\"", Escaped(path)), cause },
            _ => Error::in_variable(name, cause),
        }
    }
}

pub fn location(path: &[u8], line: usize, name: Option<&[u8]>) -> String {
    match name {
        Some(name) => format!("{}:{line}, {}", Escaped(path), Escaped(name)),
        None => format!("{}:{line}", Escaped(path)),
    }
}

/// The path in a variable that names a file.
pub fn absolute_path(path: &[u8]) -> Result<CString, Cause> {
    let path = if path.starts_with(b"/") { path } else { return Err(Cause::NoPath) };
    CString::new(path).map_err(|_| Cause::NoPath)
}

fn fix_for(unread: &SecretError) -> &'static str {
    match unread {
        SecretError::Kernel(Errno(libc::EACCES | libc::EPERM)) => {
            " (the container lacks CAP_DAC_READ_SEARCH: add --cap-add DAC_READ_SEARCH; if init does not start as root, make the file readable for its user)"
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

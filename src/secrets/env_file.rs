//! One .env file of TAKUMI_ENV_FILE: its lines judged, its values decrypted.

use super::cipher::{self, PublicKey};
use super::dotenv::{self, Assignment, Quote, SyntaxFault};
use super::error::{Cause, Error, location};
use super::keys::{self, PUBLIC_PREFIX, PrivateKeys};
use super::{Variable, set_variable};
use crate::sys::secret;
use log::warn;
use std::collections::BTreeMap;
use std::ffi::CStr;
use zeroize::Zeroizing;

/// Far more than an environment may hold (`man 2 execve`).
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Reads the file; what it sets takes the place of what earlier ones set, and everything that is wrong is told.
pub fn read(path: &CStr, environment: &[&CStr], variables: &mut Vec<Variable>, errors: &mut Vec<Error>) {
    let content = match secret::read(path, MAX_BYTES) {
        Ok(content) => content,
        Err(unread) => return errors.push(Error::in_file(path.to_bytes(), unread.into())),
    };
    let text = dotenv::normalise(&content);
    let lines: Vec<_> = dotenv::parse(&text).collect();
    let mut file = EnvFileReader {
        path: path.to_bytes(),
        key: find_key(path, &lines, environment, errors),
        set_in_line: BTreeMap::new(),
    };
    for line in &lines {
        match line.as_ref().map_err(|fault| file.syntax_error(fault)).and_then(|line| file.parse_variable(line)) {
            Ok(None) => {}
            Ok(Some(variable)) => set_variable(variables, variable),
            Err(error) => errors.push(error),
        }
    }
}

type ParsedLine<'a> = Result<Assignment<'a>, SyntaxFault<'a>>;

struct EnvFileReader<'a> {
    path: &'a [u8],
    key: KeyLookup,
    /// Names, and the lines that set them.
    set_in_line: BTreeMap<&'a [u8], usize>,
}

enum KeyLookup {
    Found(PrivateKeys),
    /// The variable that should hold it is not set.
    NotSet(String),
    /// It was looked for and cannot be used: that is told already, or will not matter to the next lines.
    Unusable,
}

/// The key by the file's name; where there is none, by the name of the public key in the file (it may be mounted
/// anywhere).
fn find_key(path: &CStr, lines: &[ParsedLine<'_>], environment: &[&CStr], errors: &mut Vec<Error>) -> KeyLookup {
    let name = keys::variable_for_file(path.to_bytes());
    let mut assignments = lines.iter().flatten();
    if !assignments.clone().any(|line| is_encrypted(line) || is_public_key(line)) {
        return KeyLookup::NotSet(name);
    }
    let beside = assignments.find(|line| is_public_key(line)).map(|line| keys::variable_for_public(line.name));
    for name in [Some(&name), beside.as_ref()].into_iter().flatten() {
        match keys::find_keys(name, environment) {
            Ok(Some(keys)) => return KeyLookup::Found(keys),
            Ok(None) => {}
            Err(error) => {
                errors.push(error);
                return KeyLookup::Unusable;
            }
        }
    }
    KeyLookup::NotSet(name)
}

fn is_encrypted(line: &Assignment<'_>) -> bool {
    line.raw.starts_with(cipher::PREFIX.as_bytes())
}

/// Whether the line holds a file's public key, which is no variable of COMMAND's.
pub fn is_public_key(line: &Assignment<'_>) -> bool {
    line.name.strip_prefix(PUBLIC_PREFIX.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"_"))
}

impl<'a> EnvFileReader<'a> {
    fn syntax_error(&self, fault: &SyntaxFault<'_>) -> Error {
        let cause = if fault.name.is_some() { Cause::Quote } else { Cause::NoAssignment };
        Error::in_line(self.path, fault.line, fault.name, cause)
    }

    /// The variable that a line sets: none where it holds the file's public key.
    fn parse_variable(&mut self, line: &Assignment<'a>) -> Result<Option<Variable>, Error> {
        let path = self.path;
        let value = match self.value(line) {
            Ok(value) => value,
            Err(cause) => return Err(Error::in_line(path, line.line, Some(line.name), cause)),
        };
        Ok(value.map(|value| Variable { name: line.name.to_vec(), value }))
    }

    fn value(&mut self, line: &Assignment<'a>) -> Result<Option<Zeroizing<Vec<u8>>>, Cause> {
        if let Some(&first) = self.set_in_line.get(line.name) {
            return Err(Cause::Duplicate(first));
        }
        self.set_in_line.insert(line.name, line.line);
        if is_public_key(line) {
            return self.check_public_key(&line.value()).map(|()| None);
        }
        if is_denied(line.name) {
            return Err(Cause::Denied);
        }
        let value = if is_encrypted(line) { self.decrypt_value(line)? } else { Some(self.plain_value(line)?) };
        match value {
            Some(value) if value.contains(&0) => Err(Cause::Nul),
            value => Ok(value),
        }
    }

    fn check_public_key(&mut self, digits: &[u8]) -> Result<(), Cause> {
        let public = PublicKey::parse(digits).map_err(Cause::PublicKey)?;
        match &self.key {
            KeyLookup::Found(keys) if !keys.match_public(&public) => {
                let cause = Cause::OtherKey(keys.source.clone());
                self.key = KeyLookup::Unusable;
                Err(cause)
            }
            _ => Ok(()),
        }
    }

    /// Nothing where the key itself is at fault, which is told once and not with every value.
    fn decrypt_value(&mut self, line: &Assignment<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, Cause> {
        let keys = match std::mem::replace(&mut self.key, KeyLookup::Unusable) {
            KeyLookup::Unusable => return Ok(None),
            KeyLookup::NotSet(name) => return Err(Cause::NoKey(name)),
            KeyLookup::Found(keys) => keys,
        };
        let value = keys::decrypt(&keys.keys, line.raw);
        self.key = KeyLookup::Found(keys);
        let value = value.map_err(Cause::Cipher)?;
        if line.quote != Quote::Single && dotenv::has_command(&value) {
            warn!(
                "{}: the decrypted value contains $(, which is passed through literally (dotenvx would run it)",
                location(self.path, line.line, Some(line.name))
            );
        }
        Ok(Some(value))
    }

    fn plain_value(&self, line: &Assignment<'_>) -> Result<Zeroizing<Vec<u8>>, Cause> {
        if line.has_command() {
            return Err(Cause::Command);
        }
        let place = || location(self.path, line.line, Some(line.name));
        if line.has_reference() {
            warn!(
                "{}: a $ is passed through literally (dotenvx would expand it; put the value into single quotes to silence this)",
                place()
            );
        }
        if line.colon {
            warn!("{}: dotenvx leaves lines with a colon unencrypted (write NAME=value)", place());
        }
        Ok(line.value())
    }
}

/// Names that steer the start, the loader, Python or the way out: who may write a file must not get that far.
pub fn is_denied(name: &[u8]) -> bool {
    let begins = |prefix: &[u8]| name.starts_with(prefix);
    matches!(name, b"PATH" | b"PUID" | b"PGID" | b"UMASK")
        || [&b"LD_"[..], b"PYTHON", b"TAKUMI_", b"DOTENV_"].into_iter().any(begins)
        || name.to_ascii_uppercase().ends_with(b"_PROXY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_steer_are_denied_and_names_like_them_are_not() {
        for name in
            ["PATH", "LD_PRELOAD", "PYTHONPATH", "HTTPS_PROXY", "no_proxy", "TAKUMI_X", "PUID", "DOTENV_PRIVATE_KEY"]
        {
            assert!(is_denied(name.as_bytes()), "{name}");
        }
        for name in ["MY_PATH", "LDAP", "PY", "PROXY", "MY_PYTHON", "UMASK_"] {
            assert!(!is_denied(name.as_bytes()), "{name}");
        }
    }
}

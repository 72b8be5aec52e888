//! Secrets that an engine mounts as files: NAME_FILE names the file, COMMAND gets its content as NAME.

use super::Variable;
use super::error::{Cause, Error, absolute_path};
use crate::settings::value_of;
use crate::sys::secret;
use std::ffi::CStr;

/// More than one variable may hold (`MAX_ARG_STRLEN`, `man 2 execve`).
const MAX_BYTES: usize = 128 * 1024;

/// The variable that holds the path of `name`'s file.
pub fn file_variable(name: &[u8]) -> Vec<u8> {
    [name, b"_FILE"].concat()
}

/// Reads `name`'s file, as `file_env` of the official images does: both set is an error, newlines at the end go. Nothing where
/// `name` is set itself.
pub fn read_secret(name: &[u8], environment: &[&CStr]) -> Result<Option<Variable>, Error> {
    let text = String::from_utf8_lossy(name);
    let variable = file_variable(name);
    let given = value_of(environment, name);
    let Some(path) = value_of(environment, &variable).filter(|path| !path.is_empty()) else {
        return match given {
            Some(_) => Ok(None),
            None => Err(Error::in_variable("TAKUMI_SECRETS", Cause::Neither(text.into_owned()))),
        };
    };
    let error = |cause| Error::in_file_variable(&format!("{text}_FILE"), path, cause);
    if given.is_some_and(|value| !value.is_empty()) {
        return Err(error(Cause::Both(text.to_string())));
    }
    let mut value =
        secret::read(&absolute_path(path).map_err(error)?, MAX_BYTES).map_err(|unread| error(unread.into()))?;
    let end = value.iter().rposition(|&byte| byte != b'\n').map_or(0, |last| last + 1);
    value.truncate(end);
    if value.contains(&0) {
        return Err(error(Cause::Nul));
    }
    Ok(Some(Variable { name: name.to_vec(), value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_two_variables_is_set() {
        assert!(matches!(read_secret(b"A", &[c"A=1"]), Ok(None)));
        assert!(matches!(read_secret(b"A", &[c"A=", c"A_FILE="]), Ok(None)));
        let said = |variables: &[&CStr]| read_secret(b"A", variables).err().unwrap().to_string();
        assert!(said(&[]).contains("neither A nor A_FILE"));
        assert!(said(&[c"A=1", c"A_FILE=/x"]).contains("A is set too"));
        assert!(said(&[c"A_FILE=/x\n/y"]).starts_with("cannot use A_FILE=\"/x\\n/y\": No such file"));
        let wrong_place = said(&[c"A_FILE=hf_secret"]);
        assert!(wrong_place.contains("A_FILE: it is not an absolute path") && !wrong_place.contains("hf_secret"));
        assert!(said(&[c"A_FILE=/dev/zero"]).contains("not a regular file"));
    }
}

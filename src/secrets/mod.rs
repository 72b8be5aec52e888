//! Secrets: .env files, plain or encrypted, and the files that an engine mounts. They are read before the drop, reach
//! COMMAND as variables, and no key that opens them is left when it runs.
//!
//! Precedence: what the environment holds, TAKUMI_SECRETS, the last of TAKUMI_ENV_FILE, the first of it.

mod cipher;
mod dotenv;
mod env_file;
mod error;
mod keys;
mod secret_file;
pub mod tool;

pub use error::Error;

use crate::path::is_within;
use crate::settings::{Settings, split_variable, value_of};
use crate::sys::secret;
use crate::text::Escaped;
use error::Cause;
use std::ffi::CStr;
use zeroize::Zeroizing;

/// One variable for COMMAND.
pub struct Variable {
    pub name: Vec<u8>,
    /// Its value, without NUL.
    pub value: Zeroizing<Vec<u8>>,
}

/// What COMMAND's environment gains and loses.
#[derive(Default)]
pub struct Secrets {
    /// New variables. One of a name that came already takes its place: it was empty.
    pub variables: Vec<Variable>,
    /// Names of variables that only named a file.
    pub consumed: Vec<Vec<u8>>,
}

/// Reads everything that the settings name, or says everything that is wrong with it.
pub fn read(settings: &Settings, environment: &[&CStr]) -> Result<Secrets, Vec<Error>> {
    if settings.env_files.is_empty() && settings.secrets.is_empty() {
        return Ok(Secrets::default());
    }
    let read = read_all(settings, environment);
    secret::wipe_stack();
    read
}

fn read_all(settings: &Settings, environment: &[&CStr]) -> Result<Secrets, Vec<Error>> {
    let mut errors = check_outside_volumes(settings, environment);
    let mut variables = Vec::new();
    for path in &settings.env_files {
        env_file::read(path, environment, &mut variables, &mut errors);
    }
    variables.retain(|variable| value_of(environment, &variable.name).is_none());
    for name in &settings.secrets {
        match secret_file::read_secret(name, environment) {
            Ok(None) => {}
            Ok(Some(variable)) => set_variable(&mut variables, variable),
            Err(error) => errors.push(error),
        }
    }
    let consumed = settings.secrets.iter().map(|name| secret_file::file_variable(name)).collect();
    if errors.is_empty() { Ok(Secrets { variables, consumed }) } else { Err(errors) }
}

/// What COMMAND can write it can also make a link of, to be read as root at the next start; and a .env there would be
/// its own.
fn check_outside_volumes(settings: &Settings, environment: &[&CStr]) -> Vec<Error> {
    let of_key = |name: &[u8]| name.starts_with(keys::PRIVATE_PREFIX.as_bytes()) && name.ends_with(b"_FILE");
    let of_secret = |name: &[u8]| settings.secrets.iter().any(|secret| secret_file::file_variable(secret) == name);
    let named = environment.iter().map(|variable| split_variable(variable.to_bytes()));
    let named = named.filter(|(name, _)| of_key(name) || of_secret(name)).map(|(_, path)| path);
    let paths = settings.env_files.iter().map(|path| path.to_bytes()).chain(named);
    let found = paths.filter_map(|path| {
        let volume = settings.volumes.iter().find(|volume| is_within(path, volume.to_bytes()))?;
        Some(Error::in_file(path, Cause::InVolume(Escaped(volume.to_bytes()).to_string())))
    });
    found.collect()
}

fn set_variable(variables: &mut Vec<Variable>, variable: Variable) {
    match variables.iter_mut().find(|known| known.name == variable.name) {
        Some(known) => *known = variable,
        None => variables.push(variable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(variables: &[&CStr]) -> usize {
        check_outside_volumes(&Settings::from_environment(variables).unwrap(), variables).len()
    }

    #[test]
    fn what_command_can_write_is_no_place_for_a_secret() {
        let volumes = c"TAKUMI_VOLUMES=/data:/cache";
        let (secrets, elsewhere) = (c"TAKUMI_SECRETS=TOKEN", c"TOKEN_FILE=/run/secrets/token");
        assert_eq!(refused(&[volumes, secrets, elsewhere, c"TAKUMI_ENV_FILE=/run/.env:/database/.env"]), 0);
        assert_eq!(refused(&[volumes, secrets, c"TOKEN_FILE=/data/token"]), 1);
        assert_eq!(refused(&[volumes, c"TAKUMI_ENV_FILE=/run/.env:/cache//x/.env"]), 1);
        assert_eq!(
            refused(&[volumes, c"DOTENV_PRIVATE_KEY_CI_FILE=//data/./keys", c"TAKUMI_ENV_FILE=/run/.env.ci"]),
            1
        );
        assert_eq!(refused(&[volumes, c"OTHER_FILE=/data/x"]), 0, "not ours");
    }
}

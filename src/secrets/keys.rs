//! Where the private key of a .env file comes from.

use super::cipher::{self, PrivateKey, PublicKey};
use super::dotenv;
use super::error::{Cause, Error, absolute_path};
use crate::settings::value_of;
use crate::sys::secret;
use std::ffi::CStr;
use zeroize::Zeroizing;

/// What the names of private and public keys begin with.
pub(super) const PRIVATE_PREFIX: &str = "DOTENV_PRIVATE_KEY";
pub const PUBLIC_PREFIX: &str = "DOTENV_PUBLIC_KEY";
/// A list of a few hundred keys.
const MAX_BYTES: usize = 64 * 1024;

/// The keys of one file.
pub struct PrivateKeys {
    /// The variable that they came from, or that named their file.
    pub source: String,
    /// To be tried in turn.
    pub keys: Vec<PrivateKey>,
}

impl PrivateKeys {
    /// Whether one of them is the other half of `public`.
    pub fn match_public(&self, public: &PublicKey) -> bool {
        self.keys.iter().any(|key| key.public() == *public)
    }
}

/// The plaintext of `value`, by the first key that opens it.
pub fn decrypt(keys: &[PrivateKey], value: &[u8]) -> Result<Zeroizing<Vec<u8>>, cipher::Error> {
    let mut last = cipher::Error::Refused;
    for key in keys {
        match cipher::decrypt(key, value) {
            Ok(plain) => return Ok(plain),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The private key's variable for a file, as dotenvx derives it from the file's name: `.env.production` is
/// DOTENV_PRIVATE_KEY_PRODUCTION, `.env` is DOTENV_PRIVATE_KEY.
pub fn variable_for_file(path: &[u8]) -> String {
    let file = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let file = String::from_utf8_lossy(file).to_lowercase();
    let file = file.strip_suffix(".txt").filter(|file| file.starts_with(".env")).unwrap_or(&file);
    if file == ".env" {
        return PRIVATE_PREFIX.to_owned();
    }
    let parts: Vec<&str> = file.split('.').skip(2).take(2).collect();
    // `.env1` is DEVELOPMENT1 to it.
    let environment = if parts.is_empty() { file.replacen(".env", "development", 1) } else { parts.join("_") };
    format!("{PRIVATE_PREFIX}_{}", environment.to_uppercase())
}

/// The private key's variable beside a public key's.
pub fn variable_for_public(public: &[u8]) -> String {
    format!("{PRIVATE_PREFIX}{}", String::from_utf8_lossy(&public[PUBLIC_PREFIX.len()..]))
}

/// The keys in the variable `name`, or in the file that `name`_FILE names; nothing where both are unset or empty.
pub fn find_keys(name: &str, environment: &[&CStr]) -> Result<Option<PrivateKeys>, Error> {
    let value = |name: &str| value_of(environment, name.as_bytes()).filter(|value| !value.is_empty());
    let file_name = format!("{name}_FILE");
    match (value(name), value(&file_name)) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Error::in_variable(&file_name, Cause::Both(name.to_owned()))),
        (Some(list), None) => match parse_keys(list) {
            Ok(keys) => Ok(Some(PrivateKeys { source: name.to_owned(), keys })),
            Err(error) => Err(Error::in_variable(name, Cause::Key(error))),
        },
        (None, Some(path)) => {
            let place = |cause| Error::in_file_variable(&file_name, path, cause);
            let content =
                secret::read(&absolute_path(path).map_err(place)?, MAX_BYTES).map_err(|unread| place(unread.into()))?;
            let keys = parse_keys(&key_list_of_file(&content, name)).map_err(|error| place(Cause::Key(error)))?;
            Ok(Some(PrivateKeys { source: file_name, keys }))
        }
    }
}

/// A file of keys holds the list alone, or is the .env.keys of dotenvx.
fn key_list_of_file(content: &[u8], name: &str) -> Zeroizing<Vec<u8>> {
    let text = dotenv::normalise(content);
    let assigned = dotenv::parse(&text).flatten().find(|line| line.name == name.as_bytes()).map(|line| line.value());
    assigned.unwrap_or(text)
}

/// One key, or several with commas.
pub fn parse_keys(list: &[u8]) -> Result<Vec<PrivateKey>, cipher::Error> {
    let parts = || list.split(|&byte| byte == b',');
    // Room for all at once: a vector that grows leaves its former places behind.
    let mut keys = Vec::with_capacity(parts().count());
    for part in parts() {
        keys.push(PrivateKey::parse(part.trim_ascii())?);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_derived_as_dotenvx_derives_them() {
        for (path, name) in [
            ("/run/.env", "DOTENV_PRIVATE_KEY"),
            ("/x/.env.production", "DOTENV_PRIVATE_KEY_PRODUCTION"),
            (".ENV.Production", "DOTENV_PRIVATE_KEY_PRODUCTION"),
            (".env.production.local", "DOTENV_PRIVATE_KEY_PRODUCTION_LOCAL"),
            (".env.a.b.c", "DOTENV_PRIVATE_KEY_A_B"),
            (".env1", "DOTENV_PRIVATE_KEY_DEVELOPMENT1"),
            (".env.txt", "DOTENV_PRIVATE_KEY"),
            (".env.ci.txt", "DOTENV_PRIVATE_KEY_CI"),
            ("/run/secrets/api", "DOTENV_PRIVATE_KEY_API"),
        ] {
            assert_eq!(variable_for_file(path.as_bytes()), name, "{path}");
        }
        assert_eq!(variable_for_public(b"DOTENV_PUBLIC_KEY_CI"), "DOTENV_PRIVATE_KEY_CI");
    }

    #[test]
    fn a_key_that_stands_where_its_file_belongs_is_not_repeated() {
        let said = |variables: &[&CStr]| find_keys("DOTENV_PRIVATE_KEY", variables).err().unwrap().to_string();
        let wrong_place = said(&[c"DOTENV_PRIVATE_KEY_FILE=f987538d"]);
        assert!(wrong_place.contains("not an absolute path") && !wrong_place.contains("f987538d"), "{wrong_place}");
        let no_key = said(&[c"DOTENV_PRIVATE_KEY=f987538d"]);
        assert!(no_key.contains("64 hexadecimal digits") && !no_key.contains("f987538d"), "{no_key}");
    }

    #[test]
    fn keys_come_alone_as_a_list_or_in_a_env_keys() {
        let key = include_str!("../../tests/secrets/vectors/key.hex").trim();
        let count = |list: &str| parse_keys(list.as_bytes()).ok().map(|keys| keys.len());
        assert_eq!(count(key), Some(1));
        assert_eq!(count(&format!("{key}, {key}\n")), Some(2));
        for list in ["", ",", &format!("{key},"), &key[1..]] {
            assert_eq!(count(list), None, "{list}");
        }
        let keys = include_bytes!("../../tests/secrets/vectors/env.keys");
        assert!(key_list_of_file(keys, "DOTENV_PRIVATE_KEY_PRODUCTION").starts_with(b"f987538d"));
        assert_eq!(key_list_of_file(b"abc\r\n", "DOTENV_PRIVATE_KEY").as_slice(), b"abc\n");
    }
}

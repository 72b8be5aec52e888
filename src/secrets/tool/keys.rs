//! The pair of keys of one .env file: the public one stands in it, the private one in .env.keys beside it or in the
//! environment.

use super::Message;
use super::env_file::EnvFile;
use crate::secrets::cipher::{PrivateKey, PublicKey};
use crate::secrets::dotenv::Assignment;
use crate::secrets::env_file::is_public_key;
use crate::secrets::keys;
use log::debug;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

pub struct KeyPair {
    private: String,
    store: PathBuf,
}

impl KeyPair {
    /// Named as the public key in the file says, else as the file's name says.
    pub fn for_file(path: &Path, file: &EnvFile) -> Result<KeyPair, Message> {
        let name = path.file_name().filter(|name| *name != ".env.keys");
        let name = name.ok_or_else(|| format!("{} is not a .env file", path.display()))?;
        let assignments = file.assignments()?;
        let public = assignments.iter().find(|found| is_public_key(found));
        let private = public
            .map_or_else(|| keys::variable_for_file(name.as_bytes()), |found| keys::variable_for_public(found.name));
        Ok(KeyPair { private, store: path.with_file_name(".env.keys") })
    }

    /// The file that private keys are kept in.
    pub fn path(&self) -> &Path {
        &self.store
    }

    pub fn public_name(&self) -> String {
        self.private.replacen("PRIVATE", "PUBLIC", 1)
    }

    pub fn private_name(&self) -> &str {
        &self.private
    }

    /// The public key that stands in the file.
    pub fn read_public(&self, file: &EnvFile) -> Result<PublicKey, Message> {
        let name = self.public_name();
        let assignments = file.assignments()?;
        let found = assignments.iter().find(|found| found.name == name.as_bytes());
        let found = found.ok_or_else(|| format!("no {name} in the file (to create keys: takumi-secrets key FILE)"))?;
        PublicKey::parse(&found.value()).map_err(|error| file.error_at(found, &error.to_string()))
    }

    /// Fails unless one of the keys is the file's own.
    pub fn check_match(&self, file: &EnvFile, keys: &[PrivateKey]) -> Result<(), Message> {
        let public = self.read_public(file)?;
        if keys.iter().any(|key| key.public() == public) {
            return Ok(());
        }
        Err(format!("{} does not belong to {} in the file", self.private, self.public_name()))
    }

    /// The private keys, to be tried in turn: of the environment, of the file that it names, or of .env.keys.
    pub fn find_private(&self) -> Result<Vec<PrivateKey>, Message> {
        let given = [self.private.clone(), format!("{}_FILE", self.private)].into_iter().filter_map(|name| {
            let value = std::env::var_os(&name).filter(|value| !value.is_empty())?;
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        });
        let given: Vec<CString> = given.collect();
        let given: Vec<_> = given.iter().map(CString::as_c_str).collect();
        match keys::find_keys(&self.private, &given).map_err(|error| error.to_string())? {
            Some(found) => {
                debug!("{} comes from {}", self.private, found.source);
                Ok(found.keys)
            }
            None => self
                .read_stored()?
                .ok_or_else(|| format!("no {} in the environment or in {}", self.private, self.store.display())),
        }
    }

    /// The private keys in .env.keys, if it has any for the file.
    pub fn read_stored(&self) -> Result<Option<Vec<PrivateKey>>, Message> {
        let Some(list) = self.read_store()? else { return Ok(None) };
        debug!("{} comes from {}", self.private, self.store.display());
        let keys = keys::parse_keys(&list).map(Some);
        keys.map_err(|error| format!("{}: {} {error}", self.store.display(), self.private))
    }

    fn read_store(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Message> {
        let file = EnvFile::read_or_new(&self.store)?;
        Ok(file.assignments()?.iter().find(|found| found.name == self.private.as_bytes()).map(Assignment::value))
    }

    /// Puts these, the newest first, in the place of what .env.keys holds for the file, and closes it to everybody
    /// else.
    pub fn store(&self, keys: &[&PrivateKey]) -> Result<(), Message> {
        let mut list = Zeroizing::new(String::with_capacity(65 * keys.len()));
        for (index, key) in keys.iter().enumerate() {
            list.push_str(if index > 0 { "," } else { "" });
            list.push_str(&key.to_hex());
        }
        let mut file = EnvFile::read_or_new(&self.store)?;
        let name = &self.private;
        let range = file
            .assignments()?
            .iter()
            .find(|found| found.name == name.as_bytes())
            .map(|found| file.range_of(found.raw));
        match range {
            Some(range) => file.replace_range(range, list.as_bytes()),
            None => file.append(&Zeroizing::new(format!("{name}={}\n", *list))),
        }
        file.make_private();
        file.write()
    }
}

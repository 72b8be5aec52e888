//! The verbs that change a file.

use super::Message;
use super::env_file::{EnvFile, MAX_BYTES};
use super::keys::KeyPair;
use super::prompt;
use crate::secrets::cipher::{self, PREFIX, PrivateKey, PublicKey};
use crate::secrets::env_file::{is_denied, is_public_key};
use crate::secrets::{dotenv, keys};
use crate::sys::random;
use crate::text::Escaped;
use std::collections::BTreeSet;
use std::path::Path;

pub fn make_key(path: &Path) -> Result<(), Message> {
    let mut file = EnvFile::read_or_new(path)?;
    let keys = KeyPair::for_file(path, &file)?;
    if file.assignments()?.iter().any(|found| found.name == keys.public_name().as_bytes()) {
        return Err(format!(
            "{} already has a {} (to replace the pair: takumi-secrets rotate FILE)",
            path.display(),
            keys.public_name()
        ));
    }
    // A key without its public half in the file: another file of this name had it, or a run was cut short here.
    let (private, origin) = match keys.read_stored()?.and_then(|keys| keys.into_iter().next()) {
        Some(private) => (private, "is already there"),
        None => {
            let private = generate_key()?;
            keys.store(&[&private])?;
            (private, "is new")
        }
    };
    let head = format!(
        "# Anyone with this key can encrypt; {} decrypts.\n{}=\"{}\"\n\n",
        keys.private_name(),
        keys.public_name(),
        private.public().to_hex()
    );
    file.replace_range(0..0, head.as_bytes());
    file.write()?;
    println!("{}: {}", path.display(), keys.public_name());
    println!(
        "{}: {} {origin}: keep it out of the repository and the image",
        keys.path().display(),
        keys.private_name()
    );
    Ok(())
}

pub fn encrypt(path: &Path, names: &[&str]) -> Result<(), Message> {
    let (mut file, public) = open(path)?;
    let assignments = file.assignments()?;
    let mut missing: BTreeSet<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
    let mut changes = Vec::new();
    for found in &assignments {
        let named = missing.remove(found.name);
        if (!named && !names.is_empty()) || is_public_key(found) || found.raw.starts_with(PREFIX.as_bytes()) {
            continue;
        }
        if found.colon {
            return Err(
                file.error_at(found, "is written with a colon, which dotenvx does not encrypt (write NAME=value)")
            );
        }
        println!("{}: encrypted", Escaped(found.name));
        changes.push((file.range_of(found.raw), encrypt_value(&public, &found.value())?));
    }
    if let Some(name) = missing.first() {
        return Err(format!("{} has no {}", path.display(), Escaped(name)));
    }
    file.replace(changes);
    file.write()
}

pub fn set(path: &Path, name: &str) -> Result<(), Message> {
    let line = format!("{name}=");
    let is_name = matches!(dotenv::parse(line.as_bytes()).next(), Some(Ok(found)) if found.name == name.as_bytes());
    if !is_name || is_denied(name.as_bytes()) {
        return Err(format!("{} is not a name that a file may set", Escaped(name.as_bytes())));
    }
    // What is wrong with the file is said before somebody types; what stands in it afterwards is what is changed.
    open(path)?;
    let value = prompt::read_value(name)?;
    let (mut file, public) = open(path)?;
    let assignments = file.assignments()?;
    if value.is_empty() || value.len() + name.len() + 2 > MAX_BYTES || value.contains(&0) {
        return Err(format!("no value for {name}: it is empty, too long for a variable, or contains a NUL byte"));
    }
    let cipher = encrypt_value(&public, &value)?;
    match assignments.iter().find(|found| found.name == name.as_bytes()) {
        Some(found) if found.colon => return Err(file.error_at(found, "is written with a colon (write NAME=value)")),
        Some(found) => {
            let range = file.range_of(found.raw);
            file.replace_range(range, cipher.as_bytes());
        }
        None => file.append(&format!("{name}=\"{cipher}\"\n")),
    }
    file.write()?;
    println!("{name}: encrypted");
    Ok(())
}

pub fn rotate(path: &Path) -> Result<(), Message> {
    let mut file = EnvFile::read(path)?;
    let keys = KeyPair::for_file(path, &file)?;
    let assignments = file.assignments()?;
    let old = keys.find_private()?;
    keys.check_match(&file, &old)?;
    let new = generate_key()?;
    let mut changes = Vec::new();
    for found in &assignments {
        if found.name == keys.public_name().as_bytes() {
            changes.push((file.range_of(found.raw), new.public().to_hex()));
        } else if found.raw.starts_with(PREFIX.as_bytes()) {
            let value = keys::decrypt(&old, found.raw).map_err(|error| file.error_at(found, &error.to_string()))?;
            changes.push((file.range_of(found.raw), encrypt_value(&new.public(), &value)?));
        }
    }
    let count = changes.len() - 1;
    file.replace(changes);
    // Cut short anywhere, what is on the disk can be decrypted.
    let both: Vec<&PrivateKey> = std::iter::once(&new).chain(&old).collect();
    keys.store(&both)?;
    file.write()?;
    keys.store(&[&new])?;
    println!("{}: {count} values encrypted again", path.display());
    println!("{}: {} is new; the old key still decrypts old copies", keys.path().display(), keys.private_name());
    Ok(())
}

/// A file, and the key that encrypts what goes into it.
fn open(path: &Path) -> Result<(EnvFile, PublicKey), Message> {
    let file = EnvFile::read(path)?;
    let public = KeyPair::for_file(path, &file)?.read_public(&file)?;
    Ok((file, public))
}

fn generate_key() -> Result<PrivateKey, Message> {
    PrivateKey::generate(random::fill).map_err(|error| format!("no key: {error}"))
}

fn encrypt_value(public: &PublicKey, value: &[u8]) -> Result<String, Message> {
    cipher::encrypt(public, value, random::fill).map_err(|error| error.to_string())
}

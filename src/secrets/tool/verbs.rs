//! The verbs that change a file.

use super::Failure;
use super::ask;
use super::env_file::{EnvFile, LARGEST};
use super::keys::Keys;
use crate::secrets::cipher::{self, PREFIX, PrivateKey, PublicKey};
use crate::secrets::env_file::{is_denied, is_public_key};
use crate::secrets::{dotenv, keys};
use crate::sys::random;
use crate::text::Escaped;
use std::collections::BTreeSet;
use std::path::Path;

pub fn make_key(path: &Path) -> Result<(), Failure> {
    let mut file = EnvFile::read_or_new(path)?;
    let keys = Keys::of(path, &file)?;
    if file.assignments()?.iter().any(|found| found.name == keys.public_name().as_bytes()) {
        return Err(format!("{} has a {} already (rotate makes a new pair)", path.display(), keys.public_name()));
    }
    // A key without its public half in the file: another file of this name had it, or a run was cut short here.
    let (private, origin) = match keys.stored()?.and_then(|keys| keys.into_iter().next()) {
        Some(private) => (private, "stands already"),
        None => {
            let private = generate()?;
            keys.store(&[&private])?;
            (private, "is new")
        }
    };
    let head = format!(
        "# Whoever has this key can encrypt; {} decrypts.\n{}=\"{}\"\n\n",
        keys.private_name(),
        keys.public_name(),
        private.public().to_hex()
    );
    file.put(0..0, head.as_bytes());
    file.write()?;
    println!("{}: {}", path.display(), keys.public_name());
    println!(
        "{}: {} {origin}: keep it out of the repository and of the image",
        keys.path().display(),
        keys.private_name()
    );
    Ok(())
}

pub fn encrypt(path: &Path, names: &[&str]) -> Result<(), Failure> {
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
            return Err(file.at(found, "stands with a colon, which dotenvx leaves plain (write NAME=value)"));
        }
        println!("{}: encrypted", Escaped(found.name));
        changes.push((file.range_of(found.raw), encrypted(&public, &found.value())?));
    }
    if let Some(name) = missing.first() {
        return Err(format!("{} has no {}", path.display(), Escaped(name)));
    }
    file.replace(changes);
    file.write()
}

pub fn set(path: &Path, name: &str) -> Result<(), Failure> {
    let line = format!("{name}=");
    let is_name = matches!(dotenv::parse(line.as_bytes()).next(), Some(Ok(found)) if found.name == name.as_bytes());
    if !is_name || is_denied(name.as_bytes()) {
        return Err(format!("{} is no name that a file may set", Escaped(name.as_bytes())));
    }
    // What is wrong with the file is said before somebody types; what stands in it afterwards is what is changed.
    open(path)?;
    let value = ask::value(name)?;
    let (mut file, public) = open(path)?;
    let assignments = file.assignments()?;
    if value.is_empty() || value.len() + name.len() + 2 > LARGEST || value.contains(&0) {
        return Err(format!("no value for {name}: it is empty, longer than a variable can be, or holds a NUL"));
    }
    let cipher = encrypted(&public, &value)?;
    match assignments.iter().find(|found| found.name == name.as_bytes()) {
        Some(found) if found.colon => return Err(file.at(found, "stands with a colon (write NAME=value)")),
        Some(found) => {
            let range = file.range_of(found.raw);
            file.put(range, cipher.as_bytes());
        }
        None => file.append(&format!("{name}=\"{cipher}\"\n")),
    }
    file.write()?;
    println!("{name}: encrypted");
    Ok(())
}

pub fn rotate(path: &Path) -> Result<(), Failure> {
    let mut file = EnvFile::read(path)?;
    let keys = Keys::of(path, &file)?;
    let assignments = file.assignments()?;
    let old = keys.private()?;
    keys.matches(&file, &old)?;
    let new = generate()?;
    let mut changes = Vec::new();
    for found in &assignments {
        if found.name == keys.public_name().as_bytes() {
            changes.push((file.range_of(found.raw), new.public().to_hex()));
        } else if found.raw.starts_with(PREFIX.as_bytes()) {
            let value = keys::decrypt(&old, found.raw).map_err(|error| file.at(found, &error.to_string()))?;
            changes.push((file.range_of(found.raw), encrypted(&new.public(), &value)?));
        }
    }
    let count = changes.len() - 1;
    file.replace(changes);
    // Cut short anywhere, what is on the disk can be decrypted.
    let both: Vec<&PrivateKey> = std::iter::once(&new).chain(&old).collect();
    keys.store(&both)?;
    file.write()?;
    keys.store(&[&new])?;
    println!("{}: {count} values encrypted anew", path.display());
    println!("{}: {} is new; the old one still opens old copies", keys.path().display(), keys.private_name());
    Ok(())
}

/// A file, and the key that encrypts what goes into it.
fn open(path: &Path) -> Result<(EnvFile, PublicKey), Failure> {
    let file = EnvFile::read(path)?;
    let public = Keys::of(path, &file)?.public(&file)?;
    Ok((file, public))
}

fn generate() -> Result<PrivateKey, Failure> {
    PrivateKey::generate(random::fill).map_err(|error| format!("no key: {error}"))
}

fn encrypted(public: &PublicKey, value: &[u8]) -> Result<String, Failure> {
    cipher::encrypt(public, value, random::fill).map_err(|error| error.to_string())
}

//! What `init` would say of a file, and what stands in it in plain text that looks like a secret.

use super::Message;
use super::env_file::EnvFile;
use super::keys::KeyPair;
use crate::secrets::cipher::{PREFIX, PrivateKey};
use crate::secrets::dotenv::{self, Assignment};
use crate::secrets::env_file::{is_denied, is_public_key};
use crate::secrets::keys;
use crate::text::Escaped;
use std::path::Path;

/// Parts of names whose values are mostly secret.
const SECRET_NAMES: [&str; 8] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "AUTH"];
/// How values begin that are secret.
const SECRET_VALUES: [&str; 9] = ["sk-", "hf_", "ghp_", "gho_", "github_pat_", "glpat-", "AKIA", "xox", "-----BEGIN"];

/// Prints every name with its state; fails with what is wrong, a line each.
pub fn check(path: &Path) -> Result<(), Message> {
    let file = EnvFile::read(path)?;
    let keys = KeyPair::for_file(path, &file)?;
    let assignments = file.assignments()?;
    let mut wrong = Vec::new();
    let encrypted = assignments.iter().any(|found| found.raw.starts_with(PREFIX.as_bytes()));
    let private = match keys.find_private() {
        Ok(private) => private,
        Err(failure) if encrypted => return Err(failure),
        Err(_) => Vec::new(),
    };
    if encrypted && let Err(failure) = keys.check_match(&file, &private) {
        wrong.push(format!("{}: {failure}", path.display()));
    }
    for found in assignments.iter().filter(|found| !is_public_key(found)) {
        let (state, problems) = classify(found, &private);
        println!("{}: {state}", Escaped(found.name));
        wrong.extend(problems.iter().map(|problem| file.error_at(found, problem)));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn classify(found: &Assignment, private: &[PrivateKey]) -> (&'static str, Vec<String>) {
    let mut problems = Vec::new();
    if is_denied(found.name) {
        problems.push("must not be set by a file".into());
    }
    if found.raw.starts_with(PREFIX.as_bytes()) {
        let state = match keys::decrypt(private, found.raw) {
            Ok(plain) if dotenv::has_command(&plain) => {
                "encrypted; contains `$(`, passed through literally (dotenvx would run it)"
            }
            Ok(_) => "encrypted",
            Err(error) => {
                problems.push(error.to_string());
                "encrypted, cannot be decrypted"
            }
        };
        return (state, problems);
    }
    if found.colon {
        problems.push("is written with a colon, which dotenvx never encrypts (write NAME=value)".into());
    }
    if found.has_command() {
        problems.push(
            "contains `$(`, which dotenvx would run (to keep it as text, put the value into single quotes)".into(),
        );
    }
    if is_likely_secret(found) {
        problems.push("is not encrypted and looks like a secret (takumi-secrets encrypt FILE)".into());
    }
    ("plain", problems)
}

fn is_likely_secret(found: &Assignment) -> bool {
    let name = found.name.to_ascii_uppercase();
    let value = found.value();
    let named = SECRET_NAMES.iter().any(|part| name.windows(part.len()).any(|here| here == part.as_bytes()));
    let begins = SECRET_VALUES.iter().any(|begin| value.starts_with(begin.as_bytes()));
    !value.is_empty() && (named || begins || has_password(&value))
}

fn has_password(value: &[u8]) -> bool {
    let Some(at) = value.windows(3).position(|here| here == b"://") else { return false };
    let authority = value[at + 3..].split(|&byte| byte == b'/').next().unwrap_or_default();
    authority.iter().position(|&byte| byte == b'@').is_some_and(|end| authority[..end].contains(&b':'))
}

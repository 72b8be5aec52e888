//! What a file says is what COMMAND gets, byte for byte, and nothing of it is ever run.

use crate::support::{SecretsFixture, vectors};
use std::fmt::Write as _;
use takumi_test::require;

const PRODUCTION: &str = include_str!("vectors/env.production");

#[test]
fn every_value_that_dotenvx_encrypted_reaches_command() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let vectors = vectors();
    assert_eq!(vectors.len(), 22);
    for quote in ["", "'", "\"", "`"] {
        let lines = vectors.iter().fold(String::new(), |mut lines, (name, (_, cipher))| {
            writeln!(lines, "{name}={quote}{cipher}{quote}").unwrap();
            lines
        });
        let mut ended = place.with_env(lines).run().ran();
        for (name, (plain, _)) in &vectors {
            ended = ended.has(name, plain);
        }
    }
}

#[test]
fn a_file_that_its_command_encrypted_reaches_command() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let file = place.file(".env.production", PRODUCTION);
    let key = key_of(include_str!("vectors/env.keys"));
    let start = place.start().with("TAKUMI_ENV_FILE", file);
    let mut ended = start.with("DOTENV_PRIVATE_KEY_PRODUCTION", &key).run().ran();
    let literal: serde_json::Value = serde_json::from_str(include_str!("vectors/expected_literal.json")).unwrap();
    let literal = literal.as_object().unwrap();
    assert_eq!(literal.len(), 21);
    for (name, value) in literal {
        ended = ended.has(name, value.as_str().unwrap());
    }
    ended.lacks("DOTENV_PRIVATE_KEY_PRODUCTION").says(&["DOLLAR", "$("]);
}

/// The key in a .env.keys.
pub fn key_of(keys: &str) -> String {
    keys.lines().find_map(|line| line.strip_prefix("DOTENV_PRIVATE_KEY_PRODUCTION=")).unwrap().to_owned()
}

#[test]
fn plain_values_are_literal() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let lines = "\u{feff}# a comment\r\nUNQUOTED=value # a comment\r\nexport EXPORTED=world\nSINGLE='$HOME $(id) \\n'\n\
        DOUBLE=\"a\\nb # c\"\nBACKTICKS=`say \"it's\"`\nBRACES=${PATH}-x\nEMPTY=\nSPACES =  a  \nUNICODE=日本語\n";
    let ended = place.with_env(lines).run().ran();
    ended
        .has("UNQUOTED", "value")
        .has("EXPORTED", "world")
        .has("SINGLE", "$HOME $(id) \\n")
        .has("DOUBLE", "a\nb # c")
        .has("BACKTICKS", "say \"it's\"")
        .has("BRACES", "${PATH}-x")
        .has("EMPTY", "")
        .has("SPACES", "a")
        .has("UNICODE", "日本語");
}

/// dotenvx runs it, before and after decryption; a shell that reads the file is the control.
#[test]
fn a_command_in_a_value_is_never_run() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let mark = place.path("mark");
    let command = format!("$(touch {})", mark.display());
    place.with_env(format!("A=1\nRUN={command}\n")).run().refused(&["RUN", "$("]);
    place.with_env(format!("RUN=\"{command}\"\n")).run().refused(&["RUN", "$("]);
    place.with_env(format!("RUN='{command}'\n")).run().ran().has("RUN", &command);
    let backticks = format!("touch {}", mark.display());
    place.with_env(format!("RUN=`{backticks}`\n")).run().ran().has("RUN", backticks);
    assert!(!mark.exists(), "the command was run");
    let file = place.file("control", format!("RUN={command}\n"));
    std::process::Command::new("/bin/sh").arg(file).status().unwrap();
    assert!(mark.exists(), "the command does nothing");
}

#[test]
fn the_environment_wins_over_files_and_a_later_file_over_an_earlier() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let first = place.file("first.env", "FROM_FIRST=1\nBOTH=first\nGIVEN=file\nGIVEN_EMPTY=file\n");
    let second = place.file("second.env", "BOTH=second\n");
    let start = |files: String| place.start().with("TAKUMI_ENV_FILE", files);
    let ended = start(format!("{first}:{second}")).with("GIVEN", "here").with("GIVEN_EMPTY", "").run().ran();
    ended.has("FROM_FIRST", "1").has("BOTH", "second").has("GIVEN", "here").has("GIVEN_EMPTY", "");
    start(format!("{second}:{first}")).run().ran().has("BOTH", "first");
}

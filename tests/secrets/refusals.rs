//! What ends a start with 125: file, line and variable are named, a value never (`Start::run` looks for that).

use crate::support::{KEY, OTHER_KEY, PUBLIC_KEY, SECRET, SecretsFixture, at, cipher};
use takumi_test::require;

fn token() -> String {
    format!("TOKEN={}", cipher("HF_TOKEN"))
}

#[test]
fn a_value_that_does_not_decrypt_is_refused() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let (file, token) = (place.path(".env"), token());
    place.with_env(format!("A=1\n{token}\n")).run().ran();
    let wrong = place.with_env(format!("A=1\n{token}\n")).with("DOTENV_PRIVATE_KEY", OTHER_KEY);
    wrong.run().refused(&[&at(&file, 2, "TOKEN")]);
    for cut in [1, 4, 40, token.len() - "TOKEN=encrypted:".len()] {
        let cut = &token[..token.len() - cut];
        place.with_env(format!("A=1\n\n{cut}\n")).run().refused(&[&at(&file, 3, "TOKEN")]);
    }
    // Every part of it counts: point, nonce, tag, text.
    for byte in [3, 40, 92, 115, 135, 150] {
        let mut changed = token.clone().into_bytes();
        let byte = &mut changed["TOKEN=encrypted:".len() + byte];
        *byte = if *byte == b'A' { b'B' } else { b'A' };
        place.with_env([changed, b"\n".into()].concat()).run().refused(&[&at(&file, 1, "TOKEN")]);
    }
}

#[test]
fn an_encrypted_value_without_a_key_is_refused() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let start = place.with_env(token()).without("DOTENV_PRIVATE_KEY");
    start.run().refused(&[&at(place.path(".env"), 1, "TOKEN"), "DOTENV_PRIVATE_KEY"]);
}

/// No key is asked for, and no secret lies in memory, while what strangers wrote is read.
#[test]
fn nodes_are_scanned_before_a_secret_is_read() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let nodes = place.path("nodes");
    std::fs::create_dir(&nodes).unwrap();
    let start = place.with_env(token()).without("DOTENV_PRIVATE_KEY").with("TAKUMI_NODES", nodes);
    let ended = start.run().refused(&["DOTENV_PRIVATE_KEY"]);
    let (scanned, read) =
        (ended.said.find("takumi-nodes is missing in this image"), ended.said.find("DOTENV_PRIVATE_KEY"));
    assert!(scanned.is_some() && scanned < read, "{}", ended.said);
}

#[test]
fn a_public_key_that_does_not_match_is_refused() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let lines = |key: &str| format!("DOTENV_PUBLIC_KEY=\"{key}\"\n{}\n", token());
    place.with_env(lines(PUBLIC_KEY)).run().ran();
    let others = include_str!("vectors/env.production");
    let other = others.lines().find_map(|line| line.strip_prefix("DOTENV_PUBLIC_KEY_PRODUCTION=")).unwrap();
    for wrong in [other.trim_matches('"'), "03", "xyz"] {
        place.with_env(lines(wrong)).run().refused(&[&at(place.path(".env"), 1, "DOTENV_PUBLIC_KEY")]);
    }
}

#[test]
fn a_duplicate_is_refused() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let lines = format!("A={SECRET}\nB=1\nA={SECRET}\n");
    place.with_env(lines).run().refused(&[&at(place.path(".env"), 3, "A")]);
}

#[test]
fn a_line_that_is_none_is_refused() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    for odd in [SECRET.to_owned(), format!("A B={SECRET}"), format!("={SECRET}"), format!("A=\"{SECRET}")] {
        let ended = place.with_env(format!("X=1\n{odd}\nY=1\n")).run();
        ended.refused(&[&at(place.path(".env"), 2, "")]);
    }
    place.with_env(format!("X=1\nTOKEN: {SECRET}\n")).run().says(&[&at(place.path(".env"), 2, "TOKEN")]);
}

/// Both files of corner cases. Everything that is wrong in one is told in one start.
#[test]
fn the_corner_cases_of_dotenvx_are_refused_line_by_line() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let plain = place.file("syntax.env", include_str!("vectors/syntax.env.plain"));
    let ended = place.start().with("TAKUMI_ENV_FILE", &plain).run();
    let (subst, substdq, dup) = (at(&plain, 12, "SUBST"), at(&plain, 13, "SUBSTDQ"), at(&plain, 20, "DUP"));
    let colon = at(&plain, 18, "COLON");
    assert_eq!(ended.said.matches("cannot use").count(), 4, "{}", ended.said);
    ended.refused(&[&subst, &substdq, &dup, &format!("{plain}:23: "), &colon]);
    let encrypted = place.file(".env.production", include_str!("vectors/syntax.env.production"));
    let key = crate::values::key_of(include_str!("vectors/syntax.env.keys"));
    let ended = place.start().with("TAKUMI_ENV_FILE", &encrypted).with("DOTENV_PRIVATE_KEY_PRODUCTION", key).run();
    assert_eq!(ended.said.matches("cannot use").count(), 2, "{}", ended.said);
    let (dup, colon) = (at(&encrypted, 26, "DUP"), at(&encrypted, 24, "COLON"));
    // Decrypted, `$(` is told and handed on.
    ended.refused(&[&dup, &format!("{encrypted}:29: "), &colon, "SUBST: ", "SUBSTDQ: "]);
}

#[test]
fn a_command_in_a_plain_value_is_refused() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    for value in ["$(id)", "a$(id)b", "\"$(id)\"", "\"a\nb $(id)\""] {
        place.with_env(format!("\nRUN={value}\n")).run().refused(&[&at(place.path(".env"), 2, "RUN"), "$("]);
    }
}

#[test]
fn a_name_that_steers_the_start_is_refused() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    for name in [
        "PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "HTTP_PROXY", "HTTPS_PROXY",
        "NO_PROXY", "ALL_PROXY", "https_proxy", "no_proxy", "TAKUMI_LOG", "TAKUMI_ALLOW_ROOT", "TAKUMI_UNKNOWN",
        "PUID", "PGID",
    ] {
        place.with_env(format!("A=1\n{name}={SECRET}\n")).run().refused(&[&at(place.path(".env"), 2, name)]);
    }
    // Names that only look like them.
    let ended = place.with_env("LDAP=1\nMY_PATH=1\nPROXY=1\nPY=1\nMY_TAKUMI_X=1\n").run().ran();
    ended.has("LDAP", "1").has("MY_PATH", "1").has("PY", "1");
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    require!(namespaces, setpriv);
    let place = SecretsFixture::enter();
    let missing = place.path("missing");
    place.start().with("TAKUMI_ENV_FILE", missing.as_os_str()).run().refused(&["missing"]);
    place.start().with("TAKUMI_ENV_FILE", place.world.scratch.as_os_str()).run().refused(&["takumi-test-"]);
    let closed = place.owned_file("closed.env", "A=1\n", 0, 0o400);
    let user = "setpriv --reuid 1000 --regid 1000 --clear-groups --";
    let start = || place.start().with("TAKUMI_ENV_FILE", &closed);
    start().through(user).run().refused(&["closed.env"]);
    start().run().ran().has("A", "1");
    let ended = place.with_env(token()).without("DOTENV_PRIVATE_KEY").with("DOTENV_PRIVATE_KEY_FILE", missing).run();
    ended.refused(&["DOTENV_PRIVATE_KEY", "missing"]);
}

/// A value cannot hold a NUL, and a file of half a gigabyte is no .env.
#[test]
fn bytes_that_no_environment_can_hold_are_refused() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    place.with_env(b"A=1\nB=x\0y\n").run().refused(&[&at(place.path(".env"), 2, "")]);
    place.with_env(b"A=1\n").with("DOTENV_PRIVATE_KEY", KEY).run().ran();
    let huge = place.path("huge");
    std::fs::File::create(&huge).unwrap().set_len(1 << 29).unwrap();
    place.start().with("TAKUMI_ENV_FILE", huge).run().refused(&["huge"]);
}

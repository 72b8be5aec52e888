//! TAKUMI_SECRETS: files of Docker, compose and Kubernetes become variables.

use crate::support::{CONTAINERS, KEY, SECRET, SecretsFixture, cipher};
use takumi_test::require;

fn start(place: &SecretsFixture, owner: u32, mode: u32, content: &[u8]) -> crate::support::Start {
    let file = place.owned_file("secret", content, owner, mode);
    place.start().with("TAKUMI_SECRETS", "TOKEN").with("TOKEN_FILE", file)
}

#[test]
fn a_file_that_only_root_may_read_reaches_command() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let ended = start(&place, 0, 0o400, SECRET.as_bytes()).run().ran();
    ended.has("TOKEN", SECRET).lacks("TOKEN_FILE").lacks("TAKUMI_SECRETS");
}

/// A compose secret is a bind mount of the host's file: root without DAC_READ_SEARCH may not read it.
#[test]
fn a_file_of_another_user_needs_dac_read_search_alone() {
    require!(namespaces, setpriv);
    let place = SecretsFixture::enter();
    let start = || start(&place, 4321, 0o600, SECRET.as_bytes());
    start().through(CONTAINERS).run().ran().has("TOKEN", SECRET);
    let without = CONTAINERS.replace("+dac_read_search,", "");
    start().through(&without).run().refused(&["TOKEN", "DAC_READ_SEARCH"]);
}

/// As the official images' `file_env` and `$(< file)`: newlines at the end go, everything else stays.
#[test]
fn only_the_last_newlines_go() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    for (content, value) in [
        (&b"x\n"[..], &b"x"[..]),
        (b"x\n\n", b"x"),
        (b" a\nb \n", b" a\nb "),
        (b"\xff$(id)'\"", b"\xff$(id)'\""),
        (b"", b""),
    ] {
        start(&place, 0, 0o400, content).run().ran().has("TOKEN", value);
    }
}

#[test]
fn a_name_and_its_file_are_one_too_many() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    start(&place, 0, 0o400, SECRET.as_bytes()).with("TOKEN", "here").run().refused(&["TOKEN", "TOKEN_FILE"]);
}

#[test]
fn a_secret_that_cannot_be_had_is_refused() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    place.start().with("TAKUMI_SECRETS", "TOKEN").run().refused(&["TOKEN_FILE"]);
    let missing = place.path("missing");
    place.start().with("TAKUMI_SECRETS", "TOKEN").with("TOKEN_FILE", missing).run().refused(&["TOKEN", "missing"]);
    start(&place, 0, 0o400, format!("{SECRET}\0x").as_bytes()).run().refused(&["TOKEN"]);
}

#[test]
fn a_secret_wins_over_an_env_file() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let file = place.file(".env", format!("TOKEN=file\nOTHER={}\n", cipher("ASCII")));
    let start = start(&place, 0, 0o400, SECRET.as_bytes()).with("TAKUMI_ENV_FILE", file);
    start.with("DOTENV_PRIVATE_KEY", KEY).run().ran().has("TOKEN", SECRET).has("OTHER", "hello");
}

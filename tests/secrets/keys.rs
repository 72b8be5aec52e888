//! Where the private key may come from.

use crate::support::{CONTAINERS, KEY, OTHER_KEY, PUBLIC_KEY, SecretsFixture, cipher};
use crate::values::key_of;
use takumi_test::require;

fn lines() -> String {
    format!("DOTENV_PUBLIC_KEY=\"{PUBLIC_KEY}\"\nTOKEN={}\n", cipher("HF_TOKEN"))
}

const TOKEN: &str = "hf_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn a_key_comes_from_a_file() {
    require!(namespaces, setpriv);
    let place = SecretsFixture::enter();
    let start = || place.with_env(lines()).without("DOTENV_PRIVATE_KEY");
    for content in [KEY.to_owned(), format!("{KEY}\n"), format!("{OTHER_KEY},{KEY}\r\n")] {
        let key = place.owned_file("key", content, 0, 0o400);
        let ended = start().with("DOTENV_PRIVATE_KEY_FILE", key).run().ran();
        ended.has("TOKEN", TOKEN).lacks("DOTENV_PRIVATE_KEY_FILE");
    }
    // Somebody else's, as a compose secret is: what the container's six capabilities are enough for.
    let key = place.owned_file("key", KEY, 4321, 0o600);
    start().with("DOTENV_PRIVATE_KEY_FILE", key).through(CONTAINERS).run().ran().has("TOKEN", TOKEN);
}

#[test]
fn a_list_of_keys_is_tried_in_turn() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    for keys in [format!("{OTHER_KEY},{KEY}"), format!("{KEY},{OTHER_KEY}"), format!("{OTHER_KEY}, {KEY}")] {
        place.with_env(lines()).with("DOTENV_PRIVATE_KEY", keys).run().ran().has("TOKEN", TOKEN);
    }
}

/// `.env.production` asks for DOTENV_PRIVATE_KEY_PRODUCTION, beside a `.env` that asks for DOTENV_PRIVATE_KEY.
#[test]
fn each_file_has_its_own_key() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let files = [place.file(".env", lines()), place.file(".env.production", include_str!("vectors/env.production"))];
    let start = place.start().with("TAKUMI_ENV_FILE", files.join(":")).with("DOTENV_PRIVATE_KEY", KEY);
    let ended = start.with("DOTENV_PRIVATE_KEY_PRODUCTION", key_of(include_str!("vectors/env.keys"))).run().ran();
    ended.has("TOKEN", TOKEN).has("ASCII", "hello").lacks("DOTENV_PRIVATE_KEY").lacks("DOTENV_PRIVATE_KEY_PRODUCTION");
}

#[test]
fn a_plain_file_needs_no_key() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    place.with_env("A=1\n").without("DOTENV_PRIVATE_KEY").run().ran().has("A", "1");
}

#[test]
fn a_key_and_a_file_with_a_key_are_one_too_many() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    let key = place.owned_file("key", KEY, 0, 0o400);
    place.with_env(lines()).with("DOTENV_PRIVATE_KEY_FILE", key).run().refused(&["DOTENV_PRIVATE_KEY_FILE"]);
}

#[test]
fn a_key_that_is_none_is_refused() {
    require!(namespaces);
    let place = SecretsFixture::enter();
    for key in [&KEY[..63], &format!("{KEY}0"), &KEY.replace('3', "g"), &"0".repeat(64), &"f".repeat(64)] {
        place.with_env(lines()).with("DOTENV_PRIVATE_KEY", key).run().refused(&["DOTENV_PRIVATE_KEY"]);
        let key = place.owned_file("key", key, 0, 0o400);
        let start = place.with_env(lines()).without("DOTENV_PRIVATE_KEY").with("DOTENV_PRIVATE_KEY_FILE", key);
        start.run().refused(&["DOTENV_PRIVATE_KEY"]);
    }
}

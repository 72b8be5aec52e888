//! `takumi-secrets`: keys and encrypted values in .env files, as dotenvx makes them, without Node.
//!
//! No verb prints a value or a private key, and none takes one from the command line, which every user can read.

mod check;
mod env_file;
mod keys;
mod prompt;
mod verbs;

use log::{Level, LevelFilter, error};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
takumi-secrets key FILE               create a key pair: the public key in FILE, the private key in .env.keys beside it
takumi-secrets encrypt FILE [NAME...] encrypt every value in FILE that is not encrypted yet, or only those named
takumi-secrets set FILE NAME          ask for the value, or take it from a pipe (newlines at its end are cut off), and encrypt it
takumi-secrets rotate FILE            create a new key pair and encrypt every encrypted value again
takumi-secrets check FILE             list names and states; exit code 1 if init would refuse FILE or a secret is not encrypted

The private key is read from DOTENV_PRIVATE_KEY, from the file in DOTENV_PRIVATE_KEY_FILE, or from .env.keys; for .env.production
it is DOTENV_PRIVATE_KEY_PRODUCTION. No value is ever printed. See docs/secrets.md.
";

/// One line a reason, without a value.
type Message = String;

/// Does what the words of the command line say.
pub fn run() -> ExitCode {
    init_logging();
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let text: Vec<&str> = words.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let file = words.get(1).map(Path::new);
    let done = match (text.first().copied(), file) {
        (Some("-h" | "--help"), _) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        (Some("key"), Some(file)) if words.len() == 2 => verbs::make_key(file),
        (Some("encrypt"), Some(file)) => verbs::encrypt(file, &text[2..]),
        (Some("set"), Some(file)) if words.len() == 3 => verbs::set(file, text[2]),
        (Some("rotate"), Some(file)) if words.len() == 2 => verbs::rotate(file),
        (Some("check"), Some(file)) if words.len() == 2 => check::check(file),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.lines().for_each(|line| error!("{line}"));
            ExitCode::FAILURE
        }
    }
}

/// At TAKUMI_LOG, as `init` does.
fn init_logging() {
    let mut logger = env_logger::Builder::new();
    logger.filter_level(LevelFilter::Info).parse_env("TAKUMI_LOG");
    logger.format(|line, record| match record.level() {
        Level::Error | Level::Info => writeln!(line, "takumi-secrets: {}", record.args()),
        level => writeln!(line, "takumi-secrets: {}: {}", level.as_str().to_lowercase(), record.args()),
    });
    logger.init();
}

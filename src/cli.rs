//! Verbs and options.

use crate::boot::NodesVerb;
use crate::settings::table::Help;
use crate::sys::entry::InitialStack;
use crate::sys::io;
use crate::text::Escaped;
use crate::{boot, logging, probe};
use log::error;
use std::ffi::{CStr, c_int};

const USAGE: &str = "\
usage: init [--] COMMAND [ARG]...    start COMMAND as an unprivileged user and stay as PID 1
       init --report [--json]         every check of a start; changes nothing; exit 1 where a start would be refused
       init --check [--json]          health probe of a running container: exit 0 healthy, 1 unhealthy
       init --nodes list|show|approve|revoke [NAME] [--json]
                                      what custom nodes can do; approve them by content digest
       init --help | -h | --version

Options end at the first word that is not an option: `init python app.py --version` starts Python with its own option.

Exit codes: COMMAND's own; 125 init refused or failed before COMMAND ran; 126 COMMAND could not be executed; 127 COMMAND was not
found; 128+N COMMAND died of signal N.

Settings (environment):

";

/// What the command line asks for.
#[derive(PartialEq, Eq, Debug)]
enum Verb<'a> {
    Start(&'a [&'a CStr]),
    Help,
    Version,
    Report {
        json: bool,
    },
    Check {
        json: bool,
    },
    /// A probe's exit code is 0 or 1, whatever it was asked.
    UnknownCheckOption(&'a CStr),
    Nodes {
        verb: NodesVerb<'a>,
        json: bool,
    },
    InvalidNodes,
    UnknownOption(&'a CStr),
}

fn parse<'a>(arguments: &'a [&'a CStr]) -> Verb<'a> {
    let Some((&first, rest)) = arguments.split_first() else { return Verb::Start(&[]) };
    match first.to_bytes() {
        b"--" => Verb::Start(rest),
        b"--help" | b"-h" => Verb::Help,
        b"--version" => Verb::Version,
        b"--report" => match rest {
            [] => Verb::Report { json: false },
            [json] if json.to_bytes() == b"--json" => Verb::Report { json: true },
            [other, ..] => Verb::UnknownOption(other),
        },
        b"--check" => match rest {
            [] => Verb::Check { json: false },
            [json] if json.to_bytes() == b"--json" => Verb::Check { json: true },
            [json, other, ..] if json.to_bytes() == b"--json" => Verb::UnknownCheckOption(other),
            [other, ..] => Verb::UnknownCheckOption(other),
        },
        b"--nodes" => nodes(rest),
        [b'-', _, ..] => Verb::UnknownOption(first),
        _ => Verb::Start(arguments),
    }
}

/// The words behind `--nodes`.
fn nodes<'a>(words: &'a [&'a CStr]) -> Verb<'a> {
    let json = words.last().is_some_and(|word| word.to_bytes() == b"--json");
    let words = if json { &words[..words.len() - 1] } else { words };
    let verb = match words {
        [] => NodesVerb::List,
        [list] if list.to_bytes() == b"list" => NodesVerb::List,
        [verb, name] => match verb.to_bytes() {
            b"show" => NodesVerb::Show(name),
            b"approve" => NodesVerb::Approve(name),
            b"revoke" => NodesVerb::Revoke(name),
            _ => return Verb::InvalidNodes,
        },
        _ => return Verb::InvalidNodes,
    };
    Verb::Nodes { verb, json }
}

/// The whole program: argv and environment in, exit code out.
pub fn run(stack: InitialStack) -> c_int {
    let arguments = stack.arguments.get(1..).unwrap_or_default();
    let code = match parse(arguments) {
        Verb::Start(command) => boot::start(command, stack.environment),
        Verb::Help => print(&format!("{USAGE}{Help}")),
        Verb::Version => print(concat!("takumi-init ", env!("CARGO_PKG_VERSION"), "\n")),
        Verb::Report { json } => boot::report(stack.environment.variables(), json),
        Verb::Check { json } => probe::check(stack.environment.variables(), json),
        Verb::UnknownCheckOption(option) => {
            usage_error(option, "is not an option of init --check (see init --help)", 1)
        }
        Verb::Nodes { verb, json } => boot::nodes(stack.environment.variables(), verb, json),
        Verb::InvalidNodes => {
            usage_error(c"--nodes", "needs list, or show, approve or revoke with a node's name; --json is optional", 1)
        }
        Verb::UnknownOption(option) => usage_error(
            option,
            "is not an option of init (see init --help; to start a COMMAND of that name: init -- NAME)",
            125,
        ),
    };
    c_int::from(code)
}

fn print(text: &str) -> u8 {
    match io::write_stdout(text.as_bytes()) {
        Ok(()) => 0,
        Err(errno) => {
            logging::install();
            error!("cannot write to stdout: {errno}");
            1
        }
    }
}

fn usage_error(word: &CStr, why: &str, code: u8) -> u8 {
    logging::install();
    error!("{} {why}", Escaped(word.to_bytes()));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_end_at_the_first_word_that_is_none() {
        for (arguments, verb) in [
            (&[][..], Verb::Start(&[])),
            (&[c"--"], Verb::Start(&[])),
            (&[c"app", c"--version"], Verb::Start(&[c"app", c"--version"])),
            (&[c"--", c"--version"], Verb::Start(&[c"--version"])),
            (&[c"--", c"--", c"x"], Verb::Start(&[c"--", c"x"])),
            (&[c"-", c"x"], Verb::Start(&[c"-", c"x"])),
            (&[c""], Verb::Start(&[c""])),
            (&[c"--version", c"app"], Verb::Version),
            (&[c"-h"], Verb::Help),
            (&[c"--nodes", c"list", c"--json"], Verb::Nodes { verb: NodesVerb::List, json: true }),
            (&[c"--nodes", c"show", c"-x"], Verb::Nodes { verb: NodesVerb::Show(c"-x"), json: false }),
            (&[c"--nodes", c"approve"], Verb::InvalidNodes),
            (&[c"--nodes", c"delete", c"x"], Verb::InvalidNodes),
            (&[c"--check"], Verb::Check { json: false }),
            (&[c"--check", c"--json"], Verb::Check { json: true }),
            (&[c"--check", c"--yaml"], Verb::UnknownCheckOption(c"--yaml")),
            (&[c"--check", c"--json", c"app"], Verb::UnknownCheckOption(c"app")),
            (&[c"--report"], Verb::Report { json: false }),
            (&[c"--report", c"--json"], Verb::Report { json: true }),
            (&[c"--report", c"--yaml"], Verb::UnknownOption(c"--yaml")),
            (&[c"--yolo", c"app"], Verb::UnknownOption(c"--yolo")),
            (&[c"-g", c"app"], Verb::UnknownOption(c"-g")),
        ] {
            assert_eq!(parse(arguments), verb, "{arguments:?}");
        }
    }
}

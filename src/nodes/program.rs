//! `takumi-nodes`: what a person or `init` starts.

use super::approvals::{Approvals, ReportCache};
use super::verbs::{Verb, VerbContext, VerbResult, full_report};
use super::verdict;
use super::{review, tree};
use crate::settings::{Settings, value_of};
use crate::sys::{credentials, handover, io};
use crate::text::SingleLine;
use log::{debug, error};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsString};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const USAGE: &str = "\
takumi-nodes scan PATH [--json]   what a node could do, before it is installed: exit 0 nothing needs review, 1 something does,
                                  2 it could not be scanned

Run it as an ordinary user. TAKUMI_SCAN_COMMAND names another scanner than bandit, TAKUMI_LOG=debug says more. What is
installed in a container is shown by `init --nodes list` there, which starts this program.
";
const EXIT_UNSCANNED: u8 = 2;
/// Of what `init` keeps.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// The whole program.
pub fn run() -> ExitCode {
    let filter = env_logger::Env::new().filter_or("TAKUMI_LOG", "warn");
    let line = |buffer: &mut env_logger::fmt::Formatter, record: &log::Record| {
        writeln!(buffer, "takumi-nodes: {}: {}", record.level(), record.args())
    };
    // A level that is none of its own is init's matter, which says so.
    let _ = env_logger::Builder::from_env(filter).format(line).try_init();
    let signal = match watch_for_signals() {
        Ok(signal) => signal,
        Err(why) => return fail(&format!("cannot wait for signals: {why}")),
    };
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let text: Vec<&str> = words.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let variables: Vec<CString> = variables().collect();
    let variables: Vec<&CStr> = variables.iter().map(CString::as_c_str).collect();
    let stopped = || signal.load(Ordering::Relaxed) != 0;
    let code = match text.as_slice() {
        ["-h" | "--help"] => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        ["--version"] => {
            println!("takumi-nodes {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        ["scan", _] => scan(Path::new(&words[1]), false, &variables, &stopped),
        ["scan", _, "--json"] => scan(Path::new(&words[1]), true, &variables, &stopped),
        ["--for-init", response, approvals, reports, kept, verb, ..] => {
            let rest: Vec<String> = words[6..].iter().map(|word| word.to_string_lossy().into_owned()).collect();
            let numbers = [*response, *approvals, *reports, *kept];
            serve_init(numbers, verb, rest, &variables, &stopped)
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(EXIT_UNSCANNED)
        }
    };
    match signal.load(Ordering::Relaxed) {
        0 => code,
        number => {
            error!("stopped by signal {number}; no result");
            ExitCode::from(u8::try_from(128 + number).unwrap_or(u8::MAX))
        }
    }
}

/// The number of the first SIGINT or SIGTERM, which ends the scanners; the second ends this program as if nobody had
/// asked for it.
fn watch_for_signals() -> std::io::Result<Arc<AtomicUsize>> {
    let signal = Arc::new(AtomicUsize::new(0));
    let again = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for number in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_default(number, Arc::clone(&again))?;
        signal_hook::flag::register(number, Arc::clone(&again))?;
        signal_hook::flag::register_usize(number, Arc::clone(&signal), number.unsigned_abs() as usize)?;
    }
    Ok(signal)
}

fn variables() -> impl Iterator<Item = CString> {
    let each =
        |(name, value): (OsString, OsString)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok();
    std::env::vars_os().filter_map(each)
}

fn fail(why: &str) -> ExitCode {
    error!("{}", SingleLine(why));
    ExitCode::from(EXIT_UNSCANNED)
}

/// A stranger's files are read by nobody who could do more with them than their owner.
fn refuse_capabilities() -> Result<(), String> {
    for set in [caps::CapSet::Effective, caps::CapSet::Permitted, caps::CapSet::Inheritable, caps::CapSet::Ambient] {
        let held = caps::read(None, set).map_err(|error| format!("cannot read the capabilities: {error}"))?;
        if !held.is_empty() {
            return Err(format!(
                "refusing to read untrusted files with {} capabilities ({set:?}): run it as an ordinary user, without sudo",
                held.len()
            ));
        }
    }
    Ok(())
}

fn scan(path: &Path, json: bool, variables: &[&CStr], stopped: &dyn Fn() -> bool) -> ExitCode {
    let scanned = || -> Result<verdict::NodeVerdict, String> {
        refuse_capabilities()?;
        // The others are those of a container.
        let is_needed = |variable: &&&CStr| variable.to_bytes().starts_with(b"TAKUMI_SCAN_COMMAND=");
        let variables: Vec<&CStr> = variables.iter().filter(is_needed).copied().collect();
        let settings = Settings::from_environment(&variables)
            .map_err(|mistakes| mistakes.iter().map(|it| it.to_string() + "; ").collect::<String>())?;
        let cannot = |why: &dyn std::fmt::Display| format!("cannot read {}: {why}", path.display());
        let whole = path.canonicalize().map_err(|error| cannot(&error))?;
        let c = |text: &Path| CString::new(text.as_os_str().as_bytes()).map_err(|error| cannot(&error));
        let parent = io::open_path(&c(whole.parent().unwrap_or(Path::new("/")))?).map_err(|errno| cannot(&errno))?;
        let name = c(Path::new(whole.file_name().ok_or_else(|| cannot(&"it is the root"))?))?;
        debug!("reading {}", whole.display());
        let tree = tree::read_node(&parent, &name).map_err(|errno| cannot(&errno))?;
        let result = review::review_one(tree, &settings.scan_command, stopped);
        verdict::compare_with_approvals(&[result], &BTreeMap::new()).pop().ok_or_else(|| cannot(&"no result"))
    };
    let verdict = match scanned() {
        Ok(verdict) => verdict,
        Err(why) => return fail(&why),
    };
    if stopped() {
        return ExitCode::from(EXIT_UNSCANNED);
    }
    match json.then(|| serde_json::to_string(&verdict)) {
        Some(Ok(text)) => println!("{text}"),
        Some(Err(error)) => return fail(&error.to_string()),
        None => print!("{}", full_report(&verdict)),
    }
    match verdict.status {
        verdict::ReviewStatus::NothingFound => ExitCode::SUCCESS,
        verdict::ReviewStatus::Unscanned => ExitCode::from(EXIT_UNSCANNED),
        _ => ExitCode::FAILURE,
    }
}

/// For `init`: answers on a descriptor, reads what is known from two others and writes what is to be kept to the last.
fn serve_init(
    numbers: [&str; 4],
    verb: &str,
    rest: Vec<String>,
    variables: &[&CStr],
    stopped: &dyn Fn() -> bool,
) -> ExitCode {
    let descriptor = |number: &str| -> Result<OwnedFd, String> {
        let wrong = |why: &dyn std::fmt::Display| {
            format!("descriptor {number}: {why} (only init starts this program with --for-init)")
        };
        handover::claim_inherited(number.parse().map_err(|error| wrong(&error))?).map_err(|errno| wrong(&errno))
    };
    let known = |number: &str| match number {
        "-" => Ok(Vec::new()),
        _ => handover::read_from_start(&descriptor(number)?, MAX_KEPT_BYTES)
            .map_err(|errno| format!("cannot read approvals or reports: {errno}")),
    };
    let [response_fd, approvals, reports, kept] = numbers;
    let response_fd = match descriptor(response_fd) {
        Ok(response_fd) => response_fd,
        Err(why) => return fail(&why),
    };
    let done = || -> Result<VerbResult, String> {
        let kept = descriptor(kept)?;
        let (approvals, reports) = (known(approvals)?, known(reports)?);
        credentials::set_not_dumpable().map_err(|errno| format!("cannot become undumpable: {errno}"))?;
        refuse_capabilities()?;
        let settings = Settings::from_environment(variables)
            .map_err(|mistakes| mistakes.iter().map(|it| it.to_string() + "; ").collect::<String>())?;
        let json = rest.last().is_some_and(|word| word == "--json");
        let nodes = VerbContext {
            virtual_env: value_of(variables, b"VIRTUAL_ENV").and_then(|value| CString::new(value).ok()),
            approvals: Approvals::parse(&approvals),
            reports: ReportCache::parse(&reports, &settings.scan_command),
            settings: &settings,
            stopped,
        };
        let done = nodes.execute(parse_verb(verb, rest)?, json)?;
        if let Some(content) = &done.kept {
            io::write_whole(&kept, content).map_err(|errno| format!("cannot write state: {errno}"))?;
        }
        io::write_stdout(done.printed.as_bytes()).map_err(|errno| format!("cannot write to stdout: {errno}"))?;
        Ok(done)
    };
    let response = match done() {
        Ok(done) => done.response,
        Err(error) => super::response::Response { error: Some(error), ..Default::default() },
    };
    if stopped() {
        return ExitCode::FAILURE;
    }
    match serde_json::to_vec(&response).map(|text| io::write_whole(&response_fd, &text)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        _ => fail("cannot answer init"),
    }
}

fn parse_verb(verb: &str, mut rest: Vec<String>) -> Result<Verb, String> {
    let mut name = || rest.drain(..).next().ok_or_else(|| format!("{verb} needs a node's name"));
    Ok(match verb {
        "start" => Verb::Start,
        "report" => Verb::Report,
        "list" => Verb::List,
        "show" => Verb::Show(name()?),
        "approve" => Verb::Approve(name()?),
        "revoke" => Verb::Revoke(name()?),
        "aside" => Verb::Quarantine(rest),
        "back" => Verb::Restore(rest),
        _ => return Err(format!("{verb} is not a verb of takumi-nodes")),
    })
}

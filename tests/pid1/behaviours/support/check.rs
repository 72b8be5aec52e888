//! Runs a behaviour against the programs and compares with what is known of the controls.

use super::Program;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use takumi_test::poll::{PATIENCE, eventually_within};
use takumi_test::requirement::lacks;

/// The reason in `known_failures.txt` of a behaviour that a control has no option for.
pub const NO_SUCH_OPTION: &str = "no such option";

thread_local! {
    static PATIENT_FOR: Cell<Duration> = const { Cell::new(PATIENCE) };
}

/// How long to wait for what should come: long on a loaded machine, short where it is known that it will not come.
pub fn patience() -> Duration {
    PATIENT_FOR.get()
}

/// Polls until there is an answer; panics with `what` when patience ends.
pub fn eventually<T>(what: &str, answer: impl FnMut() -> Option<T>) -> T {
    eventually_within(patience(), what, answer)
}

/// Runs `behaviour` against `init`, tini and dumb-init. `init` must pass; a control must pass unless `known_failures.txt`
/// says that it fails, and then it must fail.
pub fn check(id: &str, behaviour: impl Fn(Program)) {
    check_programs(id, &[Program::Init, Program::Tini, Program::DumbInit], behaviour);
}

/// The same for what only `init` has.
pub fn check_init(behaviour: impl Fn(Program)) {
    check_programs("init only", &[Program::Init], behaviour);
}

/// What a check of `init` alone would find wrong, found right with another program: that the check can fail.
pub fn check_control(program: Program, behaviour: impl Fn(Program)) {
    check_programs("control", &[program], behaviour);
}

fn check_programs(id: &str, programs: &[Program], behaviour: impl Fn(Program)) {
    // Controls have races of their own on a loaded machine: what is said of them must be seen twice. `init` has one try.
    let judge = |program: &Program| match (run_behaviour(id, *program, &behaviour), program) {
        (Err(_), Program::Tini | Program::DumbInit) => run_behaviour(id, *program, &behaviour),
        (verdict, _) => verdict,
    };
    let wrong: Vec<String> = programs.iter().filter_map(|program| judge(program).err()).collect();
    assert!(wrong.is_empty(), "{id}:\n  {}", wrong.join("\n  "));
}

fn run_behaviour(id: &str, program: Program, behaviour: impl Fn(Program)) -> Result<(), String> {
    if lacks(program.needs()) {
        return Ok(());
    }
    let known = known_failure(id, program);
    PATIENT_FOR.set(if known.is_some() { Duration::from_secs(2) } else { PATIENCE });
    let failure = catch_unwind(AssertUnwindSafe(|| behaviour(program))).err().map(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
    });
    match (failure, known) {
        (None, None) => Ok(()),
        (Some(failure), None) => Err(format!("{program} fails: {failure}")),
        (None, Some(reason)) => Err(format!("{program} passes, but is known to fail: {reason}")),
        (Some(failure), Some(reason)) if (failure == NO_SUCH_OPTION) != (reason == NO_SUCH_OPTION) => {
            Err(format!("{program} fails otherwise than known ({reason}): {failure}"))
        }
        (Some(_), Some(_)) => Ok(()),
    }
}

/// A line of the file is: program, id, reason.
fn known_failure(id: &str, program: Program) -> Option<&'static str> {
    let lines = include_str!("../known_failures.txt").lines();
    let mut entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let mut words = line.splitn(3, char::is_whitespace);
        let mut word = || words.next().unwrap_or_else(|| panic!("known_failures.txt: {line:?}"));
        (word(), word(), word().trim())
    });
    entries.find(|(name, known, _)| *name == program.name() && *known == id).map(|(_, _, reason)| reason)
}

//! Exhaustive fault injection: every system call between the start of `init` and COMMAND's exec, in `init` and in its
//! child, fails in every way, once and for ever, and those that set or read an identity also lie. However the kernel
//! answers, COMMAND runs as it should or not at all.
//!
//! gosu and setpriv run through the same table as controls: a table that does not show their leaks proves nothing.

mod run;
mod trace;

use run::{Fault, InjectionOutcome, Profile, Worker};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use takumi_test::level::full;
use takumi_test::program::installed;
use takumi_test::require;
use takumi_test::state::State;
use trace::Point;

const ERRORS: [&str; 6] =
    ["error=EPERM", "error=EINVAL", "error=EAGAIN", "error=ENOSYS", "error=EINTR", "error=ENOMEM"];
const LIE: &str = "retval=0";

/// Calls that set what COMMAND gets, and those that such a setting is verified with. A lie of another call is no
/// privilege's business: an mmap that answers 0 is a crash.
const LIED: &[&str] = &[
    "capget", "capset", "chdir", "chown", "clearenv", "close", "close_range", "dup", "dup2", "dup3", "execve",
    "execveat", "faccessat", "faccessat2", "fchdir", "fchown", "fchownat", "fcntl", "fstat", "getcwd", "getdents64",
    "getegid", "geteuid", "getgid", "getgroups", "getppid", "getresgid", "getresuid", "getuid", "ioctl", "keyctl",
    "kill", "landlock_create_ruleset", "landlock_restrict_self", "lstat", "mkdir", "mkdirat", "newfstatat", "open",
    "openat", "openat2", "prctl", "pread64", "prlimit64", "read", "readlink", "readlinkat", "readv", "rt_sigaction",
    "rt_sigprocmask", "seccomp", "setgid", "setgroups", "setpgid", "setregid", "setresgid", "setresuid", "setreuid",
    "setsid", "setuid", "stat", "statx", "umask", "unlink", "unlinkat",
];

/// Calls of libc's own start, before any program's first line: in a launched start an injection would meet the launcher's
/// start, and one for ever COMMAND's. The other starts have them all.
const LIBC_START: &[&str] = &[
    "arch_prctl", "brk", "getrandom", "mprotect", "prlimit64", "readlink", "rseq", "set_robust_list", "set_tid_address",
];

/// Profile and fault by number, what came of it.
type Results = Vec<(usize, usize, InjectionOutcome)>;

struct Case {
    profile: Profile,
    base: State,
    calls: usize,
    faults: Vec<Fault>,
}

/// Which faults of a call are tried.
type Selection = fn(&Profile, &Point) -> Vec<Fault>;

#[test]
fn a_sample_of_the_kernels_answers_lets_command_run_no_weaker() {
    require!(namespaces, strace, gosu, setpriv);
    no_answer_lets_command_run_weaker(sample);
}

/// Every call: it takes the machine's cores for many minutes.
#[test]
fn whole_table_of_the_kernels_answers_lets_command_run_no_weaker() {
    require!(namespaces, strace, gosu, setpriv);
    no_answer_lets_command_run_weaker(every_fault);
}

fn no_answer_lets_command_run_weaker(selection: Selection) {
    let mut worker = Worker::new();
    let mut cases: Vec<Case> = profiles().into_iter().map(|profile| case(&mut worker, profile, selection)).collect();
    let ours = cases.len();
    cases.extend(controls(&mut worker));
    drop(worker);

    let results = run_all(&cases);
    eprintln!("{}", table(&cases, &results));

    let bad: Vec<String> = results
        .iter()
        .filter(|(case, _, outcome)| {
            *case < ours
                && !matches!(outcome, InjectionOutcome::Stopped | InjectionOutcome::Ok | InjectionOutcome::NotHit)
        })
        .map(|(case, fault, outcome)| describe(&cases[*case], *fault, outcome))
        .collect();
    assert!(bad.is_empty(), "{} of {} runs:\n{}", bad.len(), results.len(), bad.join("\n"));

    let count = |wanted: &dyn Fn(&InjectionOutcome) -> bool, which: usize| {
        results.iter().filter(|(case, _, outcome)| *case == which && wanted(outcome)).count()
    };
    let missed: Vec<String> = results
        .iter()
        .filter(|(case, _, outcome)| *case < ours && *outcome == InjectionOutcome::NotHit)
        .map(|(case, fault, outcome)| describe(&cases[*case], *fault, outcome))
        .collect();
    assert!(missed.len() * 100 <= results.len(), "the log does not show these injections:\n{}", missed.join("\n"));
    let leaks = |which| count(&|outcome| matches!(outcome, InjectionOutcome::Leak(_)), which);
    let weak = |which| count(&|outcome| matches!(outcome, InjectionOutcome::Weak(_)), which);
    assert_eq!(leaks(ours), 4, "gosu's four leaks were not seen: this table proves nothing");
    assert!(leaks(ours + 1) == 4 && weak(ours + 1) > 0, "setpriv's leaks and weak states were not seen");
}

/// Every check that may be skipped: what it reads is no privilege's business, and one start has them all.
const NO_SHIELDS: (&str, &str) = (
    "TAKUMI_SKIP",
    "user-namespace,seccomp,apparmor,privileged-container,host-namespaces,runtime-socket,limits,readonly-root,tmpfs,baked-paths,\
     dangerous-mounts,masked-paths,default-route,proxy-environment,proxy-reachable,proxy-denies,direct-egress,gpu-nodes,\
     gpu-access,gpu-driver,gpu-libraries",
);

/// The ways in which `init` is started.
fn profiles() -> Vec<Profile> {
    let named = |name, mut environment: Vec<(&'static str, &'static str)>| {
        if !environment.iter().any(|(variable, _)| *variable == "TAKUMI_SKIP") {
            environment.push(NO_SHIELDS);
        }
        Profile { name, words: vec!["init"], environment, ..Profile::default() }
    };
    vec![
        named("root to 1000", vec![("PUID", "1000"), ("PGID", "1000"), ("TAKUMI_LOG", "warn")]),
        // The sockets are searched in every mount of this machine: that is no start of a container's.
        named("all checks", vec![("PUID", "1000"), ("TAKUMI_SKIP", "runtime-socket"), ("TAKUMI_LOG", "warn")]),
        Profile {
            wrong_owner: true,
            ..named(
                "volume, groups",
                vec![
                    ("TAKUMI_USER", "app"),
                    ("TAKUMI_GROUPS", "44,wheel"),
                    ("UMASK", "027"),
                    ("TAKUMI_VOLUMES", "{volume}"),
                    ("TAKUMI_LOG", "warn"),
                ],
            )
        },
        // A file that is read as root: what COMMAND gets of it is part of the state.
        named("a .env file", vec![("PUID", "1000"), ("TAKUMI_ENV_FILE", "{volume}/.env"), ("TAKUMI_LOG", "warn")]),
        // All of it or no start. A rule that was only said to be made closes a place and opens none, so no lie of that call is here.
        named(
            "sandbox",
            vec![
                ("PUID", "1000"),
                ("TAKUMI_CONFINE", "strict"),
                ("TAKUMI_WRITABLE", "{place}"),
                ("TAKUMI_LOG", "warn"),
            ],
        ),
        Profile { user: Some("plain"), ..named("ordinary user", vec![("TAKUMI_LOG", "warn")]) },
        Profile { first: true, ..named("PID 1, pipes", vec![("PUID", "1000"), ("TAKUMI_LOG", "warn")]) },
    ]
}

/// gosu with the set-family and one reader; setpriv with what it drops.
fn controls(worker: &mut Worker) -> [Case; 2] {
    let (gosu, setpriv) = (installed("gosu"), installed("setpriv"));
    let named = |name, words: Vec<String>| Profile {
        name,
        words: words.into_iter().map(|word| &*word.leak()).collect(),
        execs: true,
        ..Profile::default()
    };
    let path = |tool: std::path::PathBuf| tool.to_str().unwrap().to_owned();
    let gosu = named("control: gosu", vec![path(gosu), "1000:1000".to_owned()]);
    let options = "--reuid 1000 --regid 1000 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all";
    let words = std::iter::once(path(setpriv)).chain(options.split(' ').map(str::to_owned)).collect();
    let setpriv = named("control: setpriv", words);
    [case(worker, gosu, sample), case(worker, setpriv, sample)]
}

fn case(worker: &mut Worker, profile: Profile, selection: Selection) -> Case {
    let (points, base) = worker.baseline(&profile);
    let faults = points.iter().flat_map(|point| selection(&profile, point)).collect();
    Case { profile, base, calls: points.len(), faults }
}

/// What the other starts try in every way already, and what only looks: one error and the lie, at any level but the full one.
fn is_brief(profile: &Profile, point: &Point) -> bool {
    let of_the_lock = point.call.starts_with("landlock") || point.call == "seccomp";
    ["all checks", "sandbox"].contains(&profile.name) && !of_the_lock && !full()
}

fn every_fault(profile: &Profile, point: &Point) -> Vec<Fault> {
    let lie = LIED.contains(&point.call.as_str()).then_some(LIE);
    let launched = profile.let_go_too_early() || point.role == trace::Role::Child;
    let twice = |answer| [false, true].map(|for_ever| Fault { point: point.clone(), answer, for_ever });
    ERRORS
        .into_iter()
        .take(if is_brief(profile, point) { 1 } else { ERRORS.len() })
        .chain(lie)
        .flat_map(twice)
        .filter(|fault| {
            let elsewhere = launched && LIBC_START.contains(&point.call.as_str());
            !elsewhere || !(fault.for_ever || point.before_main)
        })
        .collect()
}

/// What is enough for a control, and for a first look. The first call of each name: what follows is the same again.
fn sample(_: &Profile, point: &Point) -> Vec<Fault> {
    let family = ["setgroups", "setgid", "setuid", "setresgid", "setresuid", "prctl", "capset"];
    if point.index > 1 || point.role != trace::Role::Starter || !family.contains(&point.call.as_str()) {
        return Vec::new();
    }
    let fault = |answer, for_ever| Fault { point: point.clone(), answer, for_ever };
    vec![fault("error=EPERM", false), fault("error=EPERM", true), fault(LIE, false), fault(LIE, true)]
}

fn run_all(cases: &[Case]) -> Results {
    let jobs: Vec<(usize, usize)> = cases
        .iter()
        .enumerate()
        .flat_map(|(case, each)| (0..each.faults.len()).map(move |fault| (case, fault)))
        .collect();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(jobs.len())));
    let workers = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut worker = Worker::new();
                while let Some(&(case, fault)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Case { profile, base, faults, .. } = &cases[case];
                    let outcome = worker.outcome(profile, &faults[fault], base);
                    results.lock().unwrap().push((case, fault, outcome));
                }
            });
        }
    });
    results.into_inner().unwrap()
}

fn table(cases: &[Case], results: &Results) -> String {
    let heads = ["STOPPED", "OK", "WEAK", "LEAK", "HANG", "SILENT", "WRONGCODE", "MUTE", "not hit"];
    let mut text = format!("{:18}{:>7}{:>7}", "start", "calls", "runs");
    heads.iter().for_each(|head| text.push_str(&format!("{head:>10}")));
    for (which, case) in cases.iter().enumerate() {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, _, outcome) in results.iter().filter(|(case, ..)| *case == which) {
            *counts.entry(column(outcome)).or_default() += 1;
        }
        text.push_str(&format!("\n{:18}{:>7}{:>7}", case.profile.name, case.calls, case.faults.len()));
        heads.iter().for_each(|head| text.push_str(&format!("{:>10}", counts.get(head).unwrap_or(&0))));
    }
    text
}

fn column(outcome: &InjectionOutcome) -> &'static str {
    match outcome {
        InjectionOutcome::Stopped => "STOPPED",
        InjectionOutcome::Ok => "OK",
        InjectionOutcome::Weak(_) => "WEAK",
        InjectionOutcome::Leak(_) => "LEAK",
        InjectionOutcome::Hang => "HANG",
        InjectionOutcome::Silent => "SILENT",
        InjectionOutcome::WrongCode(_) => "WRONGCODE",
        InjectionOutcome::Mute => "MUTE",
        InjectionOutcome::NotHit => "not hit",
    }
}

fn describe(case: &Case, fault: usize, outcome: &InjectionOutcome) -> String {
    let Fault { point, answer, for_ever } = &case.faults[fault];
    let often = if *for_ever { "for ever from" } else { "once at" };
    let Point { role, call, index, .. } = point;
    format!("{}: {answer} {often} {call} #{index} of {role:?}: {outcome:?}", case.profile.name)
}

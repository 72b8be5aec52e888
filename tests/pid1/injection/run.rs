//! One start under strace, with or without an injection, and its outcome.

use super::trace::{self, Point, Role};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use takumi_test::namespace::MountNamespace;
use takumi_test::poll::PATIENCE;
use takumi_test::program::{example, init, installed};
use takumi_test::state::{Compared, State};

/// What `state_probe` exits with.
const COMMANDS_CODE: i32 = 42;
/// How often "for ever" is where strace cannot be told to let go at COMMAND's exec; a bounded retry is far below.
const MANY: u32 = 150;

/// A way to start COMMAND.
#[derive(Clone, Default)]
pub struct Profile {
    pub name: &'static str,
    /// The program and its words before COMMAND; `init` stands for the one under test.
    pub words: Vec<&'static str>,
    /// `{place}` stands for a directory of the worker's, `{volume}` for one below it.
    pub environment: Vec<(&'static str, &'static str)>,
    /// Started by this user of the test's /etc/passwd instead of root.
    pub user: Option<&'static str>,
    /// PID 1 of a pid namespace, with pipes for stdio.
    pub first: bool,
    /// The program spawns nothing: it becomes COMMAND.
    pub execs: bool,
    /// The volume holds a file of somebody else's that COMMAND must find its own.
    pub wrong_owner: bool,
}

impl Profile {
    pub fn let_go_too_early(&self) -> bool {
        self.first || self.execs
    }
}

/// What is returned instead of the kernel's answer, and how often.
#[derive(Clone, Debug)]
pub struct Fault {
    pub point: Point,
    /// As strace spells it: `error=EPERM`, `retval=0`.
    pub answer: &'static str,
    pub for_ever: bool,
}

/// The outcomes of the table; the texts say what was seen.
#[derive(Debug, PartialEq)]
pub enum InjectionOutcome {
    Stopped,
    Ok,
    Weak(String),
    Leak(String),
    Hang,
    Silent,
    WrongCode(String),
    /// Stopped without a word on stderr.
    Mute,
    /// The log does not show the injection: this run says nothing.
    NotHit,
}

/// What one start left behind.
pub struct Run {
    pub code: Option<i32>,
    pub state: Option<State>,
    pub log: String,
    pub said: String,
    owner_right: bool,
    null_kept: bool,
    ran: bool,
}

/// A place for the runs of one thread, one after the other.
pub struct Worker {
    world: MountNamespace,
    init: PathBuf,
    probe: PathBuf,
    strace: PathBuf,
    unshare: PathBuf,
    runs: u32,
}

impl Worker {
    pub fn new() -> Worker {
        let (strace, unshare) = (installed("strace"), installed("unshare"));
        let (init, probe) = (init(), example("state_probe"));
        let world = MountNamespace::enter();
        let (init, probe) = (world.program(&init, 0o711), world.program(&probe, 0o755));
        Worker { world, init, probe, strace, unshare, runs: 0 }
    }

    /// The calls of an undisturbed start, and the state that COMMAND must be in.
    pub fn baseline(&mut self, profile: &Profile) -> (Vec<Point>, State) {
        let run = self.start(profile, None);
        let state = run.state.unwrap_or_else(|| panic!("{}: COMMAND did not run: {}", profile.name, run.said));
        assert_eq!(run.code, Some(COMMANDS_CODE), "{}: {}", profile.name, run.said);
        assert!(run.owner_right, "{}: the volume kept a wrong owner", profile.name);
        (trace::points(&run.log, &self.program(profile), self.probe.to_str().unwrap()), state)
    }

    pub fn outcome(&mut self, profile: &Profile, fault: &Fault, base: &State) -> InjectionOutcome {
        let run = self.start(profile, Some(fault));
        let probe = self.probe.to_str().unwrap();
        if !trace::hit(&run.log, fault.point.role, &self.program(profile), probe) && run.code.is_some() {
            return InjectionOutcome::NotHit;
        }
        classify(&run, fault, base)
    }

    fn program(&self, profile: &Profile) -> String {
        match profile.words[0] {
            "init" => self.init.to_str().unwrap().to_owned(),
            peer => peer.to_owned(),
        }
    }

    fn start(&mut self, profile: &Profile, fault: Option<&Fault>) -> Run {
        self.runs += 1;
        let place = self.world.scratch.clone();
        let (log, report) = (place.join("log"), place.join(format!("report.{}", self.runs)));
        let volume = place.join("volume");
        prepare_volume(&volume, profile.wrong_owner);

        // A pid namespace for each: no process of the machine is seen, and none of the start outlives it.
        let mut command = Command::new(&self.unshare);
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(&self.strace).arg("-f").arg("-o").arg(&log);
        if let Some(user) = profile.user {
            command.args(["-u", user]);
        }
        // Where strace may let go of what execs, COMMAND is not disturbed. It would let go too early of a program that
        // is started by our launcher, and lose one that becomes COMMAND; there COMMAND makes the disturbed calls before it
        // looks at anything.
        let launched = profile.let_go_too_early() || fault.is_some_and(|fault| fault.point.role == Role::Child);
        let mut burnt = Vec::new();
        match fault {
            None => {
                command.args(["-n", "-e", "trace=all"]);
            }
            Some(Fault { point, answer, for_ever }) => {
                let last = point.index + if *for_ever { MANY } else { 0 };
                let when = match (for_ever, launched) {
                    (false, _) => last.to_string(),
                    (true, false) => format!("{}+", point.index),
                    (true, true) => format!("{}..{last}", point.index),
                };
                if launched {
                    burnt = vec!["burn".to_owned(), point.number.to_string(), last.to_string()];
                }
                command.args(["-e", &format!("trace={},execve", point.call)]);
                command.args(["-e", &format!("inject={}:{answer}:when={when}", point.call)]);
            }
        }
        if launched {
            command.arg(&self.probe).arg("launch");
            if profile.first {
                command.arg("pidns");
            }
            if fault.is_some_and(|fault| fault.point.role == Role::Child) {
                command.args(&burnt);
            }
            command.arg("--");
        } else {
            command.args(["-b", "execve"]);
        }
        command.arg(self.program(profile)).args(&profile.words[1..]);
        command.arg(&self.probe).arg("report").arg(&report).args(&burnt);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        for (name, value) in &profile.environment {
            let value = value.replace("{volume}", volume.to_str().unwrap());
            command.env(name, value.replace("{place}", place.to_str().unwrap()));
        }

        let (code, said) = self.wait(command, profile.first);
        let log = fs::read_to_string(log).unwrap_or_default();
        let ran = trace::command_ran(&log, self.probe.to_str().unwrap());
        let state = ran.then(|| finished(&report)).flatten();
        let _ = fs::remove_file(&report);
        let owner_right = !profile.wrong_owner || fs::metadata(volume.join("stray")).is_ok_and(|meta| meta.uid() != 0);
        let null_kept = self.world.keeps_null();
        Run { code, state, log, said, owner_right, null_kept, ran }
    }

    /// Exit code, none when patience ends, and what was said on stderr.
    fn wait(&self, mut command: Command, pipes: bool) -> (Option<i32>, String) {
        let words = self.world.scratch.join("stderr");
        command.stdin(Stdio::null()).stderr(fs::File::create(&words).unwrap());
        command.stdout(if pipes { Stdio::piped() } else { Stdio::null() });
        let mut child = command.current_dir("/").spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(500);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > deadline {
                // strace is the namespace's PID 1 and dies with its parent: the kernel ends the rest.
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(4));
        };
        let code = status.map(|status| status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        (code, String::from_utf8_lossy(&fs::read(&words).unwrap_or_default()).into_owned())
    }
}

fn prepare_volume(volume: &Path, wrong_owner: bool) {
    fs::create_dir_all(volume).unwrap();
    fs::set_permissions(volume, fs::Permissions::from_mode(0o755)).unwrap();
    let stray = volume.join("stray");
    fs::write(&stray, b"").unwrap();
    let env_file = volume.join(".env");
    fs::write(&env_file, "HOME=/from/the/file\n").unwrap();
    chown(&env_file, Some(1000), Some(1000)).unwrap();
    let owner = if wrong_owner { 0 } else { 1000 };
    chown(&stray, Some(owner), Some(owner)).unwrap();
    chown(volume, Some(1000), Some(1000)).unwrap();
}

/// COMMAND may outlive a supervisor that died: its report is waited for.
fn finished(report: &Path) -> Option<State> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = State::read(report);
        if state.is_some() || Instant::now() > deadline {
            return state;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn classify(run: &Run, fault: &Fault, base: &State) -> InjectionOutcome {
    let compared = run.state.as_ref().map(|state| state.compare(base));
    match (&compared, run.code) {
        (Some(Compared::Leak(what)), _) => return InjectionOutcome::Leak(what.clone()),
        (Some(Compared::Weak(what)), _) => return InjectionOutcome::Weak(what.clone()),
        _ if !run.null_kept => return InjectionOutcome::Weak("/dev/null was given away".to_owned()),
        (_, None) => return InjectionOutcome::Hang,
        _ => {}
    }
    let code = run.code.unwrap_or(0);
    if compared.is_some() {
        // A volume that is not all the user's may do (its root was proved writable), but not in silence.
        let told = run.said.contains("init: warn: volume ");
        return match (run.owner_right || told, code) {
            (false, _) => InjectionOutcome::Weak("the volume kept a wrong owner and nobody was told".to_owned()),
            (true, COMMANDS_CODE) => InjectionOutcome::Ok,
            (true, other) => InjectionOutcome::WrongCode(format!("{other} after COMMAND ended with {COMMANDS_CODE}")),
        };
    }
    let execs = fault.point.call.starts_with("execve");
    match code {
        0 => InjectionOutcome::Silent,
        _ if run.ran => InjectionOutcome::WrongCode(format!("{code}, COMMAND was started and left no report")),
        _ if fault.point.before_main => InjectionOutcome::Stopped,
        125 if run.said.is_empty() && !fault.point.call.starts_with("write") => InjectionOutcome::Mute,
        125 => InjectionOutcome::Stopped,
        126 | 127 if execs => InjectionOutcome::Stopped,
        other => InjectionOutcome::WrongCode(format!("{other}: {}", run.said.trim_end())),
    }
}

//! One start of a program under test: the builder, and the launcher behind it.

use super::program::{Options, Program, Scope};
use super::running::{ProgramEnd, Running};
use super::stream::Stream;
use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use takumi_test::program::example;
use takumi_test::signal::number;
use takumi_test::spec::{PidPosition, Spec, Terminal};

/// The directory, inside, of the program under test and of the probe: every user may execute them there, wherever they were
/// built.
const PROGRAMS: &str = "/run/programs";
pub const PROBE: &str = "/run/programs/probe";

/// What a standard descriptor is.
pub enum Stdio {
    Null,
    /// Read or written by the test.
    Pipe,
    Closed,
    Given(OwnedFd),
}

pub struct Start {
    program: Program,
    pub options: Options,
    separator: Option<bool>,
    extra: Vec<String>,
    command: Vec<Vec<u8>>,
    environment: Vec<(Vec<u8>, Vec<u8>)>,
    stdio: [Stdio; 3],
    descriptors: Vec<(OwnedFd, i32)>,
    spec: Spec,
}

impl Start {
    /// As PID 1, with nothing on stdin and both outputs collected.
    pub fn new(program: Program) -> Self {
        let path = format!("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{PROGRAMS}");
        Start {
            program,
            options: Options::default(),
            separator: None,
            extra: Vec::new(),
            command: Vec::new(),
            environment: vec![(b"PATH".into(), path.into())],
            stdio: [Stdio::Null, Stdio::Pipe, Stdio::Pipe],
            descriptors: Vec::new(),
            spec: Spec {
                place: PidPosition::First,
                file: format!("{PROGRAMS}/{program}").into(),
                arguments: Vec::new(),
                environment: Vec::new(),
                descriptors: Vec::new(),
                blocked: Vec::new(),
                ignored: Vec::new(),
                limits: Vec::new(),
                umask: 0o022,
                nice: 0,
                directory: b"/".into(),
                root: None,
                binds: Vec::new(),
                proc: true,
                terminal: None,
                user: None,
                without_capabilities: Vec::new(),
            },
        }
    }

    /// COMMAND and its arguments.
    pub fn command<T: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.command.extend(words.into_iter().map(|word| word.as_ref().as_bytes().to_vec()));
        self
    }

    /// COMMAND is the probe, told in its words.
    pub fn probe(self, words: &str) -> Self {
        self.command([PROBE]).command(words.split_whitespace())
    }

    /// An argument for the program itself.
    pub fn argument(mut self, word: &str) -> Self {
        self.extra.push(word.into());
        self
    }

    /// Whether `--` stands before COMMAND; without this call each program gets what it needs.
    pub fn separator(mut self, wanted: bool) -> Self {
        self.separator = Some(wanted);
        self
    }

    pub fn scope(mut self, scope: Scope) -> Self {
        self.options.scope = Some(scope);
        self
    }

    /// `to` empty drops the signal.
    pub fn rewrite(mut self, from: &str, to: &str) -> Self {
        self.options.rewrite_by_number(from, to);
        self
    }

    pub fn rewrite_as_said(mut self, from: &str, to: &str) -> Self {
        self.options.rewrite.push((from.into(), to.into()));
        self
    }

    /// SIGTERM, this time, SIGKILL.
    pub fn grace(mut self, time: &str) -> Self {
        self.options.grace = Some(time.into());
        self
    }

    pub fn exit_ok(mut self, codes: &str) -> Self {
        self.options.exit_ok = Some(codes.into());
        self
    }

    pub fn subreaper(mut self) -> Self {
        self.options.subreaper = true;
        self
    }

    pub fn parent_death(mut self, signal: &str) -> Self {
        self.options.parent_death = Some(signal.into());
        self
    }

    /// Whom COMMAND runs as; the controls get gosu in front of it.
    pub fn user(mut self, user: &str) -> Self {
        self.options.user = Some(user.into());
        self
    }

    pub fn verbose(mut self) -> Self {
        self.options.verbose = true;
        self
    }

    /// The program says which orphans it reaps.
    pub fn reap_log(mut self) -> Self {
        self.options.reap_log = true;
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let name = name.as_ref().as_bytes();
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.as_ref().as_bytes().into()));
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name.as_bytes());
        self
    }

    /// A setting of `init`; nothing for the controls.
    pub fn setting(self, name: &str, value: &str) -> Self {
        if self.program == Program::Init { self.env(name, value) } else { self }
    }

    /// As process 3, with a parent that waits for it and a process 1 that only reaps.
    pub fn not_first(mut self) -> Self {
        self.spec.place = PidPosition::Third;
        self
    }

    pub fn blocked(mut self, signals: &[&str]) -> Self {
        self.spec.blocked = signals.iter().map(|signal| number(signal)).collect();
        self
    }

    pub fn ignored(mut self, signals: &[&str]) -> Self {
        self.spec.ignored = signals.iter().map(|signal| number(signal)).collect();
        self
    }

    pub fn limit(mut self, resource: u32, soft: u64, hard: u64) -> Self {
        self.spec.limits.push((resource, soft, hard));
        self
    }

    pub fn umask(mut self, mask: u32) -> Self {
        self.spec.umask = mask;
        self
    }

    pub fn nice(mut self, nice: i32) -> Self {
        self.spec.nice = nice;
        self
    }

    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.spec.directory = path.as_ref().as_os_str().as_bytes().to_vec();
        self
    }

    /// Its root; the working directory stays where it is.
    pub fn root(mut self, path: &str) -> Self {
        self.spec.root = Some(path.into());
        self
    }

    /// Mounts `source` at `target` inside.
    pub fn bind(mut self, source: impl AsRef<Path>, target: &str) -> Self {
        self.spec.binds.push((source.as_ref().as_os_str().as_bytes().to_vec(), target.into()));
        self
    }

    pub fn without_proc(mut self) -> Self {
        self.spec.proc = false;
        self
    }

    /// The program itself is started as this user, as `docker run --user` does it.
    pub fn started_as(mut self, uid: u32, gid: u32) -> Self {
        self.spec.user = Some((uid, gid));
        self
    }

    pub fn without_capability(mut self, capability: u32) -> Self {
        self.spec.without_capabilities.push(capability);
        self
    }

    pub fn stdin(mut self, stdio: Stdio) -> Self {
        self.stdio[0] = stdio;
        self
    }

    pub fn stdout(mut self, stdio: Stdio) -> Self {
        self.stdio[1] = stdio;
        self
    }

    pub fn stderr(mut self, stdio: Stdio) -> Self {
        self.stdio[2] = stdio;
        self
    }

    /// A further descriptor.
    pub fn descriptor(mut self, number: i32, descriptor: impl Into<OwnedFd>) -> Self {
        self.descriptors.push((descriptor.into(), number));
        self
    }

    /// The slave of a pseudo-terminal as all three standard descriptors and, unless `role` is nothing, as controlling
    /// terminal.
    pub fn terminal(mut self, slave: OwnedFd, role: Option<Terminal>) -> Self {
        self.stdio[0] = Stdio::Given(slave.try_clone().unwrap());
        self.stdio[1] = Stdio::Given(slave.try_clone().unwrap());
        self.stdio[2] = Stdio::Given(slave);
        self.spec.terminal = role;
        self
    }

    /// Starts and waits for the end.
    pub fn run(self) -> ProgramEnd {
        self.spawn().wait()
    }

    pub fn spawn(self) -> Running {
        let (name, command) =
            (self.program.to_string(), String::from_utf8_lossy(&self.command.join(&b' ')).into_owned());
        self.try_spawn().unwrap_or_else(|errno| panic!("exec of {name} {command:.200}: {errno}"))
    }

    /// An error is that of the execve of the program under test itself.
    pub fn try_spawn(mut self) -> std::io::Result<Running> {
        self.complete();
        let mut descriptors = std::mem::take(&mut self.descriptors);
        let mut running_stdin = None;
        let mut outputs = [None, None];
        for (number, stdio) in self.stdio.into_iter().enumerate() {
            let theirs: OwnedFd = match stdio {
                Stdio::Closed => continue,
                Stdio::Null => std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").unwrap().into(),
                Stdio::Given(descriptor) => descriptor,
                Stdio::Pipe => {
                    let (reader, writer) = std::io::pipe().unwrap();
                    if number == 0 {
                        running_stdin = Some(writer);
                        reader.into()
                    } else {
                        outputs[number - 1] = Some(Stream::new(reader));
                        writer.into()
                    }
                }
            };
            descriptors.push((theirs, number as i32));
        }
        self.spec.descriptors = descriptors.iter().map(|(theirs, number)| (theirs.as_raw_fd(), *number)).collect();
        let (launcher, control) = launch(&self.spec);
        drop(descriptors);
        Running::new(launcher, control, running_stdin, outputs)
    }

    fn complete(&mut self) {
        let program = self.program;
        let mut words = program.arguments(&self.options);
        let separator = words.iter().position(|word| word == "--");
        match (self.separator, separator) {
            (Some(false), Some(index)) => drop(words.remove(index)),
            (Some(true), None) => words.insert(0, "--".into()),
            _ => {}
        }
        let mut arguments = vec![program.name().to_string()];
        arguments.append(&mut self.extra);
        arguments.append(&mut words);
        self.spec.arguments = arguments.into_iter().map(String::into_bytes).collect();
        self.spec.arguments.append(&mut self.command);
        for (name, value) in program.settings(&self.options) {
            if !self.environment.iter().any(|(known, _)| known == name.as_bytes()) {
                self.environment.push((name.into(), value.into_bytes()));
            }
        }
        self.spec.environment = self.environment.iter().map(|(name, value)| [&name[..], value].join(&b'=')).collect();
        let inside = format!("{PROGRAMS}/{program}").into_bytes();
        // First, so that a bind of the whole tree has them too.
        let probe = (example("probe").into_os_string().into_encoded_bytes(), PROBE.into());
        self.spec.binds.splice(0..0, [(program.path().as_os_str().as_bytes().to_vec(), inside), probe]);
    }
}

fn launch(spec: &Spec) -> (Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let inherited: Vec<i32> = spec.descriptors.iter().map(|(from, _)| *from).collect();
    let mut command = Command::new(example("launch"));
    command.stdin(OwnedFd::from(theirs));
    // SAFETY: fcntl is async-signal-safe and the closure allocates nothing.
    unsafe {
        command.pre_exec(move || {
            for descriptor in &inherited {
                libc::fcntl(*descriptor, libc::F_SETFD, 0);
            }
            Ok(())
        });
    }
    let launcher = command.spawn().expect("start the launcher");
    drop(command);
    (&ours).write_all((serde_json::to_string(spec).unwrap() + "\n").as_bytes()).unwrap();
    (launcher, ours)
}

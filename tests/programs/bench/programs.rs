//! Who is measured: a program's name, the words that stand before COMMAND, and its environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where all of them look for programs, COMMAND's included.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `init` as it would be if it looked at nothing but itself.
pub const WITHOUT_CHECKS: &str = "init, no checks";
/// `init` as it is, with the sandbox.
pub const CONFINED: &str = "init, confined";
/// Whatever TAKUMI_SKIP takes.
const EVERY_CHECK: &str = "user-namespace,seccomp,apparmor,privileged-container,host-namespaces,runtime-socket,limits,\
    readonly-root,tmpfs,baked-paths,dangerous-mounts,masked-paths,default-route,proxy-environment,proxy-reachable,\
    proxy-denies,direct-egress,gpu-nodes,gpu-access,gpu-driver,gpu-libraries";

/// The programs that stay as PID 1 over COMMAND.
pub const SUPERVISORS: &[&str] = &["tini", "tini-static", "dumb-init", "catatonit", "init"];

/// One way to start a COMMAND.
pub struct Program {
    pub name: &'static str,
    words: Vec<PathBuf>,
    env: &'static [(&'static str, &'static str)],
}

/// What the run is about: the binary under test and the directory that scripts/bench.sh prepared.
pub struct BenchFolder {
    pub work: PathBuf,
}

impl BenchFolder {
    /// `true` at another name: the COMMAND of which only the first and the last moment matter.
    pub fn stamp(&self) -> PathBuf {
        self.work.join("stamp")
    }

    /// This program, as COMMAND.
    pub fn bench(&self) -> PathBuf {
        self.work.join("bench")
    }

    /// The binary under test.
    pub fn init(&self) -> PathBuf {
        self.work.join("init")
    }

    /// All programs for a start as root, COMMAND becoming uid 1000 where the program can do that.
    pub fn as_root(&self) -> Vec<Program> {
        let entrypoint = self.work.join("entrypoint.sh");
        let entrypoint = entrypoint.to_str().unwrap();
        let setpriv =
            "setpriv --reuid 1000 --regid 1000 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all";
        self.installed(&[
            ("direct", ""),
            ("tini", "tini --"),
            ("tini-static", "tini-static --"),
            ("dumb-init", "dumb-init --"),
            ("catatonit", "catatonit --"),
            ("gosu", "gosu 1000:1000"),
            ("setpriv", setpriv),
            ("tini+gosu", "tini -- gosu 1000:1000"),
            ("tini+setpriv", &format!("tini -- {setpriv}")),
            ("tini+sh+gosu", &format!("tini -- {entrypoint} gosu 1000:1000")),
            ("init", "init"),
            (WITHOUT_CHECKS, "init"),
            (CONFINED, "init"),
        ])
    }

    /// The programs that stay over COMMAND, started as whoever runs this, and `direct`.
    pub fn supervisors(&self) -> Vec<Program> {
        self.as_root().into_iter().filter(|p| p.name == "direct" || SUPERVISORS.contains(&p.name)).collect()
    }

    fn installed(&self, list: &[(&'static str, &str)]) -> Vec<Program> {
        let mut programs = Vec::new();
        for (name, line) in list {
            let words: Option<Vec<PathBuf>> = line.split_whitespace().map(|word| self.resolve(word)).collect();
            let env: &[_] = match *name {
                "init" => &[("PUID", "1000"), ("TAKUMI_LOG", "warn"), ("TAKUMI_EGRESS", "off")],
                WITHOUT_CHECKS => &[("PUID", "1000"), ("TAKUMI_LOG", "warn"), ("TAKUMI_SKIP", EVERY_CHECK)],
                CONFINED => &[
                    ("PUID", "1000"),
                    ("TAKUMI_LOG", "warn"),
                    ("TAKUMI_EGRESS", "off"),
                    ("TAKUMI_CONFINE", "auto"),
                    ("http_proxy", "http://127.0.0.1:8888"),
                ],
                _ => &[],
            };
            match words {
                Some(words) => programs.push(Program { name, words, env }),
                None => println!("{name}: not installed, left out"),
            }
        }
        programs
    }

    /// A program's absolute path, so that nobody's search of PATH is measured; other words stay.
    fn resolve(&self, word: &str) -> Option<PathBuf> {
        match word {
            "init" => Some(self.init()),
            "tini" | "tini-static" | "dumb-init" | "catatonit" | "gosu" | "setpriv" => {
                PATH.split(':').map(|dir| Path::new(dir).join(word)).find(|path| path.exists())
            }
            _ => Some(PathBuf::from(word)),
        }
    }
}

impl Program {
    /// `before PROGRAM command` with a minimal environment, nothing on stdin, and stdout as a pipe.
    pub fn over(&self, before: &[PathBuf], command: &[PathBuf]) -> Command {
        let mut words = before.iter().chain(&self.words).chain(command);
        let mut run = Command::new(words.next().unwrap());
        run.args(words).env_clear().env("PATH", PATH).envs(self.env.iter().copied());
        run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        run
    }

    /// The file that is PID 1's, none for `direct`.
    pub fn binary(&self) -> Option<&Path> {
        self.words.first().map(PathBuf::as_path)
    }
}

/// Those of `programs` over which `command` runs and ends well; says what the others answered.
pub fn working(programs: Vec<Program>, before: &[PathBuf], command: &[PathBuf]) -> Vec<Program> {
    let works = |program: &Program| {
        let output = program.over(before, command).stderr(Stdio::piped()).output();
        let answer = match output {
            Ok(output) if output.status.success() => return true,
            Ok(output) => format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()),
            Err(error) => error.to_string(),
        };
        println!("{}: left out, it does not run {}: {answer}", program.name, command[0].display());
        false
    };
    programs.into_iter().filter(works).collect()
}

/// `unshare`'s words that make what follows PID 1 of a fresh pid namespace with its own /proc.
pub fn as_pid_1() -> Vec<PathBuf> {
    ["/usr/bin/unshare", "--pid", "--fork", "--mount-proc", "--kill-child"].iter().map(PathBuf::from).collect()
}

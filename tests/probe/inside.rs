//! A pid namespace with its own /run, what is PID 1 there, and checks that are run in it.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use takumi_test::folder::Folder;
use takumi_test::poll::eventually;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The binary under test where every user can start it and none but root read it: `init` in this folder.
pub fn install() -> Folder {
    let folder = Folder::new();
    // In a process of its own: a file that this one had open for writing may be held by a child that another test forks.
    let files = [takumi_test::program::init(), folder.join("init")];
    assert!(Command::new("install").args(["-m", "711"]).args(files).status().unwrap().success());
    folder
}

/// A pid namespace under way; it ends with the value.
pub struct PidNamespace {
    unshare: Child,
    /// PID 1, as the host counts.
    pub first: u32,
    folder: Folder,
}

/// What a check said.
#[derive(Debug)]
pub struct Checked {
    /// None where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The largest resident set of whatever took part, in KiB.
    pub memory: u64,
}

impl PidNamespace {
    /// `init` over COMMAND: `require!(namespaces)`.
    #[track_caller]
    pub fn init(environment: &[(&str, &str)], command: &[&str]) -> PidNamespace {
        PidNamespace::init_after("true", environment, command)
    }

    /// The same after a line of root's shell.
    #[track_caller]
    pub fn init_after(line: &str, environment: &[(&str, &str)], command: &[&str]) -> PidNamespace {
        let folder = install();
        let init = folder.join("init");
        let inside = PidNamespace::with(folder, line, environment, &[&[init.to_str().unwrap()], command].concat());
        // Its name tells that COMMAND has been executed.
        eventually("COMMAND", || inside.name().starts_with("init:").then_some(()));
        inside
    }

    /// Anything as PID 1.
    #[track_caller]
    pub fn of(environment: &[(&str, &str)], words: &[&str]) -> PidNamespace {
        PidNamespace::with(install(), "true", environment, words)
    }

    /// Anything as PID 1, after a line of root's shell (/run is an empty tmpfs by then), beside this `init`.
    #[track_caller]
    pub fn with(folder: Folder, line: &str, environment: &[(&str, &str)], words: &[&str]) -> PidNamespace {
        let line = format!("mount -t tmpfs -o mode=755 tmpfs /run && {line} && exec \"$0\" \"$@\"");
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", &line]).args(words);
        unshare.env_clear().env("PATH", PATH).env("TAKUMI_LOG", "warn").envs(environment.iter().copied());
        let unshare = unshare.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let id = unshare.id();
        let first = eventually("PID 1", || {
            let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
            let first = children.trim().parse::<u32>().ok()?;
            let comm = std::fs::read_to_string(format!("/proc/{first}/comm")).ok()?;
            (!matches!(comm.trim(), "unshare" | "sh" | "mount")).then_some(first)
        });
        PidNamespace { unshare, first, folder }
    }

    /// The binary under test.
    pub fn path(&self) -> String {
        self.folder.join("init").to_str().unwrap().to_owned()
    }

    /// PID 1's name.
    pub fn name(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/comm", self.first)).unwrap_or_default().trim().to_owned()
    }

    /// COMMAND, as the host counts: PID 1's oldest child.
    pub fn command(&self) -> u32 {
        let first = self.first;
        eventually("a child of PID 1", || {
            let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).ok()?;
            children.split_whitespace().next()?.parse().ok()
        })
    }

    /// Sends a signal to a process of it.
    pub fn signal(&self, id: u32, signal: i32) {
        // SAFETY: takes numbers only; the process belongs to this namespace, whose PID 1 is not yet reaped.
        unsafe { libc::kill(id as i32, signal) };
    }

    /// A command that runs in it as root.
    pub fn enter(&self, words: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/nsenter");
        command.args(["--target", &self.first.to_string(), "--mount", "--pid", "--"]).args(words);
        command.env_clear().env("PATH", PATH).stdin(Stdio::null());
        command
    }

    /// Runs a shell line in it as root.
    pub fn shell(&self, line: &str) {
        let output = self.enter(&["sh", "-ec", line]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// `init --check` as root.
    pub fn check(&self, environment: &[(&str, &str)]) -> Checked {
        run(self.enter(&[&self.path(), "--check"]).envs(environment.iter().copied()))
    }

    /// The same with JSON, parsed.
    pub fn check_json(&self, environment: &[(&str, &str)]) -> serde_json::Value {
        let checked = run(self.enter(&[&self.path(), "--check", "--json"]).envs(environment.iter().copied()));
        let value: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap_or_else(|_| panic!("{checked:?}"));
        assert_eq!(value["healthy"], checked.code == Some(0), "{checked:?}");
        value
    }

    /// `init --check` as an ordinary user.
    pub fn check_as(&self, user: &str, environment: &[(&str, &str)]) -> Checked {
        let init = self.path();
        let words = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--", &init, "--check"];
        run(self.enter(&words).envs(environment.iter().copied()))
    }
}

impl Drop for PidNamespace {
    fn drop(&mut self) {
        // Its change of user has cleared what --kill-child asked for.
        self.signal(self.first, libc::SIGKILL);
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// Runs a command to its end, and measures its memory. (`wait` is wait4, which clippy does not know.)
#[allow(clippy::zombie_processes)]
pub fn run(command: &mut Command) -> Checked {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let errors = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap());
    let stdout = std::io::read_to_string(stdout).unwrap();
    let (status, memory) = wait(&child);
    let stderr = errors.join().unwrap();
    Checked { code: status.code(), stdout, stderr, memory }
}

/// Waits for the end and returns the largest resident set, in KiB.
pub fn wait(child: &Child) -> (std::process::ExitStatus, u64) {
    let mut status = 0;
    // SAFETY: both are plain data and outlive the call; the child is ours and nobody else waits for it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::wait4(child.id() as i32, &mut status, 0, &mut usage), child.id() as i32);
        usage
    };
    (std::process::ExitStatus::from_raw(status), usage.ru_maxrss.unsigned_abs())
}

impl Checked {
    /// The first word is the state, and the exit code goes with it.
    #[track_caller]
    pub fn expect(&self, state: &str) -> &Self {
        let first = self.stdout.split(':').next().unwrap_or_default();
        assert_eq!(first, state, "{self:?}");
        let well = matches!(state, "healthy" | "busy");
        assert_eq!(self.code, Some(i32::from(!well)), "{self:?}");
        self
    }

    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        assert!(self.stdout.contains(words), "expected {words:?}: {self:?}");
        self
    }
}

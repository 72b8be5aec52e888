//! Starts that something must prepare between fork and exec: signals that are already pending, a filter, a cgroup.

use super::support::{Process, Program, Scratch, Start, eventually};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use takumi_test::program::example;

/// Puts the program as PID 1 into a namespace where no process may signal another.
pub const UNKILLABLE: &str = "unshare --pid --fork --mount-proc --kill-child PROBE unkillable --";

/// The program runs as a child of the test, below the words that prepare it.
pub struct Prepared {
    child: Child,
    scratch: Scratch,
}

impl Prepared {
    /// `wrapper` ends in the program's exec; COMMAND is the signal probe with the arguments given. PROBE, RECORD and SCRATCH
    /// in either stand for the probe's path, for the file of [`Prepared::record`] and for a directory of the test's own.
    pub fn start(program: Program, wrapper: &str, settings: &[(&str, &str)], arguments: &str) -> Self {
        Self::start_command(program, wrapper, settings, &format!("PROBE {arguments}"))
    }

    /// The same with any COMMAND.
    pub fn start_command(program: Program, wrapper: &str, settings: &[(&str, &str)], command: &str) -> Self {
        let scratch = Scratch::new();
        // COMMAND's user may not enter the directory where it was built.
        let copied = Command::new("cp").arg(example("signal_probe")).arg(scratch.path("probe")).status();
        assert!(copied.unwrap().success(), "cannot copy the signal probe");
        let fill_in = |word: &str| {
            let word = word.replace("PROBE", &scratch.path("probe")).replace("RECORD", &scratch.path("record"));
            word.replace("SCRATCH", &scratch.path(""))
        };
        let options = Start::new(program).options;
        let mut words: Vec<String> = wrapper.split_whitespace().map(fill_in).collect();
        words.push(program.path().to_str().unwrap().into());
        words.extend(program.arguments(&options));
        words.extend(command.split_whitespace().map(fill_in));
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(program.settings(&options))
            .envs(settings.iter().filter(|_| program == Program::Init).copied())
            .stdin(Stdio::null())
            .stdout(File::create(scratch.path("stdout")).unwrap())
            .stderr(File::create(scratch.path("stderr")).unwrap());
        let child = command.spawn().unwrap();
        Prepared { child, scratch }
    }

    pub fn record(&self) -> PathBuf {
        self.scratch.path("record").into()
    }

    pub fn errors(&self) -> String {
        self.file("stderr")
    }

    pub fn output(&self) -> String {
        self.file("stdout")
    }

    /// What is in a file of SCRATCH.
    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.scratch.path(name)).unwrap()
    }

    /// What was started first: the program itself, unless a namespace stands between.
    pub fn first(&self) -> Process {
        Process(self.child.id() as i32)
    }

    /// The program, where it is PID 1 below unshare.
    pub fn program(&self) -> Process {
        eventually("the program", || self.first().children().first().copied())
    }

    /// COMMAND of a program below unshare.
    pub fn child(&self) -> Process {
        eventually("COMMAND", || self.program().children().first().copied())
    }

    /// Waits for the end; a death by signal is told as 128 + N, as a shell tells it.
    pub fn exit(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let status = eventually("the end", || self.child.try_wait().unwrap());
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for process in self.first().descendants() {
            // It may be gone by now.
            // SAFETY: no memory is involved.
            unsafe { libc::kill(process.0, libc::SIGKILL) };
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A program under test that was started, and what becomes of it.

use super::check::{eventually, patience};
use super::process::Process;
use super::state::State;
use super::stream::Stream;
use std::io::{BufRead, BufReader, PipeWriter};
use std::os::unix::net::UnixStream;
use std::process::Child;
use takumi_test::signal::number;
use takumi_test::spec::LaunchEvent;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

#[derive(Debug)]
pub struct ProgramEnd {
    pub exit: Exit,
    pub stdout: String,
    pub stderr: String,
}

/// A program under test that runs; dropping it kills its namespace.
pub struct Running {
    /// The program under test, by its pid outside.
    pub process: Process,
    pub stdin: Option<PipeWriter>,
    pub stdout: Option<Stream>,
    pub stderr: Option<Stream>,
    /// Inner pids of orphans that came to process 1 ([`Start::not_first`]), up to the last [`Running::exit`].
    pub orphans: Vec<i32>,
    /// News that came before the start's, the last one first.
    early: Vec<LaunchEvent>,
    control: BufReader<UnixStream>,
    launcher: Child,
}

impl Running {
    /// An error is that of the execve of the program under test.
    pub fn new(
        launcher: Child,
        control: UnixStream,
        stdin: Option<PipeWriter>,
        [stdout, stderr]: [Option<Stream>; 2],
    ) -> std::io::Result<Self> {
        let (process, control) = (Process(0), BufReader::new(control));
        let (orphans, early) = (Vec::new(), Vec::new());
        let mut running = Running { process, stdin, stdout, stderr, orphans, early, control, launcher };
        loop {
            match running.news() {
                LaunchEvent::Started(pid) => running.process = Process(pid),
                LaunchEvent::NotStarted(errno) => return Err(std::io::Error::from_raw_os_error(errno)),
                // What processes 1 and 2 tell is not in step with what the launcher tells.
                news => {
                    running.early.push(news);
                    continue;
                }
            }
            running.early.reverse();
            return Ok(running);
        }
    }

    /// Sends to the program under test, from outside.
    pub fn signal(&self, signal: &str) {
        self.process.signal(number(signal));
    }

    /// The next line of standard output; panics at the end or when patience ends.
    pub fn line(&mut self) -> String {
        let line = self.stdout.as_mut().expect("a piped stdout").line();
        line.unwrap_or_else(|| panic!("no further line; stdout {:?}, stderr {:?}", self.output(), self.errors()))
    }

    /// Waits until COMMAND says `text`.
    pub fn await_line(&mut self, text: &str) {
        while self.line() != text {}
    }

    pub fn ready(mut self) -> Self {
        self.await_line("ready");
        self
    }

    /// The next line, which is the probe's `state`.
    pub fn state(&mut self) -> State {
        State::parse(&self.line())
    }

    /// The process of the namespace that has this pid inside.
    pub fn inside(&self, pid: i32) -> Process {
        let all = self.process.descendants();
        all.into_iter().find(|process| process.inner_pid() == pid).unwrap_or_else(|| panic!("no process {pid}"))
    }

    /// COMMAND, once it is there.
    pub fn child(&self) -> Process {
        eventually("a child", || self.process.children().first().copied())
    }

    pub fn output(&self) -> String {
        self.stdout.as_ref().map(Stream::so_far).unwrap_or_default()
    }

    pub fn errors(&self) -> String {
        self.stderr.as_ref().map(Stream::so_far).unwrap_or_default()
    }

    /// Waits for the end of the program under test, and of it alone.
    pub fn exit(&mut self) -> Exit {
        loop {
            match self.early.pop().unwrap_or_else(|| self.news()) {
                LaunchEvent::Ended(status) if libc::WIFSIGNALED(status) => return Exit::Signal(libc::WTERMSIG(status)),
                LaunchEvent::Ended(status) => return Exit::Code(libc::WEXITSTATUS(status)),
                LaunchEvent::Orphan(pid) => self.orphans.push(pid),
                LaunchEvent::Started(_) | LaunchEvent::NotStarted(_) => panic!("the launcher speaks out of turn"),
            }
        }
    }

    /// Waits for the end, ends what is left of the namespace and returns what was written.
    pub fn wait(mut self) -> ProgramEnd {
        self.stdin.take();
        let exit = self.exit();
        self.end();
        let text = |stream: &Option<Stream>| {
            stream.as_ref().map(|stream| String::from_utf8_lossy(&stream.all()).into_owned()).unwrap_or_default()
        };
        ProgramEnd { exit, stdout: text(&self.stdout), stderr: text(&self.stderr) }
    }

    fn news(&mut self) -> LaunchEvent {
        self.control.get_ref().set_read_timeout(Some(patience())).unwrap();
        let mut line = String::new();
        let read = self.control.read_line(&mut line);
        assert!(
            matches!(read, Ok(count) if count > 0),
            "no end; stdout {:?}, stderr {:?}",
            self.output(),
            self.errors()
        );
        serde_json::from_str(&line).unwrap()
    }

    fn end(&mut self) {
        let _ = self.control.get_ref().shutdown(std::net::Shutdown::Both);
        let _ = self.launcher.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl ProgramEnd {
    #[track_caller]
    pub fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.exit, Exit::Code(code), "{self:?}");
        self
    }

    pub fn failed(&self) -> bool {
        self.exit != Exit::Code(0)
    }

    #[track_caller]
    pub fn expect_one_line(&self) -> &Self {
        assert!(self.stderr.ends_with('\n') && self.stderr.lines().count() == 1, "not one line: {self:?}");
        self
    }
}

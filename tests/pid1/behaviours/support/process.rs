//! A process seen from outside, by /proc.

use std::fs;
use std::path::PathBuf;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Process(pub i32);

impl Process {
    /// A field of /proc/PID/status; empty when the process is gone.
    pub fn field(self, name: &str) -> String {
        let status = fs::read_to_string(self.path("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    }

    /// `R`, `S`, `T`, `Z` …; nothing when the process is gone.
    pub fn state(self) -> Option<char> {
        self.field("State").chars().next()
    }

    pub fn parent(self) -> Process {
        Process(self.field("PPid").parse().unwrap_or(0))
    }

    pub fn children(self) -> Vec<Process> {
        let children = fs::read_to_string(self.path(&format!("task/{}/children", self.0))).unwrap_or_default();
        children.split_whitespace().map(|pid| Process(pid.parse().unwrap())).collect()
    }

    pub fn zombies(self) -> usize {
        self.children().into_iter().filter(|child| child.state() == Some('Z')).count()
    }

    /// All below it.
    pub fn descendants(self) -> Vec<Process> {
        let children = self.children();
        children.iter().copied().chain(children.iter().flat_map(|child| child.descendants())).collect()
    }

    /// Its pid inside its own namespace.
    pub fn inner_pid(self) -> i32 {
        self.field("NSpid").split_whitespace().last().and_then(|pid| pid.parse().ok()).unwrap_or(0)
    }

    pub fn name(self) -> String {
        self.field("Name")
    }

    /// Open descriptors and what they lead to.
    pub fn descriptors(self) -> Vec<(i32, String)> {
        let entries = fs::read_dir(self.path("fd")).into_iter().flatten().flatten();
        let mut descriptors: Vec<(i32, String)> = entries
            .filter_map(|entry| {
                let target = fs::read_link(entry.path()).ok()?;
                Some((entry.file_name().to_str()?.parse().ok()?, target.to_string_lossy().into_owned()))
            })
            .collect();
        descriptors.sort();
        descriptors
    }

    pub fn directory(self) -> PathBuf {
        fs::read_link(self.path("cwd")).unwrap_or_default()
    }

    pub fn signal(self, signal: i32) {
        // SAFETY: no memory is involved. The pid is that of a process of the namespace under test.
        assert_eq!(unsafe { libc::kill(self.0, signal) }, 0, "kill {signal}: {}", std::io::Error::last_os_error());
    }

    fn path(self, entry: &str) -> String {
        format!("/proc/{}/{entry}", self.0)
    }
}

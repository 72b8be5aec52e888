//! Stand-ins for a GPU: nodes in a folder of the host, and what `init` says of them.

use crate::engine::{Container, Ended, Folder, Image};
use crate::start::Start;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Numbers that a node stands for.
#[derive(Clone, Copy)]
pub struct Number(pub u32, pub u32);

/// NVIDIA's: no driver here has taken it.
pub const NVIDIA: Number = Number(195, 0);
/// /dev/full: every container may open it.
pub const OPEN: Number = Number(1, 7);
/// A number of the misc driver that nobody has, as /dev/dxg has it where WSL serves no GPU.
pub const NOBODY: Number = Number(10, 125);

/// The three nodes that CUDA needs.
pub const WHOLE: [&str; 3] = ["nvidia0", "nvidiactl", "nvidia-uvm"];

/// What is needed to make them; None where it is not there, and says so.
pub fn workshop() -> Option<std::sync::Arc<Image>> {
    if !std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        println!("skipped: mknod needs root");
        return None;
    }
    let taken = std::fs::read_to_string("/proc/devices").unwrap();
    if taken.lines().any(|line| line.trim().starts_with("195 nvidia")) {
        println!("skipped: this machine has NVIDIA's driver, and these nodes would be its own");
        return None;
    }
    Image::demo()
}

/// A folder of nodes.
pub struct Nodes {
    /// Where they are.
    pub folder: Folder,
    names: Vec<String>,
}

impl Nodes {
    /// Nodes of these names, all with one number, open to everybody.
    pub fn of(names: &[&str], number: Number) -> Nodes {
        let nodes = Nodes { folder: Folder::new(), names: names.iter().map(|name| (*name).to_owned()).collect() };
        for name in names {
            make(&nodes.folder.0.join(name), number);
        }
        nodes
    }

    /// With this mode and group.
    pub fn mode(self, mode: u32, group: u32) -> Nodes {
        for name in &self.names {
            let path = self.folder.0.join(name);
            std::os::unix::fs::chown(&path, Some(0), Some(group)).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        self
    }

    /// `--device` of each, as `--gpus all` would give them; `rights` is `rwm` as the engine has it.
    pub fn given(&self, rights: &str) -> Vec<String> {
        self.words("--device", |path, name| format!("{path}:/dev/{name}:{rights}"))
    }

    /// `-v` of each: a node without a rule in the device cgroup.
    pub fn mounted(&self) -> Vec<String> {
        self.words("--volume", |path, name| format!("{path}:/dev/{name}"))
    }

    fn words(&self, option: &str, value: impl Fn(&str, &str) -> String) -> Vec<String> {
        let each = |name: &String| [option.to_owned(), value(self.folder.0.join(name).to_str().unwrap(), name)];
        self.names.iter().flat_map(each).collect()
    }
}

/// Makes one node.
pub fn make(path: &Path, Number(major, minor): Number) {
    let made = Command::new("mknod")
        .args(["--mode=666", path.to_str().unwrap(), "c", &major.to_string(), &minor.to_string()])
        .status();
    assert!(made.unwrap().success());
}

/// A hardened start with these further options.
pub fn start<'a>(image: &'a Image, options: &[String]) -> Start<'a> {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Start::hardened(image).fresh_data().options(&options)
}

/// What `init --report --json` says of a check: status, detail and fix.
#[derive(Debug)]
pub struct Finding {
    /// `held`, `missing`, `unknown` or `skipped`.
    pub status: String,
    /// What was seen.
    pub detail: String,
    /// What to do.
    pub fix: String,
}

impl Finding {
    /// Fails unless it is this.
    #[track_caller]
    pub fn expect(&self, status: &str, detail: &str, fix: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.detail.contains(detail), "expected '{detail}': {self:?}");
        assert!(self.fix.contains(fix), "expected '{fix}': {self:?}");
    }
}

/// One check of a report as JSON.
#[track_caller]
pub fn finding(json: &str, id: &str) -> Finding {
    let report: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("no {id}: {json}"));
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Finding { status: text("status"), detail: text("detail"), fix: text("fix") }
}

/// `init --report --json` in a container of its own.
pub fn report(start: Start) -> Report {
    Report(start.command(&["--report", "--json"]).run())
}

/// The answer of `--report --json`.
#[derive(Debug)]
pub struct Report(pub Ended);

impl Report {
    /// One check of it.
    #[track_caller]
    pub fn of(&self, id: &str) -> Finding {
        assert!(!self.0.stdout.is_empty(), "{self:?}");
        finding(&self.0.stdout, id)
    }
}

/// `init --report --json` inside a container that runs.
#[track_caller]
pub fn report_inside(container: &Container, id: &str) -> Finding {
    let output = container.exec(&["/init", "--report", "--json"]);
    finding(&String::from_utf8_lossy(&output.stdout), id)
}

//! Stand-ins for a GPU: nodes in a folder of the host, and what `init` says of them.

use crate::seen::ReportRun;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use takumi_test::container::Start;
use takumi_test::engine::Container;
use takumi_test::folder::Folder;
use takumi_test::image::Image;

/// Numbers that a node stands for.
#[derive(Clone, Copy)]
pub struct Number(pub u32, pub u32);

/// NVIDIA's: no driver here has taken it.
pub const NVIDIA: Number = Number(195, 0);
/// /dev/full: every container may open it.
pub const OPEN: Number = Number(1, 7);
/// A number of the misc driver that nobody has, as /dev/dxg has it where WSL provides no GPU.
pub const NOBODY: Number = Number(10, 125);

/// The three nodes that CUDA needs.
pub const WHOLE: [&str; 3] = ["nvidia0", "nvidiactl", "nvidia-uvm"];

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

/// `init --report --json` in a container of its own.
#[track_caller]
pub fn report(start: Start) -> ReportRun {
    ReportRun::of(start.command(&["--report", "--json"]).run())
}

/// `init --report --json` inside a container that runs.
#[track_caller]
pub fn report_inside(container: &Container) -> ReportRun {
    ReportRun::of(container.exec(&["/init", "--report", "--json"]).into())
}

//! The container engine, and the networks, volumes and containers that a test makes in it. Each goes with its value; what a killed test
//! leaves behind has its pid in the name ([`crate::sweep`]).

use crate::folder::fresh_name;
use crate::image::Image;
use crate::poll::eventually;
pub use crate::program::Ended;
use std::process::{Command, Output, Stdio};

/// The engine's own command, as the scripts choose it.
pub fn engine(arguments: &[&str]) -> Command {
    let words = std::env::var("CONTAINER_ENGINE").unwrap_or_else(|_| "docker".into());
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().expect("CONTAINER_ENGINE is empty"));
    command.args(words).args(arguments).stdin(Stdio::null());
    command
}

/// Runs the engine to its end and returns what it printed, without the last newline.
#[track_caller]
pub fn ask(arguments: &[&str]) -> String {
    let output = engine(arguments).output().expect("the engine starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Whether the engine does it.
pub fn succeeds(arguments: &[&str]) -> bool {
    engine(arguments).output().is_ok_and(|output| output.status.success())
}

/// A named volume that is removed with its value.
pub struct Volume {
    /// Its name.
    pub name: String,
}

impl Volume {
    /// A new one; the engine makes it when it is first mounted.
    #[allow(clippy::new_without_default, reason = "a volume is a thing of the engine")]
    pub fn new() -> Volume {
        Volume { name: fresh_name("volume") }
    }

    /// Runs a shell line as full root on the volume's files, at /data, and returns what it prints.
    #[track_caller]
    pub fn root_shell(&self, image: &Image, line: &str) -> String {
        let mount = format!("{}:/data", self.name);
        let name = fresh_name("shell");
        let run = ["run", "--rm", "--name", &name, "--volume", &mount, "--entrypoint", "sh", &image.name, "-ec", line];
        ask(&run)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = engine(&["volume", "rm", "--force", &self.name]).output();
    }
}

/// A container that is removed with its value.
pub struct Container {
    /// Its name.
    pub name: String,
}

impl Container {
    /// One field of the engine's knowledge, e.g. `.State.Pid`.
    #[track_caller]
    pub fn inspect(&self, field: &str) -> String {
        ask(&["container", "inspect", "--format", &format!("{{{{{field}}}}}"), &self.name])
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.inspect(".State.Running") == "true"
    }

    /// Runs a command inside as the container's root, to its end.
    pub fn exec(&self, arguments: &[&str]) -> Output {
        engine(&[&["exec", &self.name], arguments].concat()).output().unwrap()
    }

    /// Starts a command inside and leaves it there; `options` are the engine's.
    #[track_caller]
    pub fn exec_detached(&self, options: &[&str], arguments: &[&str]) {
        ask(&[&["exec", "--detach"], options, &[self.name.as_str()], arguments].concat());
    }

    /// (stdout, stderr) so far.
    pub fn logs(&self) -> (String, String) {
        let ended = Ended::from(engine(&["logs", &self.name]).output().unwrap());
        (ended.stdout, ended.stderr)
    }

    /// Waits until these words stand on one of its streams.
    #[track_caller]
    pub fn await_words(&self, words: &str) {
        eventually(words, || {
            let (stdout, stderr) = self.logs();
            let said = stdout.contains(words) || stderr.contains(words);
            assert!(said || self.is_running(), "it ended before it said '{words}': {:?}", self.logs());
            said.then_some(())
        });
    }

    /// Asks it to stop, as `docker stop` does, and returns how it ended.
    #[track_caller]
    pub fn stop(&self) -> Ended {
        ask(&["stop", "--time", "10", &self.name]);
        self.end()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&self) -> Ended {
        let code = ask(&["wait", &self.name]).parse().unwrap();
        let (stdout, stderr) = self.logs();
        Ended { code, stdout, stderr }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = engine(&["rm", "--force", "--volumes", &self.name]).output();
    }
}

/// A network that is removed with its value.
pub struct Network {
    /// Its name.
    pub name: String,
}

impl Network {
    /// A new one. The engine chooses a free subnet, unless `options` name one.
    #[track_caller]
    pub fn new(kind: &str, options: &[&str]) -> Network {
        let network = Network { name: fresh_name(kind) };
        ask(&[&["network", "create"], options, &[network.name.as_str()]].concat());
        network
    }

    /// Its subnet and its gateway.
    pub fn subnet(&self) -> (String, String) {
        let form = "{{(index .IPAM.Config 0).Subnet}} {{(index .IPAM.Config 0).Gateway}}";
        let both = ask(&["network", "inspect", "--format", form, &self.name]);
        let (subnet, gateway) = both.split_once(' ').unwrap();
        (subnet.to_owned(), gateway.to_owned())
    }
}

impl Drop for Network {
    /// A container that `--rm` is about to remove holds its network for a moment.
    fn drop(&mut self) {
        let removed = || {
            let output = engine(&["network", "rm", &self.name]).output().ok()?;
            let gone = String::from_utf8_lossy(&output.stderr).contains("not found");
            (output.status.success() || gone).then_some(())
        };
        if std::thread::panicking() {
            let _ = removed();
        } else {
            eventually(&format!("the removal of the network {}", self.name), removed);
        }
    }
}

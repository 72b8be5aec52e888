//! Users that a test makes on the machine: `require!(root, setpriv)`.

use crate::folder::fresh_name;
use crate::poll::{PATIENCE, eventually};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian keeps Docker's scripts for rootless engines.
pub const CONTRIB: &str = "/usr/share/docker.io/contrib";

/// A user with a home directory, removed with all their processes and files.
pub struct User {
    /// Its name, and that of its group.
    pub name: String,
    /// Its home directory, in the directory of temporary files.
    pub home: PathBuf,
    /// Its number.
    pub uid: u32,
}

impl User {
    /// A new one; `options` are useradd's.
    #[track_caller]
    pub fn new(options: &[&str]) -> User {
        let name = fresh_name("user");
        let home = std::env::temp_dir().join(&name);
        let always =
            ["-K", "UID_MIN=60600", "-K", "UID_MAX=61183", "-m", "-k", "/nonexistent", "-s", "/bin/bash", "-d"];
        account("useradd", &[options, &always, &[home.to_str().unwrap(), &name]].concat());
        let uid = std::fs::metadata(&home).unwrap().uid();
        User { name, home, uid }
    }

    /// A command as this user, with nothing of our environment and none of our groups.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/usr/bin/setpriv");
        let id = self.uid.to_string();
        command.args(["--reuid", &id, "--regid", &self.name, "--clear-groups", "--inh-caps=-all", "--", program]);
        command.env_clear().env("HOME", &self.home).env("USER", &self.name).env("LANG", "C.UTF-8");
        command.current_dir(&self.home).stdin(Stdio::null());
        command
    }

    /// Gives a tree to the user.
    #[track_caller]
    pub fn own(&self, path: &Path) {
        let owner = format!("{0}:{0}", self.name);
        assert!(Command::new("chown").args(["-hR", &owner]).arg(path).status().unwrap().success());
    }

    /// The pids of the user's processes.
    pub fn processes(&self) -> Vec<String> {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let own = entries.filter(|entry| entry.metadata().is_ok_and(|data| data.uid() == self.uid));
        own.filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            .collect()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // Nobody else runs anything as this user: the uid is above those that useradd gives otherwise.
        let deadline = Instant::now() + PATIENCE;
        while let [pid, ..] = self.processes().as_slice() {
            let signal = if Instant::now() < deadline - PATIENCE / 2 { "-TERM" } else { "-KILL" };
            let _ = Command::new("kill").args([signal, pid]).stderr(Stdio::null()).status();
            std::thread::sleep(Duration::from_millis(20));
            if Instant::now() > deadline {
                break;
            }
        }
        let _ = Command::new("rm").arg("-rf").arg(&self.home).status();
        account("userdel", &["-f", &self.name]);
    }
}

/// Runs what changes the account files. They have one lock for the whole machine, and whoever finds it taken gives up; tests wait for each
/// other by a lock of their own.
#[track_caller]
pub fn account(program: &str, arguments: &[&str]) {
    let alone = File::create(std::env::temp_dir().join("takumi-test-lock-accounts")).unwrap();
    alone.lock().unwrap();
    eventually(&format!("{program} {arguments:?}"), || {
        let output = Command::new(program).args(arguments).output().unwrap();
        output.status.success().then_some(())
    });
}

//! One start of a program with `state_probe` as its COMMAND.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use takumi_test::namespace::MountNamespace;
use takumi_test::poll::eventually;
use takumi_test::program;
use takumi_test::state::State;

pub const COMMANDS_CODE: i32 = 42;

/// A world with the programs that every test starts.
pub struct Stage {
    pub world: MountNamespace,
    pub init: String,
    pub probe: String,
}

/// What a start did.
#[derive(Debug)]
pub struct DropResult {
    pub code: i32,
    pub said: String,
    pub state: Option<State>,
}

impl Stage {
    /// `require!(namespaces, …)`, and the tools that its starts name.
    pub fn set() -> Stage {
        let world = MountNamespace::enter();
        let place = |path: PathBuf| path.to_str().unwrap().to_owned();
        let (init, probe) = (program::init(), program::example("state_probe"));
        let (init, probe) = (world.program(&init, 0o711), world.program(&probe, 0o755));
        Stage { init: place(init), probe: place(probe), world }
    }

    /// `init` under the words of a launcher (may be none), with these settings.
    pub fn init(&self, launcher: &str, settings: &[(&str, &str)]) -> DropResult {
        self.start(&format!("{launcher} {}", self.init), settings)
    }

    /// Any program that ends by starting COMMAND. Words are split at spaces.
    pub fn start(&self, words: &str, settings: &[(&str, &str)]) -> DropResult {
        let report = self.world.scratch.join("report");
        let _ = fs::remove_file(&report);
        let mut command = self.command(words, settings);
        command.args([&self.probe, "report"]).arg(&report).stdout(Stdio::null());
        let (code, said) = self.finish(command);
        DropResult { code, said, state: State::read(&report) }
    }

    pub fn command(&self, words: &str, settings: &[(&str, &str)]) -> Command {
        let mut words = words.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        command.args(words).env_clear().env("PATH", path).env("TAKUMI_LOG", "warn");
        command.envs(settings.iter().copied()).stdin(Stdio::null()).current_dir("/");
        command
    }

    /// Exit code and stderr.
    pub fn finish(&self, mut command: Command) -> (i32, String) {
        // A file: a pipe would be held open by whatever a start leaves behind.
        let words = self.world.scratch.join("stderr");
        let mut child = command.stderr(fs::File::create(&words).unwrap()).spawn().unwrap();
        let status = eventually(&format!("the end of {command:?}"), || child.try_wait().unwrap());
        (status.code().unwrap_or(-1), String::from_utf8_lossy(&fs::read(&words).unwrap()).into_owned())
    }

    /// A file for a start's own use.
    pub fn path(&self, name: &str) -> String {
        self.world.scratch.join(name).to_str().unwrap().to_owned()
    }
}

impl DropResult {
    /// COMMAND ran and its code came through.
    pub fn ran(&self) -> &State {
        assert_eq!(self.code, COMMANDS_CODE, "{self:?}");
        self.state.as_ref().unwrap_or_else(|| panic!("no report: {self:?}"))
    }

    /// 125, one line with every one of `words`, no COMMAND.
    pub fn refused(&self, words: &[&str]) {
        assert_eq!(self.code, 125, "{words:?}: {self:?}");
        assert!(self.state.is_none(), "COMMAND ran: {self:?}");
        assert_eq!(self.said.lines().count(), 1, "one line was expected: {self:?}");
        for word in words {
            assert!(self.said.contains(word), "no {word:?} in {self:?}");
        }
    }
}

/// Every capability set of COMMAND and of its parent is empty, and no privilege comes back.
pub fn holds_nothing(state: &State) {
    for set in ["effective", "permitted", "inheritable", "ambient", "bounding"] {
        assert_eq!(state.get(set), "0", "{set}: {state:?}");
        let parents = state.get(&format!("parent_{set}"));
        assert!(!parents.is_empty() && parents.bytes().all(|byte| byte == b'0'), "parent_{set}: {state:?}");
    }
    assert_eq!((state.get("no_new_privs"), state.get("parent_no_new_privs")), ("1", "1"), "{state:?}");
    assert_eq!(state.get("securebits"), "eb", "{state:?}");
}

/// COMMAND is that user in every id, and so is its parent.
pub fn is_user(state: &State, uid: u32, gid: u32, groups: &str) {
    let four = |id: u32| format!("{id} {id} {id} {id}");
    assert_eq!((state.get("uid"), state.get("gid")), (&*four(uid), &*four(gid)), "{state:?}");
    assert_eq!((state.get("parent_uid"), state.get("parent_gid")), (&*four(uid), &*four(gid)), "{state:?}");
    assert_eq!((state.get("groups"), state.get("parent_groups")), (groups, groups), "{state:?}");
}

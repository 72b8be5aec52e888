//! One start of a program with `state_probe` as its COMMAND.

use crate::state::State;
use crate::world::{self, World};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const COMMANDS_CODE: i32 = 42;
const DEADLINE: Duration = Duration::from_secs(20);

/// A world with the programs that every test starts.
pub struct Stage {
    pub world: World,
    pub init: String,
    pub probe: String,
    tools: Vec<(&'static str, String)>,
}

/// What a start did.
#[derive(Debug)]
pub struct Seen {
    pub code: i32,
    pub said: String,
    pub state: Option<State>,
}

impl Stage {
    /// With these tools, or not at all.
    pub fn set(tools: &[&'static str]) -> Option<Stage> {
        let tools: Option<Vec<_>> =
            tools.iter().map(|name| Some((*name, world::tool(name)?.to_str().unwrap().to_owned()))).collect();
        let tools = tools?;
        let world = World::enter()?;
        let place = |path: PathBuf| path.to_str().unwrap().to_owned();
        let (init, probe) = (world.program(&world::init(), 0o711), world.program(&world::probe(), 0o755));
        Some(Stage { init: place(init), probe: place(probe), world, tools })
    }

    /// `init` under the words of a launcher (may be none), with these settings.
    pub fn init(&self, launcher: &str, settings: &[(&str, &str)]) -> Seen {
        self.start(&format!("{launcher} {}", self.init), settings)
    }

    /// Any program that ends by starting COMMAND. Words are split at spaces; the first of each tool is its path.
    pub fn start(&self, words: &str, settings: &[(&str, &str)]) -> Seen {
        let report = self.world.scratch.join("report");
        let _ = fs::remove_file(&report);
        let mut command = self.command(words, settings);
        command.args([&self.probe, "report"]).arg(&report).stdout(Stdio::null());
        let (code, said) = self.finish(command);
        Seen { code, said, state: State::read(&report) }
    }

    pub fn command(&self, words: &str, settings: &[(&str, &str)]) -> Command {
        let path = |word: &str| self.tools.iter().find(|(name, _)| *name == word).map(|(_, path)| path.clone());
        let mut words = words.split_whitespace().map(|word| path(word).unwrap_or_else(|| word.to_owned()));
        let mut command = Command::new(words.next().unwrap());
        command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TAKUMI_LOG", "warn");
        command.envs(settings.iter().copied()).stdin(Stdio::null()).current_dir("/");
        command
    }

    /// Exit code and stderr; a start that does not end in time fails the test.
    pub fn finish(&self, mut command: Command) -> (i32, String) {
        let words = self.world.scratch.join("stderr");
        let mut child = command.stderr(fs::File::create(&words).unwrap()).spawn().unwrap();
        let said = || String::from_utf8_lossy(&fs::read(&words).unwrap()).into_owned();
        let mut code = None;
        until(|| {
            code = child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1));
            code.is_some()
        })
        .unwrap_or_else(|| {
            let _ = child.kill();
            panic!("{command:?} does not end: {}", said());
        });
        (code.unwrap(), said())
    }

    /// A file for a start's own use.
    pub fn path(&self, name: &str) -> String {
        self.world.scratch.join(name).to_str().unwrap().to_owned()
    }
}

impl Seen {
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

/// Polls until `done`; none when it never was.
pub fn until(mut done: impl FnMut() -> bool) -> Option<()> {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Some(())
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

//! One start of `init` whose COMMAND is `env -0`, and what dotenvx wrote.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use takumi_test::namespace::MountNamespace;
use takumi_test::poll::eventually;
use takumi_test::program;

/// The private key of `vectors.json`, and its public key.
pub const KEY: &str = include_str!("vectors/key.hex");
pub const PUBLIC_KEY: &str = include_str!("vectors/pub.hex");
/// Another key, which opens nothing of it.
pub const OTHER_KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";
/// What plain values hold here, so that a message that repeats one is caught.
pub const SECRET: &str = "never-to-be-said";
/// The capabilities that the container starts with, for setpriv.
pub const CONTAINERS: &str =
    "setpriv --bounding-set -all,+setuid,+setgid,+setpcap,+chown,+dac_read_search,+fowner --inh-caps -all --";

/// (plain, encrypted) by name.
pub fn vectors() -> BTreeMap<String, (String, String)> {
    let parsed: serde_json::Value = serde_json::from_str(include_str!("vectors/vectors.json")).unwrap();
    let text = |vector: &serde_json::Value, what: &str| vector[what].as_str().unwrap().to_owned();
    let vectors = parsed.as_object().unwrap();
    vectors.iter().map(|(name, both)| (name.clone(), (text(both, "plain"), text(both, "cipher")))).collect()
}

/// One of the encrypted values.
pub fn cipher(name: &str) -> String {
    vectors().remove(name).unwrap().1
}

/// A world with `init` in it, and a folder that everybody may pass.
pub struct SecretsFixture {
    pub world: MountNamespace,
    init: PathBuf,
}

impl SecretsFixture {
    /// `require!(namespaces)`.
    pub fn enter() -> SecretsFixture {
        let world = MountNamespace::enter();
        SecretsFixture { init: world.program(&program::init(), 0o711), world }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.world.scratch.join(name)
    }

    /// A file of root's that everybody may read.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        self.owned_file(name, content, 0, 0o644)
    }

    pub fn owned_file(&self, name: &str, content: impl AsRef<[u8]>, owner: u32, mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A start with one .env file of these lines, and the vectors' key.
    pub fn with_env(&self, lines: impl AsRef<[u8]>) -> Start {
        let file = self.file(".env", lines);
        self.start().with("TAKUMI_ENV_FILE", file).with("DOTENV_PRIVATE_KEY", KEY)
    }

    pub fn start(&self) -> Start {
        let init = self.init.to_str().unwrap().to_owned();
        let settings = [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("TAKUMI_LOG", "warn")];
        let settings = settings.map(|(name, value)| (name.into(), value.into())).into();
        Start { words: vec![init], settings, output: self.path("output"), logs: self.path("logs") }
    }
}

pub struct Start {
    words: Vec<String>,
    settings: BTreeMap<String, OsString>,
    output: PathBuf,
    logs: PathBuf,
}

impl Start {
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Start {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    pub fn without(mut self, name: &str) -> Start {
        self.settings.remove(name);
        self
    }

    /// Under these words.
    pub fn through(mut self, launcher: &str) -> Start {
        self.words.splice(0..0, launcher.split(' ').map(str::to_owned));
        self
    }

    /// Runs it to its end. Whatever it says, no key and no secret is in it.
    #[track_caller]
    pub fn run(&self) -> StartResult {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(["/usr/bin/env", "-0"]).env_clear().envs(&self.settings).current_dir("/");
        command.stdin(Stdio::null()).stdout(File::create(&self.output).unwrap());
        let mut child = command.stderr(File::create(&self.logs).unwrap()).spawn().unwrap();
        let status = eventually(&format!("the end of {command:?}"), || child.try_wait().unwrap());
        let said = String::from_utf8_lossy(&fs::read(&self.logs).unwrap()).into_owned();
        for secret in [KEY, OTHER_KEY, SECRET, "hf_aaaa"] {
            assert!(!said.contains(secret), "a secret was said: {said}");
        }
        StartResult { code: status.code(), said, environment: variables(&fs::read(&self.output).unwrap()) }
    }
}

fn variables(block: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let lines = block.split(|&byte| byte == 0).filter(|line| !line.is_empty());
    let pair = |line: &[u8]| {
        let at = line.iter().position(|&byte| byte == b'=').unwrap();
        (String::from_utf8_lossy(&line[..at]).into_owned(), line[at + 1..].to_vec())
    };
    lines.map(pair).collect()
}

#[derive(Debug)]
pub struct StartResult {
    pub code: Option<i32>,
    pub said: String,
    /// COMMAND's; empty where it did not run.
    pub environment: BTreeMap<String, Vec<u8>>,
}

impl StartResult {
    #[track_caller]
    pub fn ran(self) -> StartResult {
        assert_eq!(self.code, Some(0), "{}", self.said);
        assert!(!self.environment.is_empty());
        self
    }

    #[track_caller]
    pub fn has(self, name: &str, value: impl AsRef<[u8]>) -> StartResult {
        let found = self.environment.get(name).map(|value| OsString::from_vec(value.clone()));
        assert_eq!(found, Some(OsString::from_vec(value.as_ref().to_vec())), "{name}; {}", self.said);
        self
    }

    #[track_caller]
    pub fn lacks(self, name: &str) -> StartResult {
        assert!(!self.environment.contains_key(name), "{name} reached COMMAND");
        self
    }

    /// 125, no COMMAND, and every word is said.
    #[track_caller]
    pub fn refused(self, words: &[&str]) -> StartResult {
        assert_eq!(self.code, Some(125), "{}", self.said);
        assert!(self.environment.is_empty(), "COMMAND ran: {}", self.said);
        self.says(words)
    }

    #[track_caller]
    pub fn says(self, words: &[&str]) -> StartResult {
        for word in words {
            assert!(self.said.contains(word), "{word:?} is not in: {}", self.said);
        }
        self
    }
}

/// How a message names a line of a file.
pub fn at(file: impl AsRef<Path>, number: usize, name: &str) -> String {
    let comma = if name.is_empty() { "" } else { ", " };
    format!("{}:{number}{comma}{name}", file.as_ref().display())
}

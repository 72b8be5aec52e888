//! A place with a volume and something outside of it, and `init` started on it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;
use takumi_test::folder::{Folder, fresh_name};
use takumi_test::program::{self, Ended};

/// The app's user and group: nobody else's on any machine that runs this.
pub const APP: (u32, u32) = (61_000, 61_001);
pub const ROOT: (u32, u32) = (0, 0);
/// Somebody whose files the app cannot write.
pub const OTHER: (u32, u32) = (62_000, 62_000);

/// A directory that everybody may pass, with `volume/` and `outside/` in it; gone at the end, also of a failed test.
pub struct VolumeFixture {
    root: Folder,
    pub volume: PathBuf,
    pub outside: PathBuf,
}

impl VolumeFixture {
    pub fn new() -> Self {
        let root = Folder::new();
        let place = Self { volume: root.join("volume"), outside: root.join("outside"), root };
        for directory in [&place.volume, &place.outside] {
            fs::create_dir(directory).unwrap();
            fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
        }
        place
    }

    pub fn root(&self) -> &Path {
        &self.root.0
    }

    /// Makes a file below the volume, and the directories that lead to it.
    pub fn file(&self, name: impl AsRef<OsStr>, owner: (u32, u32), mode: u32) -> PathBuf {
        file(&self.volume.join(name.as_ref()), owner, mode)
    }

    pub fn directory(&self, name: impl AsRef<OsStr>, owner: (u32, u32), mode: u32) -> PathBuf {
        let path = self.volume.join(name.as_ref());
        fs::create_dir_all(&path).unwrap();
        own(&path, owner, mode);
        path
    }

    /// `init` that prepares the volume.
    pub fn init(&self) -> Init {
        Init::on(&self.volume)
    }
}

impl Drop for VolumeFixture {
    fn drop(&mut self) {
        // What is mounted below goes first, the innermost at the front; then whatever chattr froze.
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
        let mut points: Vec<&Path> = points.filter(|point| point.starts_with(self.root())).collect();
        points.reverse();
        for point in points {
            let _ = Command::new("umount").arg("-l").arg(point).status();
        }
        let _ = Command::new("chattr").args(["-R", "-f", "-i", "-a"]).arg(self.root()).output();
        let _ = Command::new("rm").arg("-rf").arg(self.root()).status();
    }
}

pub fn file(path: &Path, owner: (u32, u32), mode: u32) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "content").unwrap();
    own(path, owner, mode);
    path.to_owned()
}

/// Owner first: a change of the owner clears setuid bits.
pub fn own(path: &Path, owner: (u32, u32), mode: u32) {
    lchown(path, Some(owner.0), Some(owner.1)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

pub fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.uid(), metadata.gid())
}

/// Runs a tool that has to succeed; its output.
pub fn sh(command: &[&OsStr]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

macro_rules! sh {
    ($($word:expr),+ $(,)?) => { $crate::ownership::support::sh(&[$(std::ffi::OsStr::new(&$word)),+]) };
}

/// Everything that a change would leave a trace in.
pub type Snapshot = BTreeMap<PathBuf, (u32, u32, u32, i64, i64)>;

pub fn snapshot(directory: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let facts = (metadata.uid(), metadata.gid(), metadata.mode(), metadata.ctime(), metadata.ctime_nsec());
        found.insert(path, facts);
    }
    found
}

/// The entries below `directory`, itself included, that `owner` does not own.
pub fn wrong(directory: &Path, owner: (u32, u32)) -> Vec<PathBuf> {
    snapshot(directory).into_iter().filter(|(_, facts)| (facts.0, facts.1) != owner).map(|(path, _)| path).collect()
}

/// One start of the program under test.
pub struct Init {
    wrapper: Vec<OsString>,
    settings: BTreeMap<&'static str, OsString>,
    command: Vec<OsString>,
}

/// The capabilities that the container starts with, for setpriv.
pub const CONTAINERS: &str = "-all,+setuid,+setgid,+setpcap,+chown,+dac_read_search,+fowner";

impl Init {
    pub fn on(volume: &Path) -> Self {
        let settings = BTreeMap::from([
            ("TAKUMI_VOLUMES", volume.into()),
            ("TAKUMI_LOG", "debug".into()),
            ("PUID", APP.0.to_string().into()),
            ("PGID", APP.1.to_string().into()),
        ]);
        Self { wrapper: vec![], settings, command: vec!["/bin/true".into()] }.capable_of(CONTAINERS)
    }

    pub fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.settings.insert(name, value.into());
        self
    }

    /// As root with these capabilities, in setpriv's words.
    pub fn capable_of(self, set: &str) -> Self {
        self.through(&["setpriv", "--bounding-set", set, "--inh-caps", "-all", "--"])
    }

    /// Started by this instead.
    pub fn through(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(OsString::from).collect();
        self
    }

    pub fn running(mut self, command: &[&str]) -> Self {
        self.command = command.iter().map(OsString::from).collect();
        self
    }

    pub fn command(&self) -> Command {
        let program = program::init().into_os_string();
        let mut words = self.wrapper.iter().chain([&program]).chain(&self.command);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).env_clear().envs(&self.settings).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        command
    }

    #[track_caller]
    pub fn run(&self) -> Ended {
        program::run(&mut self.command())
    }

    /// Runs it under strace with these options; also what strace wrote.
    pub fn traced(mut self, options: &[&str]) -> (Ended, String) {
        let log = std::env::temp_dir().join(fresh_name("strace"));
        let mut wrapper: Vec<OsString> = vec!["strace".into(), "-o".into(), log.clone().into()];
        wrapper.extend(options.iter().map(OsString::from));
        wrapper.append(&mut self.wrapper);
        self.wrapper = wrapper;
        let ended = self.run();
        let trace = fs::read_to_string(&log).unwrap();
        let _ = fs::remove_file(log);
        (ended, trace)
    }
}

/// What a start comes to.
pub trait Outcome {
    fn succeeded(self) -> Self;
    fn refused(self) -> Self;
}

impl Outcome for Ended {
    #[track_caller]
    fn succeeded(self) -> Ended {
        self.ends_with(0)
    }

    #[track_caller]
    fn refused(self) -> Ended {
        self.ends_with(125)
    }
}

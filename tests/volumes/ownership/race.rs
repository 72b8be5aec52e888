//! A process of the app's user exchanges names under the walk: nothing outside of the volume changes its owner.
//!
//! The same racer runs against coreutils, busybox and find. An attempt counts only if an exchange fell between the first and
//! the last change of the walk, and where no control is seen to escape the test fails: it proved nothing.

use super::support::{APP, Init, ROOT, VolumeFixture, file, own, owner};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use takumi_test::image::alone;
use takumi_test::level::{Level, level};
use takumi_test::poll::eventually;
use takumi_test::program::example;
use takumi_test::require;

/// Files in each directory: so much there is to do before and behind the place of the race.
const FILES: usize = 150;
const SENTINELS: [&str; 4] = ["a", "g", "n", "t"];

/// A directory with files named by number, held so that it is found whatever its name is by now.
struct OpenDirectory(File);

impl OpenDirectory {
    fn new(path: &Path) -> Self {
        (0..FILES).for_each(|index| drop(file(&path.join(index.to_string()), ROOT, 0o644)));
        Self(File::open(path).unwrap())
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let directory = PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()));
        (0..FILES).map(move |index| directory.join(index.to_string()))
    }
}

struct Arena {
    place: VolumeFixture,
    volume: PathBuf,
    bait: PathBuf,
    trap: PathBuf,
    inside: Vec<OpenDirectory>,
    victims: Vec<OpenDirectory>,
    sentinels: Vec<PathBuf>,
    /// Microseconds; see the racer.
    pause: u32,
}

impl Arena {
    /// A volume at `volume` with directories around the one of the race, and victims outside.
    fn new(
        volume: impl FnOnce(&VolumeFixture) -> PathBuf,
        race: impl FnOnce(&Path, &Path) -> (PathBuf, PathBuf),
    ) -> Self {
        let place = VolumeFixture::new();
        let volume = volume(&place);
        let mut inside: Vec<OpenDirectory> =
            SENTINELS.iter().map(|name| OpenDirectory::new(&volume.join(name))).collect();
        inside.push(OpenDirectory::new(&volume.join("play/bait")));
        let victims = ["bait", "volume/play"].map(|name| OpenDirectory::new(&place.outside.join(name))).into();
        own(&volume.join("play"), APP, 0o755);
        let sentinels = SENTINELS.iter().map(|name| volume.join(name).join("0")).collect();
        let (bait, trap) = race(&volume, &place.outside);
        Self { place, volume, bait, trap, inside, victims, sentinels, pause: 0 }
    }

    fn leaf() -> Self {
        Self::new(
            |place| place.volume.clone(),
            |volume, outside| {
                let (bait, trap) = (volume.join("play/leaf"), volume.join("play/trap"));
                file(&bait, ROOT, 0o644);
                symlink(outside.join("bait/0"), &trap).unwrap();
                (bait, trap)
            },
        )
    }

    fn hard_link() -> Self {
        Self::new(
            |place| place.volume.clone(),
            |volume, outside| {
                let (bait, trap) = (volume.join("play/leaf"), volume.join("play/trap"));
                file(&bait, ROOT, 0o644);
                fs::hard_link(outside.join("bait/0"), &trap).unwrap();
                (bait, trap)
            },
        )
    }

    fn directory() -> Self {
        Self::new(
            |place| place.volume.clone(),
            |volume, outside| {
                let trap = volume.join("play/trap");
                symlink(outside.join("bait"), &trap).unwrap();
                (volume.join("play/bait"), trap)
            },
        )
    }

    fn component() -> Self {
        let arena = Self::new(
            |place| {
                let base = place.root().join("base");
                fs::create_dir_all(base.join("component")).unwrap();
                own(&base, APP, 0o755);
                base.join("component/volume")
            },
            |volume, outside| {
                let component = volume.parent().unwrap();
                let trap = component.parent().unwrap().join("trap");
                symlink(outside, &trap).unwrap();
                (component.to_owned(), trap)
            },
        );
        // Whoever meets the trap at the path's beginning has to give up, and only who gets through proves anything.
        Self { pause: 60, ..arena }
    }

    /// Everything is root's again, whoever holds which name just now.
    fn reset(&self) {
        let files = self.inside.iter().chain(&self.victims).flat_map(OpenDirectory::files);
        files.chain([self.bait.clone(), self.trap.clone()]).for_each(|path| lchown(path, Some(0), Some(0)).unwrap());
    }

    fn has_escaped(&self) -> bool {
        self.victims.iter().flat_map(OpenDirectory::files).any(|victim| owner(&victim) != ROOT)
    }
}

struct Racer {
    process: Child,
    counter: PathBuf,
}

impl Racer {
    fn start(arena: &Arena) -> Self {
        let counter = file(&arena.place.root().join("counter"), APP, 0o644);
        fs::write(&counter, [0; 16]).unwrap();
        // Copied to where the app's user can reach it: a build folder may be closed to others. By another process: one of
        // our own, forked meanwhile by another test, would hold the copy open for writing.
        let copy = arena.place.root().join("racer");
        sh!("install", "-m", "0755", example("racer"), copy);
        let mut command = Command::new(copy);
        command
            .arg(arena.pause.to_string())
            .arg(&counter)
            .args([&arena.bait, &arena.trap])
            .args(&arena.sentinels)
            .uid(APP.0)
            .gid(APP.1);
        Self { process: command.stdin(Stdio::null()).spawn().unwrap(), counter }
    }

    /// How many exchanges there were, and how many of them fell into a walk.
    fn exchanges(&mut self) -> (u64, u64) {
        assert_eq!(self.process.try_wait().unwrap(), None, "the racer ended");
        let record = fs::read(&self.counter).unwrap();
        let number = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().unwrap());
        (number(0), number(8))
    }

    /// Waits until it has seen the sentinels as they are now.
    fn settle(&mut self) -> u64 {
        let (before, _) = self.exchanges();
        eventually("further exchanges", || {
            let (now, inside) = self.exchanges();
            (now >= before + 40).then_some(inside)
        })
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Debug, Default, PartialEq)]
struct Score {
    /// Walks with an exchange inside.
    attempts: usize,
    finished: usize,
    escaped: usize,
    /// Walks that no exchange fell into.
    uncounted: usize,
}

impl Score {
    fn add(&mut self, more: Score) {
        self.attempts += more.attempts;
        self.finished += more.finished;
        self.escaped += more.escaped;
        self.uncounted += more.uncounted;
    }
}

fn race(arena: &Arena, attempts: usize, walk: impl Fn(&Path) -> Command) -> Score {
    let mut score = Score::default();
    let mut racer = Racer::start(arena);
    while score.attempts < attempts && score.uncounted < 4 * attempts {
        arena.reset();
        let before = racer.settle();
        let output = walk(&arena.volume).output().unwrap();
        let has_escaped = arena.has_escaped();
        score.escaped += usize::from(has_escaped);
        if racer.settle() > before || has_escaped {
            score.attempts += 1;
            score.finished += usize::from(output.status.success());
        } else {
            score.uncounted += 1;
        }
    }
    score
}

fn attempts() -> usize {
    match level() {
        Level::Quick => 10,
        Level::All => 100,
        Level::Full => 1000,
    }
}

fn words(words: &'static [&'static str], behind: &'static [&'static str]) -> impl Fn(&Path) -> Command {
    move |volume| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(volume).args(behind);
        command
    }
}

/// Rounds of the peers, until one of them has been seen to escape.
fn controls(arena: impl Fn() -> Arena) -> [(&'static str, Score); 3] {
    let mut scores = ["coreutils", "busybox", "find"].map(|name| (name, Score::default()));
    for turn in 0..45 {
        let (name, score) = &mut scores[turn % 3];
        score.add(match *name {
            "coreutils" => race(&arena(), 10, words(&["chown", "-R", "61000:61001"], &[])),
            "busybox" => race(&arena(), 10, words(&["busybox", "chown", "-R", "61000:61001"], &[])),
            _ => race(&arena(), 10, words(&["find"], &["-exec", "chown", "61000:61001", "{}", "+"])),
        });
        if score.escaped > 0 {
            break;
        }
    }
    scores
}

#[track_caller]
fn nobody_escapes(attack: &str, arena: impl Fn() -> Arena) {
    // Racer and walk need a core each.
    let _turn = alone("race");
    let ours = race(&arena(), attempts(), |volume| Init::on(volume).command());
    let controls = controls(&arena);
    println!("{attack}: init {ours:?}");
    controls.iter().for_each(|(name, score)| println!("{attack}: {name} {score:?}"));
    assert_eq!(ours.escaped, 0, "{ours:?}");
    assert_eq!(ours.attempts, attempts(), "proved nothing: too few exchanges fell into a walk: {ours:?}");
    assert!(ours.finished * 2 > ours.attempts, "proved nothing: too few walks finished: {ours:?}");
    assert!(controls.iter().any(|(_, score)| score.escaped > 0), "proved nothing: no control escaped: {controls:?}");
}

#[test]
fn a_leaf_that_becomes_a_link() {
    require!(root, setpriv, busybox);
    nobody_escapes("leaf", Arena::leaf);
}

#[test]
fn a_leaf_that_becomes_a_hard_link() {
    require!(root, setpriv, busybox);
    nobody_escapes("hard link", Arena::hard_link);
}

#[test]
fn a_directory_that_becomes_a_link() {
    require!(root, setpriv, busybox);
    nobody_escapes("directory", Arena::directory);
}

#[test]
fn a_component_of_the_volumes_path_that_becomes_a_link() {
    require!(root, setpriv, busybox);
    nobody_escapes("component", Arena::component);
}

//! What a restart could leave out of the walk over a volume: how much time each way saves, and which changes it does not see.
//!
//! None of these is in `init`; docs/ownership.md says why.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::os;
use crate::ownership::{APP, LARGE, SMALL, Tree, sh, timed, walk_command};
use crate::programs::BenchFolder;
use crate::table::{Goal, median, number, order, print, ratio};

/// A directory as it was when all in it was right. Nothing but the kernel sets a ctime.
struct Stamp {
    path: PathBuf,
    facts: [i64; 6],
}

fn facts(of: &Metadata) -> [i64; 6] {
    [of.dev() as i64, of.ino() as i64, of.ctime(), of.ctime_nsec(), of.mtime(), of.mtime_nsec()]
}

fn is_wrong(of: &Metadata) -> bool {
    of.uid().to_string() != APP
}

/// Which entries are looked at.
#[derive(Clone, Copy, PartialEq)]
enum WalkScope {
    Every,
    Directories,
    /// Directories, and every entry of those that changed since the stamp.
    Stamps,
    Top,
}

const LOOKS: [(&str, WalkScope); 4] = [
    ("every entry", WalkScope::Every),
    ("directories only", WalkScope::Directories),
    ("stamps of directories", WalkScope::Stamps),
    ("the top only", WalkScope::Top),
];

impl WalkScope {
    /// How many wrong entries are seen below `top`.
    fn wrong_below(self, top: &Path, stamps: &[Stamp]) -> usize {
        match self {
            WalkScope::Every => wrong_in(top, true),
            WalkScope::Directories => wrong_in(top, false),
            WalkScope::Top => usize::from(is_wrong(&fs::symlink_metadata(top).unwrap())),
            WalkScope::Stamps => {
                let changed =
                    |stamp: &&Stamp| fs::symlink_metadata(&stamp.path).map_or(true, |now| facts(&now) != stamp.facts);
                stamps.iter().filter(changed).map(|stamp| wrong_in(&stamp.path, true)).sum()
            }
        }
    }
}

fn wrong_in(directory: &Path, files_too: bool) -> usize {
    let own = is_wrong(&fs::symlink_metadata(directory).unwrap());
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let below = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => wrong_in(&entry.path(), files_too),
        false => usize::from(files_too && is_wrong(&entry.metadata().unwrap())),
    });
    usize::from(own) + below.sum::<usize>()
}

fn stamps_of(directory: &Path, stamps: &mut Vec<Stamp>) {
    stamps.push(Stamp { path: directory.into(), facts: facts(&fs::symlink_metadata(directory).unwrap()) });
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.file_type().unwrap().is_dir()).for_each(|entry| stamps_of(&entry.path(), stamps));
}

/// What root does in a volume between two starts; each leaves files of root's.
const CHANGES: &[(&str, &str)] = &[
    ("a new file", "touch d0/d0/new"),
    ("a file moved in", "touch ../moved && mv ../moved d0/d0/f0"),
    ("a file replaced (install, docker cp, tar -x)", "install /etc/passwd d0/d0/f0"),
    ("chown FILE", "chown 0:0 d0/d0/f0"),
    ("cp -a of a backup over FILE", "touch ../f0 && cp -a ../f0 d0/d0/f0"),
    ("tar -x --overwrite", "tar -c -C / etc/passwd --transform s,etc/passwd,d0/d0/f0, | tar -x --overwrite"),
    ("find -type f -exec chown", "find . -type f -exec chown 0:0 {} +"),
    ("chown -R", "chown -R 0:0 d0"),
];

/// The time of each way beside `init` and `chown -R` on the large tree, all right; then what each does not see.
pub fn skips(place: &BenchFolder, rounds: usize) -> Vec<Goal> {
    times(place, rounds);
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, command) in CHANGES {
        let tree = Tree::new(place, &SMALL);
        sh("chown", &["-R".as_ref(), format!("{APP}:{APP}").as_ref(), tree.path.as_ref()]);
        let mut stamps = Vec::new();
        stamps_of(&tree.path, &mut stamps);
        let status = Command::new("sh").args(["-ec", command]).current_dir(&tree.path).status().unwrap();
        assert!(status.success(), "{command}");
        let seen = LOOKS.iter().map(|(_, look)| look.wrong_below(&tree.path, &stamps) > 0);
        let row = seen.map(|seen| if seen { "seen" } else { "MISSED" }.to_owned());
        rows.push([(*name).to_owned()].into_iter().chain(row).collect());
    }
    let heads: Vec<&str> = ["root's change"].into_iter().chain(LOOKS.iter().map(|(name, _)| *name)).collect();
    print("skips: is a change of root's between two starts seen?", &heads, &rows, &[]);
    println!("changes that a directory's ctime did not show, of 1000 made just after a look: {}", unshown(place));
    Vec::new()
}

fn times(place: &BenchFolder, rounds: usize) {
    let tree = Tree::new(place, &LARGE);
    sh("chown", &["-R".as_ref(), format!("{APP}:{APP}").as_ref(), tree.path.as_ref()]);
    let mut names: Vec<&str> = LOOKS.iter().map(|(name, _)| *name).collect();
    names.extend(["init", "chown -R"]);
    let mut samples: Vec<Vec<f64>> = names.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for index in order(round, names.len()) {
            let wall = match LOOKS.get(index) {
                None => timed(walk_command(place, names[index], &tree.path)).0,
                Some((_, look)) => {
                    // chown -R changes every ctime: what a right tree keeps from start to start is not its to spoil.
                    let mut stamps = Vec::new();
                    stamps_of(&tree.path, &mut stamps);
                    let begin = os::now();
                    assert_eq!(look.wrong_below(&tree.path, &stamps), 0);
                    (os::now() - begin) as f64 / 1e6
                }
            };
            if round > 0 {
                samples[index].push(wall);
            }
        }
    }
    let of = |name: &str| &samples[names.iter().position(|known| *known == name).unwrap()];
    let row = |(name, samples): (&&str, &Vec<f64>)| {
        let to = |other| ratio(samples, of(other), 0.5).unwrap_or(f64::NAN);
        let ratios = ["every entry", "init", "chown -R"].map(|other| format!("{:.3}", to(other)));
        [(*name).to_owned(), number(median(samples))].into_iter().chain(ratios).collect()
    };
    let rows: Vec<_> = names.iter().zip(&samples).map(row).collect();
    let title = format!("skips: a tree that is right, {rounds} interleaved rounds, ms");
    print(&title, &["looked at", "median", "x every entry", "x init", "x chown -R"], &rows, &[]);
}

/// A directory is looked at and changed at once: how often its ctime stays what it was.
fn unshown(place: &BenchFolder) -> usize {
    let directory = place.work.join("ticks");
    fs::create_dir(&directory).unwrap();
    let is_unshown = |index: &usize| {
        let before = facts(&fs::symlink_metadata(&directory).unwrap());
        fs::File::create(directory.join(index.to_string())).unwrap();
        facts(&fs::symlink_metadata(&directory).unwrap()) == before
    };
    (0..1000).filter(is_unshown).count()
}

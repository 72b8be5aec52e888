//! Volumes: a large tree whose owners are right, and whose owners are all wrong, beside what images do today.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::os;
use crate::programs::BenchFolder;
use crate::table::{Goal, median, number, order, print, quantile, ratio};

/// The app's user and group, and somebody else's: nobody's on the machine that runs this.
pub const APP: &str = "61000";
const SOMEBODY: &str = "62000";
/// What the container starts with.
const CAPABILITIES: &str = "-all,+setuid,+setgid,+setpcap,+chown,+dac_read_search,+fowner";
const PROGRAMS: &[&str] =
    &["init", "chown -R", "busybox chown -R", "find -exec chown", "bare loop, looks", "bare loop, blind"];

/// Directories with `branches` others in each, `depth` levels with the top, and 20 files in each of the lowest.
pub struct Shape {
    branches: usize,
    depth: usize,
}

const FILES: usize = 20;
/// 200 000 files in 11 111 directories.
pub const LARGE: Shape = Shape { branches: 10, depth: 5 };
/// 2 000 files in 111 directories, small enough for strace.
pub const SMALL: Shape = Shape { branches: 10, depth: 3 };
const WIDE: usize = 300_000;

/// Who owns the tree before a run.
enum InitialOwner {
    /// The app: there is nothing to do.
    App,
    /// Root: nobody can exchange a name in its directories.
    Root,
    /// Another user, who could.
    Somebody,
}

impl InitialOwner {
    fn owner(&self) -> &'static str {
        match self {
            InitialOwner::App => APP,
            InitialOwner::Root => "0",
            InitialOwner::Somebody => SOMEBODY,
        }
    }
}

/// The times of all programs over the three states of the tree, the calls an entry, and the memory of `init`.
pub fn ownership(place: &BenchFolder, rounds: usize) -> Vec<Goal> {
    let tree = Tree::new(place, &LARGE);
    println!("\n{} entries, {} rounds, on {}", tree.entries, rounds, tree.filesystem());
    let mut goals = Vec::new();
    for (title, before, limit) in [
        ("every owner right", InitialOwner::App, 0.60),
        ("every owner wrong, directories of root", InitialOwner::Root, 1.10),
        ("every owner wrong, directories of another user", InitialOwner::Somebody, 1.10),
    ] {
        goals.extend(walks(&tree, &format!("ownership: {title}, spawn to end, ms"), &before, rounds, limit));
    }
    let peak_of_the_tree = peak(place, &tree.path);
    drop(tree);
    goals.extend(calls(place));
    goals.extend(memory(place, peak_of_the_tree));
    goals
}

fn walks(tree: &Tree<'_>, title: &str, before: &InitialOwner, rounds: usize, limit: f64) -> Vec<Goal> {
    tree.give_to(before);
    let mut samples: Vec<Vec<(f64, f64)>> = PROGRAMS.iter().map(|_| Vec::new()).collect();
    // The first round warms the caches and shows that each program did its work.
    for round in 0..=rounds {
        for index in order(round, PROGRAMS.len()) {
            if !matches!(before, InitialOwner::App) {
                tree.give_to(before);
            }
            let sample = timed(walk_command(tree.place, PROGRAMS[index], &tree.path));
            match round {
                0 => assert_eq!(tree.first_wrong(), "", "{} left this wrong", PROGRAMS[index]),
                _ => samples[index].push(sample),
            }
        }
    }
    let column = |index: usize, value: fn(&(f64, f64)) -> f64| samples[index].iter().map(value).collect::<Vec<_>>();
    let (wall, cpu) = (|index| column(index, |s| s.0), |index| column(index, |s| s.1));
    let ratio_to_chown = |samples: &[f64], of_chown: &[f64]| ratio(samples, of_chown, 0.5);
    let row = |index: usize| {
        let walls = wall(index);
        vec![
            PROGRAMS[index].to_owned(),
            number(median(&walls).round()),
            number(quantile(&walls, 0.0).unwrap_or(f64::NAN).round()),
            number(ratio_to_chown(&walls, &wall(1)).unwrap_or(f64::NAN)),
            number(median(&cpu(index)).round()),
            number(ratio_to_chown(&cpu(index), &cpu(1)).unwrap_or(f64::NAN)),
        ]
    };
    let rows: Vec<_> = (0..PROGRAMS.len()).map(row).collect();
    let goal = Goal::ratio("init / chown -R", &wall(0), &wall(1), limit);
    let goals = vec![goal.compared_with("CPU", ratio_to_chown(&cpu(0), &cpu(1)))];
    print(title, &["program", "median", "fastest", "x chown -R", "CPU", "CPU x chown -R"], &rows, &goals);
    goals
}

/// System calls of `init` for each entry, without those of a start on an empty volume.
fn calls(place: &BenchFolder) -> Vec<Goal> {
    let empty = place.work.join("empty");
    fs::create_dir(&empty).unwrap();
    sh("chown", &[APP.as_ref(), empty.as_ref()]);
    let tree = Tree::new(place, &SMALL);
    let count = |volume: &Path| {
        let log = place.work.join("strace");
        let walk = walk_command(place, "init", volume);
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-o"]).arg(&log).arg(walk.get_program()).args(walk.get_args()).env_clear();
        strace.envs(walk.get_envs().filter_map(|(name, value)| Some((name, value?))));
        timed(strace);
        fs::read_to_string(log).unwrap().lines().filter(|line| !line.starts_with("---")).count() as f64
    };
    let of_a_start = count(&empty);
    let an_entry = |before: InitialOwner| {
        tree.give_to(&before);
        (count(&tree.path) - of_a_start) / tree.entries as f64
    };
    let right = an_entry(InitialOwner::App);
    let cases = [
        ("right", right),
        ("root's", an_entry(InitialOwner::Root)),
        ("another user's", an_entry(InitialOwner::Somebody)),
    ];
    let rows: Vec<_> = cases.iter().map(|(name, calls)| vec![(*name).to_owned(), number(*calls)]).collect();
    let goals = vec![Goal::at_most("calls an entry, owners right", Some(right), 1.25)];
    print("ownership: system calls of init an entry (strace)", &["owners", "calls"], &rows, &goals);
    goals
}

fn memory(place: &BenchFolder, peak_of_the_tree: f64) -> Vec<Goal> {
    let path = place.work.join("wide");
    fs::create_dir(&path).unwrap();
    (0..WIDE).for_each(|index| drop(File::create(path.join(index.to_string())).unwrap()));
    let peak_of_one = peak(place, &path);
    fs::remove_dir_all(path).unwrap();
    let goals = vec![
        Goal::at_most("VmHWM of init, KiB, the tree", Some(peak_of_the_tree), 4096.0),
        Goal::at_most("VmHWM of init, KiB, 300 000 entries in one directory", Some(peak_of_one), 4096.0),
    ];
    let rows = [("the tree", peak_of_the_tree), ("one directory", peak_of_one)];
    let rows = rows.map(|(name, peak)| vec![name.to_owned(), number(peak)]);
    print("ownership: peak memory of init, KiB", &["volume", "VmHWM"], &rows, &goals);
    goals
}

/// VmHWM once COMMAND runs, so after the walk. Not rusage's: that one counts what the process was before it became `init`.
fn peak(place: &BenchFolder, volume: &Path) -> f64 {
    let mut init = init(place, volume);
    let mut running = init.arg(place.bench()).arg("app").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    running.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    drop(running.stdin.take());
    assert!(running.wait().unwrap().success());
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

/// `program` with what makes it go through `volume` for the app.
pub fn walk_command(place: &BenchFolder, program: &str, volume: &Path) -> Command {
    let owner = format!("{APP}:{APP}");
    let mut command = match program {
        "init" => {
            let mut init = init(place, volume);
            init.arg("/bin/true");
            init
        }
        "find -exec chown" => {
            let mut find = Command::new("find");
            find.arg(volume).args(["(", "!", "-user", APP, "-o", "!", "-group", APP, ")"]);
            find.args(["-exec", "chown", "-h", &owner, "{}", "+"]);
            find
        }
        "bare loop, looks" | "bare loop, blind" => {
            let mut walk = Command::new(place.bench());
            walk.arg("walk").arg(program.rsplit(' ').next().unwrap()).arg(APP).arg(volume);
            walk
        }
        line => {
            let mut words = line.split(' ');
            let mut chown = Command::new(words.next().unwrap());
            chown.args(words).arg(owner).arg(volume);
            chown
        }
    };
    command.stdin(Stdio::null());
    command
}

/// `init` with a container's capabilities; COMMAND is for the caller to add.
fn init(place: &BenchFolder, volume: &Path) -> Command {
    let mut init = Command::new("/usr/bin/setpriv");
    init.args(["--bounding-set", CAPABILITIES, "--inh-caps", "-all", "--"]).arg(place.init());
    init.env_clear().env("PATH", "/usr/bin:/bin").env("TAKUMI_VOLUMES", volume).env("TAKUMI_LOG", "warn");
    init.env("PUID", APP).env("PGID", APP);
    init
}

/// Wall and CPU time in milliseconds.
#[expect(clippy::zombie_processes, reason = "os::wait waits, and says what the child used")]
pub fn timed(mut command: Command) -> (f64, f64) {
    let begin = os::now();
    let child = command.spawn().unwrap();
    let usage = os::wait(&child);
    let wall = (os::now() - begin) as f64 / 1e6;
    assert_eq!(usage.status, 0, "{command:?}");
    (wall, usage.cpu_us / 1e3)
}

/// A tree on the disk; gone with the value.
pub struct Tree<'a> {
    place: &'a BenchFolder,
    pub path: PathBuf,
    entries: usize,
}

impl<'a> Tree<'a> {
    pub fn new(place: &'a BenchFolder, shape: &Shape) -> Self {
        let path = place.work.join("tree");
        let entries = plant(&path, shape.branches, shape.depth);
        // The disk's work for the making is over before anything is timed.
        sh("sync", &["-f".as_ref(), path.as_ref()]);
        Self { place, path, entries }
    }

    /// Everything becomes `before`'s.
    fn give_to(&self, before: &InitialOwner) {
        let owner = format!("{0}:{0}", before.owner());
        sh("chown", &["-R".as_ref(), owner.as_ref(), self.path.as_ref()]);
    }

    fn first_wrong(&self) -> String {
        sh(
            "find",
            &[self.path.as_ref(), "!".as_ref(), "-user".as_ref(), APP.as_ref(), "-print".as_ref(), "-quit".as_ref()],
        )
    }

    fn filesystem(&self) -> String {
        sh("stat", &["-f".as_ref(), "-c".as_ref(), "%T".as_ref(), self.path.as_ref()])
    }
}

impl Drop for Tree<'_> {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).unwrap();
    }
}

/// Makes the directory and what is in it; how many entries that are.
fn plant(path: &Path, branches: usize, depth: usize) -> usize {
    fs::create_dir(path).unwrap();
    if depth == 1 {
        (0..FILES).for_each(|index| drop(File::create(path.join(format!("f{index}"))).unwrap()));
        return 1 + FILES;
    }
    1 + (0..branches).map(|index| plant(&path.join(format!("d{index}")), branches, depth - 1)).sum::<usize>()
}

/// Runs a tool that has to succeed; its output.
pub fn sh(program: &str, words: &[&OsStr]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

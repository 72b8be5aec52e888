//! What the sandbox costs those inside: Landlock is asked at every open, the filter at every call. Three COMMANDs live at the same time,
//! one without the lock, one under each of its settings, and work in turn.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use crate::os;
use crate::programs::BenchFolder;
use crate::table::{Goal, median, number, order, print, quantile, ratio};

const SETTINGS: [&str; 3] = ["off", "auto", "strict"];
const FILES: usize = 10_000;
/// As deep as a package's files lie.
const DEPTH: &str = "lib/python3/site-packages/package/part";
const IMPORT: &str = "import numpy, PIL.Image, aiohttp";

/// Wall time and processor time, in microseconds.
type Sample = (f64, f64);

/// Opening 10 000 files, and a Python that imports NumPy, Pillow and aiohttp (which scripts/bench.sh has from pip).
pub fn lock(place: &BenchFolder, runs: usize) -> Vec<Goal> {
    let folder = place.work.join(DEPTH);
    fs::create_dir_all(&folder).unwrap();
    files(&folder).for_each(|file| drop(File::create(file).unwrap()));
    let mut inside: Vec<ConfinedChild> = SETTINGS.iter().map(|setting| ConfinedChild::start(place, setting)).collect();
    let mut goals = measured(&mut inside, "open", &format!("open and close {FILES} files"), runs, [1.10, 1.40]);
    if place.work.join("site").exists() {
        goals.extend(measured(&mut inside, "import", IMPORT, runs, [1.01, 1.01]));
    } else {
        println!("import: left out, pip could not have the packages");
        goals.push(Goal::at_most("import under auto / without the lock", None, 1.01));
    }
    goals
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    (0..FILES).map(move |number| folder.join(number.to_string()))
}

fn measured(inside: &mut [ConfinedChild], work: &str, what: &str, runs: usize, limits: [f64; 2]) -> Vec<Goal> {
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); SETTINGS.len()];
    // The first round warms the caches.
    for round in 0..=runs {
        for index in order(round, SETTINGS.len()) {
            let sample = inside[index].does(work);
            if round > 0 {
                samples[index].push(sample);
            }
        }
    }
    let of = |index: usize, figure: fn(&Sample) -> f64| samples[index].iter().map(figure).collect::<Vec<_>>();
    // Round by round: what the machine does besides falls on all three alike.
    let paired = |index: usize, figure: fn(&Sample) -> f64| {
        let pairs = of(index, figure).into_iter().zip(of(0, figure));
        pairs.map(|(with, without)| with / without).collect::<Vec<_>>()
    };
    let row = |index: usize| {
        let pairs = paired(index, |sample| sample.1);
        let mut row = vec![SETTINGS[index].to_owned()];
        row.extend([median(&of(index, |sample| sample.0)), median(&of(index, |sample| sample.1))].map(number));
        row.extend([0.5, 0.25, 0.75].map(|q| format!("{:.4}", quantile(&pairs, q).unwrap_or(f64::NAN))));
        row
    };
    let rows: Vec<Vec<String>> = (0..SETTINGS.len()).map(row).collect();
    let goal = |(index, limit): (usize, f64)| {
        let name = format!("{work} under {} / without the lock", SETTINGS[index]);
        let goal = Goal::at_most(&name, Some(median(&paired(index, |sample| sample.1))), limit);
        let fastest = ratio(&of(index, |sample| sample.1), &of(0, |sample| sample.1), 0.1);
        goal.compared_with("p10", fastest).compared_with("wall", Some(median(&paired(index, |sample| sample.0))))
    };
    let goals: Vec<Goal> = (1..).zip(limits).map(goal).collect();
    let title = format!("lock: {what}, {runs} rounds of each in turn, us");
    print(&title, &["TAKUMI_CONFINE", "wall", "CPU", "CPU x off", "p25", "p75"], &rows, &goals);
    goals
}

/// `init` over this program's `within`.
struct ConfinedChild {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl ConfinedChild {
    fn start(place: &BenchFolder, setting: &str) -> ConfinedChild {
        let mut command = Command::new(place.init());
        command.arg(place.bench()).arg("within").arg(&place.work).env_clear().envs([
            ("PATH", "/usr/bin:/bin"),
            ("PUID", "1000"),
            ("TAKUMI_LOG", "warn"),
            ("TAKUMI_CONFINE", setting),
            ("TAKUMI_EGRESS", "off"),
            // Without a proxy ports are no concern of the lock.
            ("http_proxy", "http://127.0.0.1:8888"),
        ]);
        os::before_exec(&mut command, os::filter_as_an_engine_does);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (ask, answer) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        ConfinedChild { child, ask, answer: BufReader::new(answer) }
    }

    fn does(&mut self, work: &str) -> Sample {
        writeln!(self.ask, "{work}").unwrap();
        let mut line = String::new();
        self.answer.read_line(&mut line).unwrap();
        let (wall, cpu) = line.trim().split_once(' ').unwrap_or_else(|| panic!("{work}: no answer: {line:?}"));
        (wall.parse().unwrap(), cpu.parse().unwrap())
    }
}

impl Drop for ConfinedChild {
    fn drop(&mut self) {
        os::kill(self.child.id(), libc::SIGTERM);
        let _ = self.child.wait();
    }
}

/// COMMAND: does what each line of its stdin says, and tells what that took.
pub fn within(work: &Path) {
    let (folder, site) = (work.join(DEPTH), work.join("site"));
    for line in std::io::stdin().lines() {
        let (wall, cpu) = match line.unwrap().as_str() {
            "open" => opened(&folder),
            _ => imported(&site),
        };
        println!("{wall} {cpu}");
    }
}

fn opened(folder: &Path) -> Sample {
    let paths: Vec<PathBuf> = files(folder).collect();
    let (began, before) = (Instant::now(), os::processor_time());
    paths.iter().for_each(|path| drop(File::open(path).unwrap()));
    (began.elapsed().as_secs_f64() * 1e6, os::processor_time() - before)
}

fn imported(site: &Path) -> Sample {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", IMPORT]).env("PYTHONPATH", site).stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let usage = os::wait(&python.spawn().unwrap());
    assert_eq!(usage.status, 0, "{IMPORT}");
    (began.elapsed().as_secs_f64() * 1e6, usage.cpu_us)
}

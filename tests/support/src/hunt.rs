//! Looks for a key wherever the caller can read: files, environments, memory. The tests of secrets look from outside, and
//! `tests/programs/searcher.rs` from inside.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Length of a run of bytes that is no accident. A key is cut into runs, because a freed piece of memory has lost its beginning.
const RUN: usize = 12;
/// What the kernel offers in one go.
const CHUNK: usize = 1 << 20;
/// Over each byte of a run while it is kept: a searcher must not find in its own memory what it looks for.
const MASK: u8 = 0x9c;
/// Endless, or read by its own way.
const NOT_READ: [&str; 3] = ["mem", "pagemap", "clear_refs"];

/// What gives a key away.
pub struct Needles {
    runs: Vec<(String, Vec<u8>)>,
    /// For each byte the runs that begin with it.
    begins: Vec<Vec<usize>>,
}

impl Needles {
    /// A private key in every form in which one lies about: hexadecimal, bytes in both orders (a number's limbs), base64.
    pub fn of_key(hexadecimal: &str) -> Needles {
        let bytes: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&hexadecimal[2 * at..2 * at + 2], 16).unwrap()).collect();
        let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
        let forms = [
            ("hex", hexadecimal.to_lowercase().into_bytes()),
            ("HEX", hexadecimal.to_uppercase().into_bytes()),
            ("base64", base64(&bytes)),
            ("bytes", bytes),
            ("limbs", reversed),
        ];
        let cut = |(name, form): &(&str, Vec<u8>)| -> Vec<(String, Vec<u8>)> {
            form.chunks_exact(RUN)
                .map(|run| ((*name).to_owned(), run.iter().map(|byte| byte ^ MASK).collect()))
                .collect()
        };
        Needles::new(forms.iter().flat_map(cut).collect())
    }

    fn new(runs: Vec<(String, Vec<u8>)>) -> Needles {
        let mut begins = vec![Vec::new(); 256];
        for (index, (_, run)) in runs.iter().enumerate() {
            begins[usize::from(run[0] ^ MASK)].push(index);
        }
        Needles { runs, begins }
    }

    /// As arguments of a searcher, still masked.
    pub fn words(&self) -> Vec<String> {
        let word = |(name, run): &(String, Vec<u8>)| {
            run.iter().fold(format!("{name}="), |mut word, byte| {
                write!(word, "{byte:02x}").unwrap();
                word
            })
        };
        self.runs.iter().map(word).collect()
    }

    /// From [`Needles::words`].
    pub fn from_words(words: impl Iterator<Item = String>) -> Needles {
        let run = |word: String| {
            let (name, digits) = word.split_once('=').unwrap();
            let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
            (name.to_owned(), (0..digits.len() / 2).map(byte).collect())
        };
        Needles::new(words.map(run).collect())
    }

    fn in_bytes(&self, haystack: &[u8], place: &str, found: &mut Vec<String>) {
        for at in 0..haystack.len() {
            for &index in &self.begins[usize::from(haystack[at])] {
                let (name, run) = &self.runs[index];
                let here = haystack.get(at..at + run.len());
                if here.is_some_and(|here| here.iter().zip(run).all(|(byte, masked)| byte ^ MASK == *masked)) {
                    let line = format!("{name} in {place}");
                    if !found.contains(&line) {
                        found.push(line);
                    }
                }
            }
        }
    }
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| DIGITS[bits >> shift & 63])
    };
    // The last, shorter group is not needed to recognise it.
    bytes.chunks_exact(3).flat_map(group).collect()
}

/// What was found, and how much could be read at all.
#[derive(Default, Debug)]
pub struct Hunt {
    /// `FORM in PLACE`.
    pub found: Vec<String>,
    /// Files that could be read.
    pub files: usize,
    /// Environments that could be read.
    pub environments: usize,
    /// Processes whose memory could be read.
    pub memories: usize,
}

impl Hunt {
    /// One process: everything in its /proc that can be read.
    pub fn process(&mut self, needles: &Needles, pid: &str) {
        let folder = Path::new("/proc").join(pid);
        // First of all: what is read afterwards lies in the searcher's own memory.
        self.memory(needles, &folder);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if NOT_READ.contains(&name.as_str()) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let mut content = Vec::new();
            let read = File::open(entry.path()).and_then(|file| file.take(4 * CHUNK as u64).read_to_end(&mut content));
            if read.is_ok() && name == "environ" {
                self.environments += 1;
            }
            needles.in_bytes(&content, &entry.path().display().to_string(), &mut self.found);
        }
    }

    fn memory(&mut self, needles: &Needles, folder: &Path) {
        let (Ok(maps), Ok(memory)) = (fs::read_to_string(folder.join("maps")), File::open(folder.join("mem"))) else {
            return;
        };
        let mut chunk = vec![0; CHUNK];
        let mut readable = false;
        for line in maps.lines() {
            let (range, rest) = line.split_once(' ').unwrap();
            let (begin, end) = range.split_once('-').unwrap();
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            let (mut at, end) = (number(begin), number(end));
            while at < end {
                let length = (end - at).min(CHUNK as u64) as usize;
                let Ok(count) = memory.read_at(&mut chunk[..length], at) else { break };
                readable |= count > 0;
                let what = rest.rsplit(' ').next().unwrap();
                let place = format!("{} {what}", folder.join("mem").display());
                needles.in_bytes(&chunk[..count], &place, &mut self.found);
                // A run may lie across two chunks.
                at += if length == CHUNK { count.saturating_sub(RUN).max(1) as u64 } else { length as u64 };
            }
        }
        // Nothing of it stays for whoever looks here next.
        chunk.fill(0);
        std::hint::black_box(&chunk);
        self.memories += usize::from(readable);
    }

    /// Every file below, but not what the kernel makes up.
    pub fn files(&mut self, needles: &Needles, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_dir() && !["/proc", "/sys", "/dev"].iter().any(|made_up| path == Path::new(made_up)) {
                self.files(needles, &path);
            } else if kind.is_file()
                && let Ok(content) = fs::read(&path)
            {
                self.files += 1;
                needles.in_bytes(&content, &path.display().to_string(), &mut self.found);
            }
        }
    }
}

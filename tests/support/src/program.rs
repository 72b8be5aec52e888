//! Programs: the one under test, those that are built with the tests, and those that are installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The top of the repository.
pub const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Where an installed program is: /usr/sbin is not on every user's PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    let places = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    places.iter().map(|place| Path::new(place).join(program)).find(|path| path.exists())
}

/// The same of a program that the test requires.
#[track_caller]
pub fn installed(program: &str) -> PathBuf {
    find(program).unwrap_or_else(|| panic!("{program} is missing: the test has no require!({program})"))
}

/// Where cargo puts the programs of this build: `target/TRIPLE/debug`.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().to_owned()
}

/// Where tests keep what they fetch, beside cargo's output.
pub fn kept(name: &str) -> PathBuf {
    built().parent().unwrap().join("tmp").join(name)
}

/// The binary under test: `INIT_UNDER_TEST`, which scripts/test.sh sets to the release binary, or the one that cargo built with the tests.
pub fn init() -> PathBuf {
    std::env::var_os("INIT_UNDER_TEST").map_or_else(|| built().join("init"), PathBuf::from)
}

/// The program that reads nodes, of the same build.
pub fn nodes() -> PathBuf {
    init().with_file_name("takumi-nodes")
}

/// A program of tests/programs.
pub fn example(name: &str) -> PathBuf {
    let path = built().join("examples").join(name);
    assert!(path.exists(), "{} is missing: cargo build --example {name}", path.display());
    path
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; of a program that a signal ended, 128 + its number, as a shell has it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a command to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output();
    Ended::from(output.unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        use std::os::unix::process::ExitStatusExt as _;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let status = output.status;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().expect("a code or a signal"));
        Ended { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Ended {
    /// Both streams, standard output first.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// It ended with this code.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Ended {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// These words are on one of the streams.
    #[track_caller]
    pub fn says(self, words: &str) -> Ended {
        assert!(self.text().contains(words), "expected '{words}': {self:?}");
        self
    }

    /// These words are on no stream.
    #[track_caller]
    pub fn never_says(self, words: &str) -> Ended {
        assert!(!self.text().contains(words), "not expected '{words}': {self:?}");
        self
    }

    /// The refusal that every start owes its user: 125 and one line that contains `words`.
    #[track_caller]
    pub fn expect_refusal(&self, words: &[&str]) {
        assert_eq!(self.code, 125, "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "one line is enough: {self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "expected '{word}': {self:?}");
        }
    }
}

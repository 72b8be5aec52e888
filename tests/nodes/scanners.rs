//! Bandit with our rules, had by pip once and kept beside the tests' other output.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use takumi_init::for_tests::scan::Scanner;
use takumi_test::program::REPOSITORY;

/// What image/bandit consists of.
pub const RULES: [&str; 2] = ["takumi_rules", "takumi_rules-1.dist-info"];

/// Where they lie here.
pub fn rules() -> PathBuf {
    Path::new(REPOSITORY).join("image/bandit")
}

/// `require!(pip3)`.
#[track_caller]
pub fn bandit() -> Scanner {
    Scanner::find_anywhere(installed().join("bin/bandit").to_str().unwrap().as_bytes()).unwrap()
}

/// The virtual environment that it is in, with links to our rules.
#[track_caller]
pub fn installed() -> PathBuf {
    let list = Path::new(REPOSITORY).join("tests/nodes/scanners.txt");
    let folder = takumi_test::wheels::environment("scanners", &list, &[]);
    for name in RULES {
        match std::os::unix::fs::symlink(rules().join(name), packages(&folder).join(name)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{error}"),
            _ => {}
        }
    }
    folder
}

/// Its packages.
pub fn packages(environment: &Path) -> PathBuf {
    let python = std::fs::read_dir(environment.join("lib")).unwrap().next().unwrap().unwrap();
    python.path().join("site-packages")
}

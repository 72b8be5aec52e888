//! Bandit and banditrs, had by pip once and kept beside the tests' other output.

use std::path::{Path, PathBuf};
use takumi_init::for_tests::scan::Scanner;
use takumi_test::program::REPOSITORY;

/// Both, with their names: `require!(pip3)`.
#[track_caller]
pub fn both() -> [(&'static str, Scanner); 2] {
    let folder = installed();
    ["bandit", "banditrs"].map(|name| {
        let path = folder.join("bin").join(name);
        (name, Scanner::find_anywhere(path.to_str().unwrap().as_bytes()).unwrap())
    })
}

/// The virtual environment that they are in.
#[track_caller]
pub fn installed() -> PathBuf {
    let list = Path::new(REPOSITORY).join("tests/nodes/scanners.txt");
    takumi_test::wheels::environment("scanners", &list, &[])
}

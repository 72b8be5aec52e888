//! The scripts as a stranger uses them.

use std::process::Command;
use takumi_test::program::{REPOSITORY, init, run};

#[test]
fn a_binary_that_is_no_static_pie_is_refused() {
    let check = |binary: &str, flags: &str| {
        let line = "source scripts/common.sh; check_static_pie \"$0\"";
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", line, binary]).current_dir(REPOSITORY).env("RUSTFLAGS", flags);
        run(&mut bash)
    };
    let dynamic = check("/usr/bin/env", "-O");
    dynamic.ends_with(1).says("needs shared libraries").says("RUSTFLAGS in the environment replaces");
    check(init().to_str().unwrap(), "").ends_with(0);
}

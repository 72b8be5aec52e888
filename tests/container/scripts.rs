//! The scripts as a stranger uses them.

use std::process::{Command, Output};

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_binary_that_is_no_static_pie_is_refused() {
    let check = |binary: &str, flags: &str| {
        let line = "source scripts/common.sh; check_static_pie \"$0\"";
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", line, binary])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("RUSTFLAGS", flags);
        bash.output().unwrap()
    };
    let dynamic = check("/usr/bin/env", "-O");
    assert_eq!(dynamic.status.code(), Some(1), "{}", text(&dynamic));
    assert!(text(&dynamic).contains("needs shared libraries"), "{}", text(&dynamic));
    assert!(text(&dynamic).contains("RUSTFLAGS in the environment replaces"), "{}", text(&dynamic));
    let under_test = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
    let right = check(&under_test, "");
    assert!(right.status.success(), "{}", text(&right));
}

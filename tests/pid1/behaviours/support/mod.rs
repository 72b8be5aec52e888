//! What the behaviour tests stand on.
//!
//! ```ignore
//! check("X03", |program| {
//!     let ended = Start::new(program).probe("die:TERM").run();
//!     assert_eq!(ended.exit, Exit::Code(128 + 15));
//! });
//! ```
//!
//! [`Start`] builds a start, [`Running`] is one that is under way, [`Process`] looks at a process from outside, [`eventually`]
//! polls with a deadline. What COMMAND does is said in the words of `tests/programs/probe.rs`.

mod check;
mod process;
mod program;
mod running;
mod start;
mod state;
mod stream;

pub use check::{check, check_control, check_init, eventually, patience};
pub use process::Process;
pub use program::{Program, Scope};
pub use running::{Exit, ProgramEnd, Running};
pub use start::{PROBE, Start, Stdio};
pub use state::State;

use std::io::Write as _;
use std::process::Command;
use takumi_test::folder::Folder;

/// A directory that every user may write, removed at the end.
pub struct Scratch(Folder);

impl Scratch {
    pub fn new() -> Self {
        Scratch(Folder::of_mode(0o777))
    }

    /// The path of a file in it, as text.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file in it that has the mode given, and returns its path.
    pub fn file(&self, name: &str, mode: u32, content: impl AsRef<[u8]>) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        // Another process writes: what this one has open for writing, a fork of another thread has too, and then no exec of it
        // succeeds (ETXTBSY).
        let mut writer = Command::new("dd")
            .args(["status=none", &format!("of={path}")])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        writer.stdin.take().unwrap().write_all(content.as_ref()).unwrap();
        assert!(writer.wait().unwrap().success(), "cannot write {path}");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }
}

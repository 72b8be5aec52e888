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
pub mod signal;
mod spec;
mod start;
mod state;
mod stream;

pub use check::{check, check_control, check_init, eventually, patience};
pub use process::Process;
pub use program::{Program, Scope};
pub use running::{Ended, Exit, Running};
pub use spec::Terminal;
pub use start::{PROBE, Start, Stdio};
pub use state::State;

/// Alone among the starts and executables of this test program: a child that another thread forks holds a file that is just
/// being written until its own exec, and the exec of that file fails with ETXTBSY meanwhile.
pub fn undisturbed<T>(act: impl FnOnce() -> T) -> T {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    act()
}

/// A directory that every user may write, removed at the end.
pub struct Scratch(std::path::PathBuf);

impl Scratch {
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("takumi-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        Scratch(path)
    }

    /// The path of a file in it, as text.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file in it that has the mode given, and returns its path.
    pub fn file(&self, name: &str, mode: u32, content: impl AsRef<[u8]>) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        undisturbed(|| std::fs::write(&path, content)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

//! Names that nobody else uses, and folders that go with their value.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// `takumi-test-KIND-PID-NUMBER`: the pid is that of the test's own process, by which [`crate::sweep`] knows what nobody needs any more.
pub fn fresh_name(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("takumi-test-{kind}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A folder that goes with its value.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new, empty one that everybody may pass.
    pub fn new() -> Folder {
        Folder::of_mode(0o755)
    }

    /// A new, empty one of this mode.
    pub fn of_mode(mode: u32) -> Folder {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(fresh_name("folder"));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        Folder(path)
    }

    /// The path of something in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Default for Folder {
    fn default() -> Folder {
        Folder::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

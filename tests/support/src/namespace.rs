//! Where a test runs: a mount namespace of its thread's own, with a /run, a /etc and a /dev/null of the test's.
use crate::folder::fresh_name;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `app` has a home and groups, `plain` has none; both are ordinary.
pub const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    app:x:1000:1000:App:/home/app:/bin/sh\n\
    plain:x:1001:1001::/home/plain:/bin/sh\n";
/// `app` is in three groups besides its own.
pub const GROUP: &str = "root:x:0:\napp:x:1000:\nplain:x:1001:\nvideo:x:44:app\nrender:x:105:app\nwheel:x:2000:\n";

/// A thread's own view of the file system, and a scratch directory that is removed with it.
pub struct MountNamespace {
    /// The directory, which everybody may write.
    pub scratch: PathBuf,
}

impl MountNamespace {
    /// Leaves the mount namespace of the other threads for good: `require!(namespaces)`.
    #[track_caller]
    pub fn enter() -> MountNamespace {
        // SAFETY: concerns the calling thread alone and takes no pointer.
        let entered = unsafe { libc::unshare(libc::CLONE_NEWNS) };
        assert_eq!(entered, 0, "a mount namespace: {}", std::io::Error::last_os_error());
        let world = MountNamespace { scratch: std::env::temp_dir().join(fresh_name("world")) };
        fs::create_dir_all(&world.scratch).unwrap();
        fs::set_permissions(&world.scratch, fs::Permissions::from_mode(0o1777)).unwrap();
        mount("none", "/", "", libc::MS_REC | libc::MS_PRIVATE);
        mount("tmpfs", "/run", "tmpfs", libc::MS_NOSUID);
        // A /dev/null of its own: a start that takes it for a terminal gives it away, and the machine has only one.
        make_null("/run/null");
        mount("/run/null", "/dev/null", "", libc::MS_BIND);
        // The whole directory: a file put over /etc/passwd is gone as soon as a useradd outside renames the one below.
        mount("tmpfs", "/etc", "tmpfs", libc::MS_NOSUID | libc::MS_NODEV);
        for (path, content, mode) in [("passwd", PASSWD, 0o644), ("group", GROUP, 0o644), ("shadow", "", 0o600)] {
            let path = Path::new("/etc").join(path);
            fs::write(&path, content).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        world
    }

    /// Whether /dev/null is still root's; if not, it is again.
    pub fn keeps_null(&self) -> bool {
        let kept = fs::metadata("/dev/null").is_ok_and(|meta| meta.uid() == 0 && meta.gid() == 0);
        if !kept {
            chown("/dev/null", Some(0), Some(0)).unwrap();
        }
        kept
    }

    /// A copy that every user can start: a build directory may be closed to them.
    pub fn program(&self, source: &Path, mode: u32) -> PathBuf {
        self.program_as(source, source.file_name().unwrap().to_str().unwrap(), mode)
    }

    /// The same under another name.
    pub fn program_as(&self, source: &Path, name: &str, mode: u32) -> PathBuf {
        let copy = self.scratch.join(name);
        // Another process copies: what we have open for writing, a fork of another thread has too, and then no exec of it
        // succeeds (ETXTBSY).
        assert!(Command::new("cp").arg(source).arg(&copy).status().unwrap().success(), "cp {}", source.display());
        fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).unwrap();
        copy
    }
}

impl Drop for MountNamespace {
    fn drop(&mut self) {
        for path in ["/etc", "/dev/null", "/run"] {
            unmount(path);
        }
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

fn make_null(path: &str) {
    let name = CString::new(path).unwrap();
    // SAFETY: a string that ends in NUL; the numbers are those of /dev/null.
    let made = unsafe { libc::mknod(name.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(1, 3)) };
    assert_eq!(made, 0, "mknod {path}: {}", std::io::Error::last_os_error());
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
}

/// Mounts, or fails the test.
pub fn mount(source: &str, target: &str, kind: &str, flags: libc::c_ulong) {
    let text = |word: &str| CString::new(word).unwrap();
    let (from, to, what) = (text(source), text(target), text(kind));
    // SAFETY: three strings that end in NUL, and no data.
    let done = unsafe { libc::mount(from.as_ptr(), to.as_ptr(), what.as_ptr(), flags, std::ptr::null()) };
    assert_eq!(done, 0, "mount {source} on {target}: {}", std::io::Error::last_os_error());
}

/// Takes away what is mounted on `path`, if anything is.
pub fn unmount(path: impl AsRef<Path>) {
    let path = CString::new(path.as_ref().as_os_str().as_bytes()).unwrap();
    // SAFETY: a string that ends in NUL.
    unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
}

//! /dev/net/tun, which an ordinary machine leaves open to everybody and a container may not: `require!(root, tun)`.

use std::fs::{File, Permissions, metadata, set_permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

const DEVICE: &str = "/dev/net/tun";

/// Open to every user until the last test of this machine that asked for it is over. What it was before stands in the file, on which
/// each of them has a shared lock.
pub struct Tun(File);

impl Tun {
    /// Opens it.
    pub fn open() -> Tun {
        let _gate = gate();
        let mut tun = Tun(file("takumi-test-lock-tun"));
        let mode = metadata(DEVICE).unwrap().permissions().mode() & 0o7777;
        if mode != 0o666 {
            tun.0.set_len(0).unwrap();
            write!(tun.0, "{mode:o}").unwrap();
            set_permissions(DEVICE, Permissions::from_mode(0o666)).unwrap();
        }
        tun.0.lock_shared().unwrap();
        tun
    }
}

impl Drop for Tun {
    fn drop(&mut self) {
        let _gate = gate();
        // Refused while another test has it open.
        if self.0.try_lock().is_err() {
            return;
        }
        let mut before = String::new();
        let _ = self.0.rewind().and_then(|()| self.0.read_to_string(&mut before));
        if let Ok(mode) = u32::from_str_radix(&before, 8) {
            let _ = set_permissions(DEVICE, Permissions::from_mode(mode));
            let _ = self.0.set_len(0);
        }
    }
}

/// One test at a time opens or closes: flock gives a lock up for a moment where it turns it into another.
fn gate() -> File {
    let gate = file("takumi-test-lock-tun-gate");
    gate.lock().unwrap();
    gate
}

fn file(name: &str) -> File {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).open(std::env::temp_dir().join(name)).unwrap()
}

//! The security module that confines this process (`man 5 proc_pid_attr`).

use crate::sys::{Errno, io};

/// The label: AppArmor's profile and mode (`docker-default (enforce)`, `unconfined`) or SELinux's context. Errors:
/// EINVAL and ENOENT where no module gives one.
pub fn read_label() -> Result<Vec<u8>, Errno> {
    let mut buffer = [0; 512];
    // The first is AppArmor's own since Linux 5.8; where several modules are stacked the second may be another's.
    let text = match io::read_into(c"/proc/self/attr/apparmor/current", &mut buffer) {
        Ok(text) => text.len(),
        Err(_) => io::read_into(c"/proc/self/attr/current", &mut buffer)?.len(),
    };
    let label = buffer[..text].trim_ascii_end();
    let label = label.strip_suffix(b"\0").unwrap_or(label);
    if label.is_empty() { Err(Errno(libc::ENOENT)) } else { Ok(label.to_vec()) }
}

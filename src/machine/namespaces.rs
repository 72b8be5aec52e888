//! Which namespaces of this process are the host's.

use crate::sys::{Errno, fs, io};
use std::ffi::CStr;

/// What is seen of each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespaces {
    /// Inode of the pid namespace.
    pub pid: Result<u64, Errno>,
    /// Of System V and POSIX message queues and shared memory.
    pub ipc: Result<u64, Errno>,
    /// Of the host name.
    pub uts: Result<u64, Errno>,
    /// Of the network.
    pub net: Result<u64, Errno>,
    /// The kernel's own threads are seen: this is the host's list of processes, whatever inode it has (WSL2's
    /// distributions have a pid namespace of their own).
    pub kernel_threads: bool,
    /// An interface that only a host has: a bridge of an engine, or hardware.
    pub host_interface: Option<String>,
}

impl Namespaces {
    /// Of none of them anything is known.
    pub fn unknown(why: Errno) -> Self {
        Namespaces {
            pid: Err(why),
            ipc: Err(why),
            uts: Err(why),
            net: Err(why),
            kernel_threads: false,
            host_interface: None,
        }
    }

    pub fn observe() -> Self {
        let directory = fs::open_root().and_then(|root| {
            use std::os::fd::AsFd;
            fs::pin_directory_at(root.as_fd(), c"proc/self/ns")
        });
        let inode = |name: &CStr| {
            use std::os::fd::AsFd;
            let mut buffer = [0; 64];
            let directory = directory.as_ref().map_err(|errno| *errno)?;
            parse_inode(fs::read_link_at(directory.as_fd(), name, &mut buffer)?).ok_or(Errno(libc::EPROTO))
        };
        let mut buffer = [0; 16];
        let second = io::read_into(c"/proc/2/comm", &mut buffer).unwrap_or_default();
        Namespaces {
            pid: inode(c"pid"),
            ipc: inode(c"ipc"),
            uts: inode(c"uts"),
            net: inode(c"net"),
            kernel_threads: second == b"kthreadd\n",
            host_interface: host_interface(),
        }
    }
}

/// The number in `pid:[4026531836]`.
fn parse_inode(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

fn host_interface() -> Option<String> {
    let mut found = None;
    let _ = io::for_each_name(c"/sys/class/net", |name| {
        let Ok(name) = std::str::from_utf8(name) else { return };
        if found.is_none() && !name.starts_with('.') && (is_bridge(name) || is_hardware(name)) {
            found = Some(name.to_string());
        }
    });
    found
}

/// The bridges of Docker, Podman, libvirt and Kubernetes' network plug-ins.
fn is_bridge(name: &str) -> bool {
    let dockers =
        name.strip_prefix("br-").is_some_and(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let numbered = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    dockers || numbered("docker") || numbered("podman") || numbered("virbr") || numbered("cni")
}

fn is_hardware(name: &str) -> bool {
    std::ffi::CString::new(format!("/sys/class/net/{name}/device")).is_ok_and(|path| io::exists(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_link_names_an_inode() {
        assert_eq!(parse_inode(b"pid:[4026531836]"), Some(4_026_531_836));
        assert_eq!(parse_inode(b"pid:[]"), None);
        assert_eq!(parse_inode(b"/somewhere"), None);
    }

    #[test]
    fn an_engines_bridge_is_known_by_its_name() {
        for name in ["docker0", "br-0123456789ab", "podman1", "virbr0", "cni0"] {
            assert!(is_bridge(name), "{name}");
        }
        for name in ["eth0", "lo", "br-lan", "docker", "tap0", "wlan0"] {
            assert!(!is_bridge(name), "{name}");
        }
    }

    #[test]
    fn each_namespace_of_this_process_is_told_from_the_others() {
        let seen = Namespaces::observe();
        for (name, inode) in [("pid", seen.pid), ("ipc", seen.ipc), ("uts", seen.uts), ("net", seen.net)] {
            let kernels = std::fs::metadata(format!("/proc/self/ns/{name}")).unwrap();
            assert_eq!(inode, Ok(std::os::unix::fs::MetadataExt::ino(&kernels)), "{name}");
        }
    }
}

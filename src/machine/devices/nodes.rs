//! Which nodes of a GPU /dev holds.

use super::Opened;
use super::path;
use crate::sys::device::{self, DeviceNode as File};
use crate::sys::{Errno, io};

/// What a node is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// /dev/nvidia0 and so on: a GPU.
    Nvidia,
    /// /dev/nvidiactl: the driver itself.
    NvidiaControl,
    /// /dev/nvidia-uvm: memory that CPU and GPU share; CUDA needs it, nvidia-smi does not.
    NvidiaMemory,
    /// /dev/nvidia-uvm-tools and /dev/nvidia-modeset: debuggers and screens need them.
    NvidiaOther,
    /// /dev/nvidia-caps/*: rights to parts of a GPU (MIG).
    NvidiaRight,
    /// /dev/dxg: the GPU of Windows under WSL 2.
    Windows,
    /// /dev/kfd: AMD's compute driver.
    AmdCompute,
    /// /dev/dri/renderD128 and so on: a GPU of any maker.
    Render,
    /// /dev/nvmap, /dev/nvhost-* and /dev/nvgpu/*: a Jetson.
    Tegra,
}

/// A node that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its path.
    pub path: String,
    /// What it is for.
    pub kind: Kind,
    /// What lies there.
    pub file: Result<File, Errno>,
    /// What came of opening it.
    pub opened: Opened,
}

impl Kind {
    /// Of a path below /dev, without `/dev/`; `None`: no node of a GPU.
    pub fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"nvidiactl" => Kind::NvidiaControl,
            b"nvidia-uvm" => Kind::NvidiaMemory,
            b"nvidia-uvm-tools" | b"nvidia-modeset" => Kind::NvidiaOther,
            b"dxg" => Kind::Windows,
            b"kfd" => Kind::AmdCompute,
            b"nvmap" => Kind::Tegra,
            _ if is_number(name.strip_prefix(b"nvidia")) => Kind::Nvidia,
            _ if is_number(name.strip_prefix(b"dri/renderD")) => Kind::Render,
            _ if is_word(name.strip_prefix(b"nvidia-caps/")) => Kind::NvidiaRight,
            _ if is_word(name.strip_prefix(b"nvhost-").or(name.strip_prefix(b"nvgpu/igpu0/"))) => Kind::Tegra,
            _ => return None,
        })
    }

    /// Whether it is to be opened for writing too: libraries only read rights.
    pub(super) fn is_written(self) -> bool {
        self != Kind::NvidiaRight
    }

    /// Under which names its driver stands in /proc/devices.
    pub fn drivers(self) -> &'static [&'static str] {
        match self {
            Kind::Nvidia | Kind::NvidiaControl => &["nvidia", "nvidia-frontend", "nvidiactl"],
            Kind::NvidiaMemory => &["nvidia-uvm"],
            Kind::NvidiaRight => &["nvidia-caps"],
            Kind::Windows => &["misc"],
            Kind::AmdCompute => &["kfd"],
            Kind::Render => &["drm"],
            Kind::NvidiaOther | Kind::Tegra => &[],
        }
    }
}

fn is_number(rest: Option<&[u8]>) -> bool {
    rest.is_some_and(|rest| (1..=3).contains(&rest.len()) && rest.iter().all(u8::is_ascii_digit))
}

fn is_word(rest: Option<&[u8]>) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    rest.is_some_and(|rest| !rest.is_empty() && rest.iter().all(plain) && rest[0] != b'.')
}

/// Directories of /dev with nodes in them, and the entry of /dev that tells of each.
const DIRECTORIES: [(&[u8], &str); 3] = [(b"nvidia-caps", "nvidia-caps"), (b"dri", "dri"), (b"nvgpu", "nvgpu/igpu0")];

/// More of them are on no machine; a GPU that is cut up has up to a hundred rights.
const MOST: usize = 512;

/// Looks for nodes below `root` (empty: the real one), without opening them.
pub(super) fn find(root: &str) -> Vec<Node> {
    let mut names: Vec<String> = Vec::new();
    let mut inside: Vec<&str> = Vec::new();
    let _ = io::for_each_entry(&path(root, "/dev"), |name, _| {
        if let Some((_, directory)) = DIRECTORIES.iter().find(|(entry, _)| *entry == name) {
            inside.push(directory);
        } else {
            keep(&mut names, name);
        }
    });
    for directory in inside {
        let _ = io::for_each_entry(&path(root, &format!("/dev/{directory}")), |name, _| {
            keep(&mut names, &[directory.as_bytes(), b"/", name].concat());
        });
    }
    // As a person counts: nvidia2 before nvidia10.
    names.sort_unstable_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    names.iter().filter_map(|name| Node::look(root, name)).collect()
}

fn keep(names: &mut Vec<String>, name: &[u8]) {
    // What has a kind is plain ASCII.
    if names.len() < MOST && Kind::of(name).is_some() {
        names.push(String::from_utf8_lossy(name).into_owned());
    }
}

impl Node {
    fn look(root: &str, name: &str) -> Option<Node> {
        let kind = Kind::of(name.as_bytes())?;
        let path_of_it = format!("/dev/{name}");
        let file = device::stat(&path(root, &path_of_it));
        Some(Node { path: path_of_it, kind, file, opened: Opened::NotTried(Errno(libc::ENODEV)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_known_by_their_names() {
        for (name, kind) in [
            ("nvidia0", Kind::Nvidia),
            ("nvidia15", Kind::Nvidia),
            ("nvidiactl", Kind::NvidiaControl),
            ("nvidia-uvm", Kind::NvidiaMemory),
            ("nvidia-uvm-tools", Kind::NvidiaOther),
            ("nvidia-modeset", Kind::NvidiaOther),
            ("nvidia-caps/nvidia-cap2", Kind::NvidiaRight),
            ("dxg", Kind::Windows),
            ("kfd", Kind::AmdCompute),
            ("dri/renderD128", Kind::Render),
            ("nvmap", Kind::Tegra),
            ("nvhost-ctrl-gpu", Kind::Tegra),
            ("nvgpu/igpu0/ctrl", Kind::Tegra),
        ] {
            assert_eq!(Kind::of(name.as_bytes()), Some(kind), "{name}");
        }
        for name in [
            "nvidia", "nvidia1x", "nvidia-", "dri", "dri/card0", "dri/renderD", "nvidia-caps/..", "nvhost-", "nvme0",
            "nvram", "null", "nvidia0000", "nvidia-nvswitch0", "dri/renderD1/..",
        ] {
            assert_eq!(Kind::of(name.as_bytes()), None, "{name}");
        }
    }
}

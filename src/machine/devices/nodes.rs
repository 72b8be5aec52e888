//! Which nodes of a GPU /dev holds.

use super::OpenOutcome;
use super::below_root;
use crate::sys::device::{self, DeviceNode as File};
use crate::sys::{Errno, io};

/// What a node is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum GpuNodeKind {
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
pub struct GpuNode {
    pub path: String,
    /// What it is for.
    pub kind: GpuNodeKind,
    pub file: Result<File, Errno>,
    /// What came of opening it.
    pub open_outcome: OpenOutcome,
}

impl GpuNodeKind {
    /// Of a path below /dev, without `/dev/`; `None`: no node of a GPU.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"nvidiactl" => GpuNodeKind::NvidiaControl,
            b"nvidia-uvm" => GpuNodeKind::NvidiaMemory,
            b"nvidia-uvm-tools" | b"nvidia-modeset" => GpuNodeKind::NvidiaOther,
            b"dxg" => GpuNodeKind::Windows,
            b"kfd" => GpuNodeKind::AmdCompute,
            b"nvmap" => GpuNodeKind::Tegra,
            _ if is_number(name.strip_prefix(b"nvidia")) => GpuNodeKind::Nvidia,
            _ if is_number(name.strip_prefix(b"dri/renderD")) => GpuNodeKind::Render,
            _ if is_word(name.strip_prefix(b"nvidia-caps/")) => GpuNodeKind::NvidiaRight,
            _ if is_word(name.strip_prefix(b"nvhost-").or(name.strip_prefix(b"nvgpu/igpu0/"))) => GpuNodeKind::Tegra,
            _ => return None,
        })
    }

    /// Whether it is to be opened for writing too: libraries only read rights.
    pub(super) fn needs_write(self) -> bool {
        self != GpuNodeKind::NvidiaRight
    }

    /// Under which names its driver stands in /proc/devices.
    pub fn drivers(self) -> &'static [&'static str] {
        match self {
            GpuNodeKind::Nvidia | GpuNodeKind::NvidiaControl => &["nvidia", "nvidia-frontend", "nvidiactl"],
            GpuNodeKind::NvidiaMemory => &["nvidia-uvm"],
            GpuNodeKind::NvidiaRight => &["nvidia-caps"],
            GpuNodeKind::Windows => &["misc"],
            GpuNodeKind::AmdCompute => &["kfd"],
            GpuNodeKind::Render => &["drm"],
            GpuNodeKind::NvidiaOther | GpuNodeKind::Tegra => &[],
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
const MAX_NODES: usize = 512;

/// Looks for nodes below `root` (empty: the real one), without opening them.
pub(super) fn find_nodes(root: &str) -> Vec<GpuNode> {
    let mut names: Vec<String> = Vec::new();
    let mut subdirectories: Vec<&str> = Vec::new();
    let _ = io::for_each_entry(&below_root(root, "/dev"), |name, _| {
        if let Some((_, directory)) = DIRECTORIES.iter().find(|(entry, _)| *entry == name) {
            subdirectories.push(directory);
        } else {
            push_if_gpu(&mut names, name);
        }
    });
    for directory in subdirectories {
        let _ = io::for_each_entry(&below_root(root, &format!("/dev/{directory}")), |name, _| {
            push_if_gpu(&mut names, &[directory.as_bytes(), b"/", name].concat());
        });
    }
    // As a person counts: nvidia2 before nvidia10.
    names.sort_unstable_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    names.iter().filter_map(|name| GpuNode::observe(root, name)).collect()
}

fn push_if_gpu(names: &mut Vec<String>, name: &[u8]) {
    // What has a kind is plain ASCII.
    if names.len() < MAX_NODES && GpuNodeKind::from_name(name).is_some() {
        names.push(String::from_utf8_lossy(name).into_owned());
    }
}

impl GpuNode {
    fn observe(root: &str, name: &str) -> Option<GpuNode> {
        let kind = GpuNodeKind::from_name(name.as_bytes())?;
        let node_path = format!("/dev/{name}");
        let file = device::stat(&below_root(root, &node_path));
        Some(GpuNode { path: node_path, kind, file, open_outcome: OpenOutcome::NotAttempted(Errno(libc::ENODEV)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_known_by_their_names() {
        for (name, kind) in [
            ("nvidia0", GpuNodeKind::Nvidia),
            ("nvidia15", GpuNodeKind::Nvidia),
            ("nvidiactl", GpuNodeKind::NvidiaControl),
            ("nvidia-uvm", GpuNodeKind::NvidiaMemory),
            ("nvidia-uvm-tools", GpuNodeKind::NvidiaOther),
            ("nvidia-modeset", GpuNodeKind::NvidiaOther),
            ("nvidia-caps/nvidia-cap2", GpuNodeKind::NvidiaRight),
            ("dxg", GpuNodeKind::Windows),
            ("kfd", GpuNodeKind::AmdCompute),
            ("dri/renderD128", GpuNodeKind::Render),
            ("nvmap", GpuNodeKind::Tegra),
            ("nvhost-ctrl-gpu", GpuNodeKind::Tegra),
            ("nvgpu/igpu0/ctrl", GpuNodeKind::Tegra),
        ] {
            assert_eq!(GpuNodeKind::from_name(name.as_bytes()), Some(kind), "{name}");
        }
        for name in [
            "nvidia", "nvidia1x", "nvidia-", "dri", "dri/card0", "dri/renderD", "nvidia-caps/..", "nvhost-", "nvme0",
            "nvram", "null", "nvidia0000", "nvidia-nvswitch0", "dri/renderD1/..",
        ] {
            assert_eq!(GpuNodeKind::from_name(name.as_bytes()), None, "{name}");
        }
    }
}

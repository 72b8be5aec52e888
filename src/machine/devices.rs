//! Device nodes of a GPU, its driver and its libraries.

pub mod access;
pub mod driver;
pub mod libraries;
pub mod nodes;

use super::ObserveOptions;
use crate::settings::checks::Check;
use crate::settings::{CheckMode, value_of};
use crate::sys::credentials::sorted;
use crate::sys::{GroupId, io};
pub use access::OpenOutcome;
use driver::Driver;
use libraries::Library;
use nodes::{GpuNode, GpuNodeKind};
use std::ffi::CString;
use std::time::Duration;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Devices {
    pub nodes: Vec<GpuNode>,
    /// Whom they were opened as; `None` where that could not be seen.
    pub opened_as: Option<u32>,
    pub driver: Driver,
    /// CUDA's library and the management library.
    pub libraries: [Library; 2],
    /// NVIDIA_VISIBLE_DEVICES.
    pub visible: Option<Vec<u8>>,
    /// NVIDIA_DRIVER_CAPABILITIES.
    pub capabilities: Option<Vec<u8>>,
    /// The kernel is that of WSL 2.
    pub is_wsl: bool,
    /// The makers of the GPUs behind /dev/dri, as PCI counts them (0x1002 is AMD).
    pub pci_vendors: Vec<u32>,
}

/// For all nodes together: opening one may start its GPU, which takes seconds where nothing keeps it awake.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

impl Devices {
    /// Where there is no node and nothing asks for one, that is one pass over /dev.
    pub fn observe(options: &ObserveOptions) -> Self {
        Self::observe_below("", options, OPEN_TIMEOUT)
    }

    fn observe_below(root: &str, options: &ObserveOptions, timeout: Duration) -> Self {
        let variable = |name: &[u8]| value_of(options.environment, name).map(<[u8]>::to_vec);
        let mut devices = Devices {
            nodes: nodes::find_nodes(root),
            opened_as: None,
            driver: Driver::unknown(),
            libraries: [Library::Missing, Library::Missing],
            visible: variable(b"NVIDIA_VISIBLE_DEVICES"),
            capabilities: variable(b"NVIDIA_DRIVER_CAPABILITIES"),
            is_wsl: false,
            pci_vendors: Vec::new(),
        };
        if !devices.is_gpu_expected() && options.settings.gpu != CheckMode::Require {
            return devices;
        }
        if !devices.nodes.is_empty() && options.includes(&[Check::GpuAccess]) {
            devices.opened_as = options.user.map(|whom| whom.user.0).or_else(access::effective_user);
            access::open_all(&mut devices.nodes, options.user, timeout);
        }
        devices.driver = Driver::observe(root);
        if options.includes(&[Check::GpuDriver, Check::GpuLibraries]) {
            let preferred = value_of(options.environment, b"LD_LIBRARY_PATH").unwrap_or_default();
            devices.libraries = libraries::observe(root, preferred);
        }
        let mut buffer = [0; 128];
        let release = io::read_into(&below_root(root, "/proc/sys/kernel/osrelease"), &mut buffer).unwrap_or_default();
        devices.is_wsl = release.to_ascii_lowercase().windows(9).any(|word| word == b"microsoft");
        devices.pci_vendors = pci_vendors(root, &devices.nodes);
        devices
    }

    /// Whether a GPU is there, or the container was started as if one were.
    pub fn is_gpu_expected(&self) -> bool {
        !self.nodes.is_empty() || self.visible.as_deref().is_some_and(|value| !matches!(value, b"" | b"void" | b"none"))
    }

    /// Whether a node of this kind is there.
    pub fn has_kind(&self, kind: GpuNodeKind) -> bool {
        self.nodes.iter().any(|node| node.kind == kind)
    }

    /// Paths of the nodes that COMMAND's user could open, for [`reopen`].
    pub fn opened_paths(&self) -> Vec<String> {
        self.nodes
            .iter()
            .filter(|node| node.open_outcome == OpenOutcome::Opened)
            .map(|node| node.path.clone())
            .collect()
    }
}

/// /sys/class/drm/renderD128/device/vendor.
fn pci_vendors(root: &str, nodes: &[GpuNode]) -> Vec<u32> {
    let of = |node: &GpuNode| {
        let name = node.path.rsplit('/').next()?;
        let mut buffer = [0; 16];
        let text =
            io::read_into(&below_root(root, &format!("/sys/class/drm/{name}/device/vendor")), &mut buffer).ok()?;
        u32::from_str_radix(std::str::from_utf8(text).ok()?.trim().strip_prefix("0x")?, 16).ok()
    };
    nodes.iter().filter(|node| node.kind == GpuNodeKind::Render).filter_map(of).collect()
}

/// Groups that a user must be in to open the nodes of a GPU here: those of nodes that only a group may read and write.
/// Never gid 0. What the user namespace does not map is sorted out by who knows its map.
pub fn gpu_groups() -> Vec<GroupId> {
    required_groups(&nodes::find_nodes(""))
}

/// Paths of all nodes of a GPU here.
pub fn gpu_paths() -> Vec<String> {
    nodes::find_nodes("").into_iter().map(|node| node.path).collect()
}

fn required_groups(nodes: &[GpuNode]) -> Vec<GroupId> {
    const OTHERS: u32 = 0o006;
    const GROUP: u32 = 0o060;
    let files = nodes.iter().filter_map(|node| node.file.ok()).filter(|file| file.is_character());
    let closed = files.filter(|file| file.mode & OTHERS != OTHERS && file.mode & GROUP == GROUP);
    sorted(closed.map(|file| file.group).filter(|group| group.0 != 0).collect())
}

/// Opens these nodes once more, in a child and as who runs, all within `timeout`. The answers come with their paths, in
/// order.
pub fn reopen(paths: &[String], timeout: Duration) -> Vec<(String, OpenOutcome)> {
    let names: Vec<(CString, bool)> = paths
        .iter()
        .map(|path| {
            let kind = GpuNodeKind::from_name(path.strip_prefix("/dev/").unwrap_or_default().as_bytes());
            // A name with a NUL is none of a node.
            (CString::new(path.as_str()).unwrap_or_default(), kind.is_none_or(GpuNodeKind::needs_write))
        })
        .collect();
    let asked: Vec<(&CString, bool)> = names.iter().map(|(path, writing)| (path, *writing)).collect();
    paths.iter().cloned().zip(access::open_each(&asked, None, timeout)).collect()
}

/// A path below `root`; an empty one is the real root.
fn below_root(root: &str, path: &str) -> CString {
    // Neither holds a NUL: roots and paths are ours, or names of /dev that were checked.
    CString::new(format!("{root}{path}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::sys::device::DeviceNode as File;
    use crate::sys::{Errno, UserId};
    use std::ffi::CStr;
    use std::path::PathBuf;

    fn node(name: &str, mode: u32, group: u32) -> GpuNode {
        let file = File { mode: libc::S_IFCHR | mode, major: 195, minor: 0, user: UserId(0), group: GroupId(group) };
        let kind = GpuNodeKind::from_name(name.as_bytes()).unwrap();
        GpuNode { path: format!("/dev/{name}"), kind, file: Ok(file), open_outcome: OpenOutcome::Opened }
    }

    #[test]
    fn groups_are_those_that_open_what_is_closed_to_others() {
        let nodes = [
            node("nvidia0", 0o666, 7),
            node("nvidiactl", 0o660, 44),
            node("nvidia-uvm", 0o600, 8),
            node("dri/renderD128", 0o660, 105),
            node("kfd", 0o664, 105),
            node("nvmap", 0o660, 0),
            node("nvidia-caps/nvidia-cap1", 0o440, 9),
        ];
        assert_eq!(required_groups(&nodes), [GroupId(44), GroupId(105)]);
        let mut directory = node("nvidia1", 0o660, 10);
        directory.file = directory.file.map(|file| File { mode: libc::S_IFDIR | 0o770, ..file });
        let gone = GpuNode { file: Err(Errno(libc::ENOENT)), ..node("nvidia2", 0o660, 11) };
        assert_eq!(required_groups(&[directory, gone]), []);
    }

    struct Root(PathBuf);

    impl Root {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("takumi-test-devices-{name}-{}", std::process::id()));
            std::fs::create_dir_all(root.join("dev")).unwrap();
            for (path, content) in files {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
            Root(root)
        }

        fn observe(&self, environment: &[&CStr], variables: &[&CStr]) -> Devices {
            let settings = Settings::from_environment(variables).unwrap();
            let options = ObserveOptions { settings: &settings, environment, user: None, namespace: None, only: None };
            Devices::observe_below(self.0.to_str().unwrap(), &options, OPEN_TIMEOUT)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn where_no_gpu_is_and_nobody_asks_nothing_more_is_read() {
        let files = [("proc/driver/nvidia/version", "NVRM version: x  550.54.14 \n"), ("dev/null", "")];
        let root = Root::new("none", &files);
        for environment in [&[][..], &[c"NVIDIA_VISIBLE_DEVICES=void"], &[c"NVIDIA_VISIBLE_DEVICES="]] {
            let seen = root.observe(environment, &[]);
            assert!(!seen.is_gpu_expected() && seen.driver == Driver::unknown(), "{seen:?}");
        }
        let asked = root.observe(&[c"NVIDIA_VISIBLE_DEVICES=all"], &[]);
        assert!(asked.is_gpu_expected() && asked.driver.version.is_some(), "{asked:?}");
    }

    #[test]
    fn everything_below_a_root_is_seen() {
        let root = Root::new(
            "all",
            &[
                ("dev/nvidia0", ""),
                ("dev/nvidia10", ""),
                ("dev/nvidia2", ""),
                ("dev/nvidia-caps/nvidia-cap1", ""),
                ("dev/dri/renderD128", ""),
                ("dev/dri/card0", ""),
                ("dev/sda", ""),
                ("proc/devices", "Character devices:\n195 nvidia\n"),
                ("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu\n"),
                ("proc/driver/nvidia/params", "DeviceFileMode: 438\n"),
                ("proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n"),
                ("sys/class/drm/renderD128/device/vendor", "0x1002\n"),
                ("usr/lib64/libcuda.so.1", "\x7fELF"),
            ],
        );
        let seen = root.observe(&[c"NVIDIA_DRIVER_CAPABILITIES=utility"], &[]);
        let paths: Vec<&str> = seen.nodes.iter().map(|node| node.path.as_str()).collect();
        assert_eq!(
            paths,
            ["/dev/nvidia0", "/dev/nvidia2", "/dev/nvidia10", "/dev/dri/renderD128", "/dev/nvidia-caps/nvidia-cap1"]
        );
        assert_eq!(seen.driver.version.as_ref().unwrap().to_string(), "550.54.14");
        assert_eq!(seen.driver.mode, Some(0o666));
        assert_eq!(seen.driver.majors.as_ref().unwrap().majors_of(&["nvidia"]).next(), Some(195));
        assert!(seen.is_wsl && seen.pci_vendors == [0x1002], "{seen:?}");
        assert!(seen.libraries[0].found().is_some() && seen.libraries[1].found().is_none());
        assert_eq!(seen.capabilities.as_deref(), Some(&b"utility"[..]));
        // Files of that name are no devices, and nobody opens them.
        assert_eq!(seen.opened_paths(), [""; 0]);
    }

    #[test]
    fn nodes_are_opened_again_with_their_paths() {
        let paths = ["/dev/null".to_string(), "/dev/takumi-test-none".to_string(), "a\0b".to_string()];
        let answers: Vec<OpenOutcome> =
            reopen(&paths, Duration::from_secs(20)).into_iter().map(|(_, answer)| answer).collect();
        let none = OpenOutcome::Failed(Errno(libc::ENOENT));
        assert_eq!(answers, [OpenOutcome::Opened, none, none]);
    }
}

//! The GPU: whether its nodes are here, COMMAND's user can open them, and driver and libraries belong together.

mod access;

pub(super) use access::access;
pub use access::verify_still_open;

use super::finding::Finding;
use crate::machine::Machine;
use crate::machine::devices::Devices;
use crate::machine::devices::driver::Version;
use crate::machine::devices::libraries::{self, Library};
use crate::machine::devices::nodes::{GpuNode, GpuNodeKind};
use crate::machine::mounts::Mounts;
use crate::machine::user_namespace::UserNamespace;
use crate::settings::checks::Check;
use crate::settings::{CheckMode, Settings};
use crate::text::Escaped;

/// `check`, where there are devices for `evaluate` to look at.
pub(super) fn evaluate_if_present(
    check: Check,
    settings: &Settings,
    machine: &Machine,
    evaluate: fn(&Devices, &GpuContext) -> Finding,
) -> Finding {
    let context = GpuContext { namespace: machine.user_namespace.as_ref().ok(), mounts: machine.mounts.as_ref().ok() };
    match &machine.devices {
        _ if settings.gpu == CheckMode::Off => Finding::skipped(check, "TAKUMI_GPU=off"),
        None => Finding::skipped(check, "not checked"),
        Some(devices) if settings.gpu == CheckMode::Auto && !devices.is_gpu_expected() => {
            Finding::skipped(check, "this container was started without a GPU (--gpus all gives it one)")
        }
        Some(devices) => evaluate(devices, &context),
    }
}

/// What else of the machine decides what a refusal means.
pub(super) struct GpuContext<'a> {
    namespace: Option<&'a UserNamespace>,
    mounts: Option<&'a Mounts>,
}

impl GpuContext<'_> {
    fn is_rootless(&self) -> bool {
        self.namespace.is_some_and(UserNamespace::is_root_remapped)
    }
}

/// Whose GPU it is. A Jetson has nvidia0 and nvidiactl too, for its screen, and a desktop's driver brings a render
/// node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vendor {
    Jetson,
    Nvidia,
    Windows,
    Other,
}

fn vendor(devices: &Devices) -> Vendor {
    use GpuNodeKind::*;
    match () {
        () if devices.has_kind(Tegra) => Vendor::Jetson,
        () if [Nvidia, NvidiaControl, NvidiaMemory, NvidiaOther, NvidiaRight]
            .iter()
            .any(|&kind| devices.has_kind(kind)) =>
        {
            Vendor::Nvidia
        }
        () if devices.has_kind(Windows) => Vendor::Windows,
        () => Vendor::Other,
    }
}

const AMD_VENDOR_ID: u32 = 0x1002;

pub(super) fn nodes(devices: &Devices, context: &GpuContext) -> Finding {
    const ID: Check = Check::GpuNodes;
    if devices.nodes.is_empty() {
        return no_nodes(devices, context);
    }
    if let Some(finding) = no_device(devices) {
        return finding;
    }
    let count = |kind| devices.nodes.iter().filter(|node| node.kind == kind).count();
    match vendor(devices) {
        Vendor::Nvidia => nvidia_nodes(devices, count(GpuNodeKind::Nvidia)),
        Vendor::Jetson
            if devices.nodes.iter().any(|node| node.path != "/dev/nvmap") && has_path(devices, "/dev/nvmap") =>
        {
            Finding::pass(ID, "Jetson GPU: /dev/nvmap and companions")
        }
        Vendor::Jetson => Finding::fail(
            ID,
            "a Jetson GPU needs /dev/nvmap and /dev/nvhost-* or /dev/nvgpu; some are missing",
            "start with --runtime nvidia --gpus all (JetPack installs that runtime)",
        ),
        Vendor::Windows => Finding::pass(ID, "/dev/dxg, the GPU of Windows"),
        Vendor::Other if count(GpuNodeKind::Render) == 0 => {
            Finding::fail(ID, "/dev/kfd is here, but /dev/dri/renderD* is missing", "add --device /dev/dri")
        }
        Vendor::Other if devices.has_kind(GpuNodeKind::AmdCompute) => {
            Finding::pass(ID, format!("/dev/kfd and {} render node(s)", count(GpuNodeKind::Render)))
        }
        Vendor::Other if devices.pci_vendors.contains(&AMD_VENDOR_ID) => {
            Finding::fail(ID, "an AMD GPU's render node without /dev/kfd cannot compute", "add --device /dev/kfd")
        }
        Vendor::Other => Finding::pass(ID, format!("{} render node(s)", count(GpuNodeKind::Render))),
    }
}

fn has_path(devices: &Devices, path: &str) -> bool {
    devices.nodes.iter().any(|node| node.path == path)
}

fn no_nodes(devices: &Devices, context: &GpuContext) -> Finding {
    let asked = devices.visible.as_deref().filter(|_| devices.is_gpu_expected());
    let asked = asked.map(|value| format!(", but NVIDIA_VISIBLE_DEVICES asks for \"{}\"", Escaped(value)));
    let fix = if devices.is_wsl {
        "start with --gpus all; in Windows: install NVIDIA's driver, then wsl --update (to run without a GPU: TAKUMI_GPU=off)"
    } else if context.is_rootless() {
        "start with --gpus all; on the host: sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place"
    } else {
        "start with --gpus all (AMD: --device /dev/kfd --device /dev/dri), or set TAKUMI_GPU=off to run without a GPU"
    };
    Finding::fail(Check::GpuNodes, format!("no GPU in /dev{}", asked.unwrap_or_default()), fix)
}

/// Nodes that no driver can serve: what `-v` made where the host has nothing, and those of another boot.
fn no_device(devices: &Devices) -> Option<Finding> {
    const ID: Check = Check::GpuNodes;
    let mut named = devices.nodes.iter().filter(|node| !node.file.is_ok_and(|file| file.is_character()));
    if let Some(node) = named.next() {
        return Some(Finding::fail(
            ID,
            format!("{} is not a device: -v creates a directory where the host has no such node", node.path),
            "on the host: rmdir it and sudo nvidia-modprobe -u -c=0; then start with --gpus all or --device, not with -v",
        ));
    }
    let (node, is, now) = devices.nodes.iter().find_map(|node| {
        let (is, now) = stale_number(node, devices)?;
        Some((node, is, now))
    })?;
    Some(Finding::fail(
        ID,
        format!("{} has major {is}, but the host's driver has {now}: it was created before a reboot", node.path),
        "recreate the container (a restart keeps its nodes), and remove whatever creates that node by number",
    ))
}

/// The node's major and the one that its driver has now, where they differ.
fn stale_number(node: &GpuNode, devices: &Devices) -> Option<(u32, u32)> {
    let is = node.file.ok()?.major;
    let majors = devices.driver.majors.as_ref().ok()?;
    let mut now = majors.majors_of(node.kind.drivers()).peekable();
    let first = *now.peek()?;
    (!now.any(|major| major == is)).then_some((is, first))
}

fn nvidia_nodes(devices: &Devices, count: usize) -> Finding {
    const ID: Check = Check::GpuNodes;
    let mut missing = Vec::new();
    if count == 0 {
        missing.push("/dev/nvidia0");
    }
    if !devices.has_kind(GpuNodeKind::NvidiaControl) {
        missing.push("/dev/nvidiactl");
    }
    let memory = devices.has_kind(GpuNodeKind::NvidiaMemory);
    if !memory {
        missing.push("/dev/nvidia-uvm");
    }
    match missing[..] {
        [] => Finding::pass(ID, format!("{count} NVIDIA GPU(s), with /dev/nvidiactl and /dev/nvidia-uvm")),
        ["/dev/nvidia-uvm"] => Finding::fail(
            ID,
            "no /dev/nvidia-uvm: nvidia-smi works without it, CUDA does not",
            "on the host: sudo nvidia-modprobe -u -c=0; then recreate the container (by hand: --device /dev/nvidia-uvm)",
        ),
        _ => Finding::fail(
            ID,
            format!("no {}, which CUDA needs", missing.join(", no ")),
            format!("start with --gpus all, or add --device {}", missing.join(" --device ")),
        ),
    }
}

pub(super) fn driver(devices: &Devices, _: &GpuContext) -> Finding {
    const ID: Check = Check::GpuDriver;
    if !matches!(vendor(devices), Vendor::Nvidia) {
        return Finding::skipped(ID, "nothing to compare: no NVIDIA device node");
    }
    let Some(kernel) = &devices.driver.version else { return no_version(devices) };
    // A package for newer CUDA on an older driver is meant to differ (CUDA's forward compatibility).
    let found =
        libraries::SONAMES.iter().zip(&devices.libraries).filter_map(|(name, library)| Some((name, library.found()?)));
    let compared = found.filter(|(_, place)| !place.path.contains("/compat/"));
    let versions: Vec<(&str, &Version)> =
        compared.filter_map(|(name, place)| Some((*name, place.version.as_ref()?))).collect();
    if let Some((name, version)) = versions.iter().find(|(_, version)| *version != kernel) {
        let fix = if *version > kernel {
            "on the host: reboot, or unload and load the nvidia modules; then recreate the container"
        } else {
            "recreate the container (a restart keeps its mounts); the image must not contain these libraries"
        };
        return Finding::fail(ID, format!("the kernel's driver is {kernel}, {name} is {version}: CUDA refuses"), fix);
    }
    match versions.is_empty() {
        true => {
            Finding::skipped(ID, format!("nothing to compare: the driver is {kernel}, but no library shows a version"))
        }
        false => Finding::pass(ID, format!("driver and libraries are {kernel}")),
    }
}

fn no_version(devices: &Devices) -> Finding {
    const ID: Check = Check::GpuDriver;
    match &devices.driver.majors {
        Ok(majors) if majors.majors_of(GpuNodeKind::Nvidia.drivers()).next().is_none() => Finding::fail(
            ID,
            "the host has not loaded the NVIDIA driver: it is not in /proc/devices",
            "on the host: sudo modprobe nvidia, and check that nvidia-smi works there; then recreate the container",
        ),
        Ok(_) => Finding::skipped(ID, "nothing to compare: /proc/driver/nvidia/version is not visible here"),
        Err(errno) => Finding::unknown(
            ID,
            format!("/proc/devices cannot be read: {errno}"),
            "mount /proc in the container, as every engine does",
        ),
    }
}

pub(super) fn libraries(devices: &Devices, _: &GpuContext) -> Finding {
    const ID: Check = Check::GpuLibraries;
    if vendor(devices) == Vendor::Other && !devices.nodes.is_empty() {
        return Finding::skipped(ID, "not needed from the host: PyTorch brings its own for this GPU");
    }
    let both = || libraries::SONAMES.into_iter().zip(&devices.libraries);
    for (name, library) in both() {
        match library {
            Library::Broken(path) => {
                return Finding::fail(
                    ID,
                    format!(
                        "{} is not a library (docker commit leaves empty files where mounts were)",
                        Escaped(path.as_bytes())
                    ),
                    "remove it from the image, and start with --gpus all",
                );
            }
            Library::MissingSoname(path) => {
                return Finding::fail(
                    ID,
                    format!("{} is here, but no {name} points to it", Escaped(path.as_bytes())),
                    "update nvidia-container-toolkit on the host, then recreate the container: its hook runs ldconfig",
                );
            }
            Library::NotSearched(place) => {
                let directory = place.path.rsplit_once('/').map_or("", |(directory, _)| directory);
                return Finding::fail(
                    ID,
                    format!(
                        "{} is here, but the loader does not search that directory",
                        Escaped(place.path.as_bytes())
                    ),
                    format!("set LD_LIBRARY_PATH={}", Escaped(directory.as_bytes())),
                );
            }
            Library::Found(_) | Library::Missing => {}
        }
    }
    let missing: Vec<&str> = both().filter(|(_, library)| library.found().is_none()).map(|(name, _)| name).collect();
    if missing.is_empty() {
        let paths: Vec<String> = devices
            .libraries
            .iter()
            .filter_map(Library::found)
            .map(|place| Escaped(place.path.as_bytes()).to_string())
            .collect();
        return Finding::pass(ID, paths.join(", "));
    }
    let lacking = lacking_rights(devices.capabilities.as_deref(), &missing);
    let fix = match lacking {
        Some(value) => format!("set NVIDIA_DRIVER_CAPABILITIES=compute,utility (it is \"{}\")", Escaped(value)),
        None => {
            "start with --gpus all (--device gives the nodes without the libraries); the host needs nvidia-container-toolkit"
                .to_string()
        }
    };
    Finding::fail(ID, format!("the loader finds no {}", missing.join(", no ")), fix)
}

/// NVIDIA_DRIVER_CAPABILITIES, where it leaves out what brings a library; unset or empty is `compute,utility`.
fn lacking_rights<'a>(value: Option<&'a [u8]>, missing: &[&str]) -> Option<&'a [u8]> {
    let value = value.filter(|value| !value.is_empty())?;
    let has = |word: &[u8]| {
        value
            .split(|&byte| byte == b',')
            .any(|part| matches!(part.trim_ascii(), part if part == word || part == b"all"))
    };
    let of = |name: &&str| if *name == libraries::SONAMES[0] { has(b"compute") } else { has(b"utility") };
    (!missing.iter().all(of)).then_some(value)
}

#[cfg(test)]
mod tests;

//! What each errno of opening a node means, and what to do about it.

use super::super::finding::{Finding, Status};
use super::{Around, stale};
use crate::machine::devices::nodes::{GpuNode, GpuNodeKind};
use crate::machine::devices::{Devices, OpenOutcome};
use crate::machine::user_namespace::UserNamespace;
use crate::settings::checks::Check;
use crate::sys::Errno;
use crate::sys::device::DeviceNode as File;
use crate::text::first_few;

const ID: Check = Check::GpuAccess;

/// One cause and its cure.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Diagnosis {
    why: String,
    fix: String,
    /// Nobody knows whether the node can be opened.
    unknown: bool,
}

impl Diagnosis {
    fn missing(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Diagnosis { why: why.into(), fix: fix.into(), unknown: false }
    }

    fn unknown(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Diagnosis { why: why.into(), fix: fix.into(), unknown: true }
    }
}

/// Whether COMMAND's user can open what it needs. Nodes of the same diagnosis are one part of the line.
pub fn access(devices: &Devices, around: &Around) -> Finding {
    let needed: Vec<&GpuNode> = devices.nodes.iter().filter(|node| is_needed(node)).collect();
    if needed.is_empty() {
        return Finding::skipped(ID, "there is no node to open");
    }
    let who = devices.opened_as.map_or_else(|| "this user".to_string(), |user| format!("uid {user}"));
    let parts = needed.iter().filter_map(|node| {
        let diagnosis = match node.open_outcome {
            OpenOutcome::Opened => return None,
            OpenOutcome::Failed(errno) => of_errno(errno, node, devices, around, &who),
            OpenOutcome::TimedOut => no_answer(),
            OpenOutcome::NotAttempted(errno) => not_tried(errno, &who),
        };
        Some((node.path.as_str(), diagnosis))
    });
    let names: Vec<&str> = needed.iter().map(|node| node.path.as_str()).collect();
    finding(parts, || format!("{who} can open {}", first_few(&names)))
}

/// What computing on the GPU needs. A right may be root's alone (MIG's own administration), and is read by name.
fn is_needed(node: &GpuNode) -> bool {
    let is_device = node.file.is_ok_and(|file| file.is_character());
    let is_closed_right =
        node.kind == GpuNodeKind::NvidiaRight && node.open_outcome == OpenOutcome::Failed(Errno(libc::EACCES));
    is_device && node.kind != GpuNodeKind::NvidiaOther && !is_closed_right
}

fn finding<'a>(parts: impl Iterator<Item = (&'a str, Diagnosis)>, held: impl FnOnce() -> String) -> Finding {
    let mut groups: Vec<(Diagnosis, Vec<&str>)> = Vec::new();
    for (path, diagnosis) in parts {
        match groups.iter_mut().find(|(known, _)| *known == diagnosis) {
            Some((_, paths)) => paths.push(path),
            None => groups.push((diagnosis, vec![path])),
        }
    }
    if groups.is_empty() {
        return Finding::held(ID, held());
    }
    let details: Vec<String> =
        groups.iter().map(|(diagnosis, paths)| format!("{}: {}", first_few(paths), diagnosis.why)).collect();
    let mut fixes: Vec<&str> = Vec::new();
    for (diagnosis, _) in &groups {
        if !fixes.contains(&diagnosis.fix.as_str()) {
            fixes.push(&diagnosis.fix);
        }
    }
    let finding = Finding::missing(ID, details.join("; "), fixes.join("; "));
    let unknown = groups.iter().all(|(diagnosis, _)| diagnosis.unknown);
    if unknown { Finding { status: Status::Unknown, ..finding } } else { finding }
}

const ANEW: &str = "then make the container anew";

fn of_errno(errno: Errno, node: &GpuNode, devices: &Devices, around: &Around, who: &str) -> Diagnosis {
    match (errno.0, node.file) {
        (libc::EPERM, _) if around.is_rootless() => Diagnosis::missing(
            "denied, and a rootless engine sets no device cgroup that could",
            "what the engine itself runs in denies it (LXC, a service's DeviceAllow=): give it there; userns-remap: --gpus all",
        ),
        (libc::EPERM, _) if node.kind == GpuNodeKind::Windows => Diagnosis::missing(
            "the device cgroup denies it",
            "start with --gpus all or --device /dev/dxg, not with -v; no-cgroups = false in the NVIDIA runtime's config.toml",
        ),
        (libc::EPERM, _) => Diagnosis::missing(
            "the device cgroup denies it",
            "start with --gpus all or --device, not with -v; on the host: no-cgroups = false in /etc/nvidia-container-runtime/config.toml",
        ),
        (libc::EACCES, Ok(file)) => of_mode(node, file, devices, around, who),
        (libc::ENXIO, _) => no_such_device(node, devices),
        _ => of_the_driver(errno, node),
    }
}

/// EACCES: the mode denies it, or the mount, or a security module.
fn of_mode(node: &GpuNode, file: File, devices: &Devices, around: &Around, who: &str) -> Diagnosis {
    let mode = file.mode & 0o777;
    let writing = if node.kind == GpuNodeKind::NvidiaRight { 0o4 } else { 0o6 };
    let (by_group, by_others) = (mode >> 3 & writing == writing, mode & writing == writing);
    if by_others {
        let mount = around.mounts.and_then(|mounts| mounts.containing(node.path.as_bytes()));
        return if mount.is_some_and(|mount| mount.has_option("nodev")) {
            Diagnosis::missing("it lies on a nodev mount", "give it with --device, not by a mount that is nodev")
        } else {
            Diagnosis::missing(
                "its mode allows it, and a security module does not",
                "on the host: sudo setsebool -P container_use_devices=true (SELinux), or see dmesg for AppArmor's denial",
            )
        };
    }
    let is_nvidia = matches!(
        node.kind,
        GpuNodeKind::Nvidia | GpuNodeKind::NvidiaControl | GpuNodeKind::NvidiaMemory | GpuNodeKind::NvidiaRight
    );
    let on_the_host = match devices.driver.mode {
        _ if !is_nvidia => format!("on the host: a udev rule that gives it MODE=\"0666\"; {ANEW}"),
        Some(0o666) => format!("on the host: sudo chmod 666 {}; {ANEW}", node.path),
        _ => format!("on the host: options nvidia NVreg_DeviceFileMode=0666 in /etc/modprobe.d, reload it; {ANEW}"),
    };
    let group = file.group.0;
    if !by_group {
        return Diagnosis::missing(format!("mode {mode:04o}, for uid {} alone", file.user), on_the_host);
    }
    let unmapped = |namespace: &UserNamespace| {
        !namespace.groups.is_identity()
            && (file.group == namespace.overflow_group || namespace.groups.outside(group).is_none())
    };
    match group {
        0 => Diagnosis::missing(format!("mode {mode:04o}, for group 0, which COMMAND never gets"), on_the_host),
        _ if around.namespace.is_some_and(unmapped) => Diagnosis::missing(
            format!("mode {mode:04o}, for a group that this user namespace does not map: nobody here can join it"),
            on_the_host,
        ),
        _ => Diagnosis::missing(
            format!("mode {mode:04o}, for group {group}, and {who} is not in it"),
            format!("TAKUMI_GROUPS=auto adds it, or name {group} there; started as a user: --group-add {group}"),
        ),
    }
}

/// ENXIO: nobody serves that number.
fn no_such_device(node: &GpuNode, devices: &Devices) -> Diagnosis {
    let modprobe = match node.kind {
        GpuNodeKind::NvidiaMemory => "sudo nvidia-modprobe -u -c=0",
        GpuNodeKind::AmdCompute | GpuNodeKind::Render => "load its driver (amdgpu)",
        _ => "sudo modprobe nvidia, and see that nvidia-smi works there",
    };
    if let Some((is, now)) = stale(node, devices) {
        return Diagnosis::missing(
            format!("it has major {is}, the driver has {now}: made for another boot"),
            "make the container anew (a restart keeps its nodes), and take away what makes that node by number",
        );
    }
    match &devices.driver.majors {
        Ok(majors) if majors.majors_of(node.kind.drivers()).next().is_some() => Diagnosis::missing(
            "the driver knows no such GPU any more",
            "on the host: nvidia-smi, and sudo dmesg | grep -i xid (79: it fell off the bus); then reboot",
        ),
        _ => Diagnosis::missing("the host has not loaded its driver", format!("on the host: {modprobe}; {ANEW}")),
    }
}

fn of_the_driver(errno: Errno, node: &GpuNode) -> Diagnosis {
    match errno.0 {
        libc::ENODEV if node.kind == GpuNodeKind::Windows => {
            Diagnosis::missing("WSL serves no GPU", "in Windows: update NVIDIA's driver, wsl --update, wsl --shutdown")
        }
        libc::ENODEV => Diagnosis::missing(
            "no driver serves this node",
            format!("on the host: see that nvidia-smi works (AMD: rocminfo); {ANEW}"),
        ),
        libc::ENOENT => {
            Diagnosis::missing("it went while the start looked", "make the container anew, with --gpus all")
        }
        libc::EIO => Diagnosis::missing(
            "the GPU is in error",
            "on the host: sudo dmesg | grep -i xid (79: it fell off the bus); sudo nvidia-smi --gpu-reset, or reboot",
        ),
        libc::EBUSY => Diagnosis::missing(
            "the GPU is in use by one process alone, or is being cut up (MIG)",
            "on the host: sudo nvidia-smi -c DEFAULT, and see what nvidia-smi lists",
        ),
        libc::ENOSYS | libc::ENOTTY | libc::EOPNOTSUPP => Diagnosis::missing(
            "the kernel under this container does not serve it (a sandbox such as gVisor)",
            "start with --runtime runc, or give gVisor's runsc --nvproxy",
        ),
        _ => Diagnosis::missing(errno.to_string(), format!("on the host: see that nvidia-smi works; {ANEW}")),
    }
}

fn no_answer() -> Diagnosis {
    Diagnosis::unknown(
        "no answer within 10 s",
        "on the host: sudo systemctl enable --now nvidia-persistenced, and see that nvidia-smi answers",
    )
}

fn not_tried(errno: Errno, who: &str) -> Diagnosis {
    match errno.0 {
        libc::EPERM => {
            Diagnosis::unknown(format!("nobody could become {who} to open it"), "add --cap-add SETUID --cap-add SETGID")
        }
        libc::ETIMEDOUT => Diagnosis::unknown("not tried: another one took all the time", no_answer().fix),
        libc::EAGAIN | libc::ENOMEM => Diagnosis::unknown(
            format!("no process could be made to open it: {errno}"),
            "raise --pids-limit, or --memory",
        ),
        _ => {
            Diagnosis::unknown(format!("not tried: {errno}"), "start again; if it stays, report it as a defect of init")
        }
    }
}

/// For the probe: nodes that could be opened at the start, and what opening them says now.
pub fn still_open(now: &[(String, OpenOutcome)], namespace: Option<&UserNamespace>) -> Finding {
    let around = Around { namespace, mounts: None };
    let diagnose = |opened: &OpenOutcome| match *opened {
        OpenOutcome::Opened => None,
        OpenOutcome::Failed(Errno(libc::EPERM)) if !around.is_rootless() => Some(Diagnosis::missing(
            "open at the start, denied now: a daemon-reload of systemd took it away (\"Failed to initialize NVML: Unknown Error\")",
            "make the container anew; for good, on the host: sudo nvidia-ctk system create-dev-char-symlinks --create-all, or use CDI",
        )),
        OpenOutcome::Failed(Errno(libc::EPERM | libc::EACCES)) => Some(Diagnosis::missing(
            "open at the start, denied now",
            "make the container anew; on the host: see who changed its mode or its rules",
        )),
        OpenOutcome::Failed(Errno(libc::ENOENT)) => {
            Some(Diagnosis::missing("open at the start, gone now", "make the container anew, with --gpus all"))
        }
        OpenOutcome::Failed(Errno(libc::ENXIO | libc::ENODEV)) => Some(Diagnosis::missing(
            "open at the start, served by no driver now",
            format!("on the host: sudo dmesg | grep -i xid, and see that nvidia-smi works; {ANEW}"),
        )),
        OpenOutcome::Failed(errno) => Some(Diagnosis::missing(
            format!("open at the start, now: {errno}"),
            format!("on the host: sudo dmesg | grep -i xid; sudo nvidia-smi --gpu-reset, or reboot; {ANEW}"),
        )),
        OpenOutcome::TimedOut => Some(Diagnosis::unknown(
            "open at the start, no answer in time now",
            "on the host: see that nvidia-smi answers, and sudo dmesg | grep -i xid",
        )),
        OpenOutcome::NotAttempted(errno) => Some(not_tried(errno, "COMMAND's user")),
    };
    let parts = now.iter().filter_map(|(path, opened)| Some((path.as_str(), diagnose(opened)?)));
    finding(parts, || format!("{} device node(s) can still be opened", now.len()))
}

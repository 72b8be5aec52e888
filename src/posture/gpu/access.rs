//! What each errno of opening a node means, and what to do about it.

use super::super::finding::{CheckStatus, Finding};
use super::{GpuContext, stale_number};
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
    fn failed(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Diagnosis { why: why.into(), fix: fix.into(), unknown: false }
    }

    fn unknown(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Diagnosis { why: why.into(), fix: fix.into(), unknown: true }
    }
}

/// Whether COMMAND's user can open what it needs. Nodes of the same diagnosis are one part of the line.
pub fn access(devices: &Devices, context: &GpuContext) -> Finding {
    let needed: Vec<&GpuNode> = devices.nodes.iter().filter(|node| is_needed(node)).collect();
    if needed.is_empty() {
        return Finding::skipped(ID, "no GPU device node to open");
    }
    let who = devices.opened_as.map_or_else(|| "this user".to_string(), |user| format!("uid {user}"));
    let parts = needed.iter().filter_map(|node| {
        let diagnosis = match node.open_outcome {
            OpenOutcome::Opened => return None,
            OpenOutcome::Failed(errno) => diagnose_errno(errno, node, devices, context, &who),
            OpenOutcome::TimedOut => diagnose_timeout(),
            OpenOutcome::NotAttempted(errno) => diagnose_untried(errno, &who),
        };
        Some((node.path.as_str(), diagnosis))
    });
    let names: Vec<&str> = needed.iter().map(|node| node.path.as_str()).collect();
    merge_diagnoses(parts, || format!("{who} can open {}", first_few(&names)))
}

/// What computing on the GPU needs. A right may be root's alone (MIG's own administration), and is read by name.
fn is_needed(node: &GpuNode) -> bool {
    let is_device = node.file.is_ok_and(|file| file.is_character());
    let is_closed_right =
        node.kind == GpuNodeKind::NvidiaRight && node.open_outcome == OpenOutcome::Failed(Errno(libc::EACCES));
    is_device && node.kind != GpuNodeKind::NvidiaOther && !is_closed_right
}

fn merge_diagnoses<'a>(parts: impl Iterator<Item = (&'a str, Diagnosis)>, held: impl FnOnce() -> String) -> Finding {
    let mut groups: Vec<(Diagnosis, Vec<&str>)> = Vec::new();
    for (path, diagnosis) in parts {
        match groups.iter_mut().find(|(known, _)| *known == diagnosis) {
            Some((_, paths)) => paths.push(path),
            None => groups.push((diagnosis, vec![path])),
        }
    }
    if groups.is_empty() {
        return Finding::pass(ID, held());
    }
    let details: Vec<String> =
        groups.iter().map(|(diagnosis, paths)| format!("{}: {}", first_few(paths), diagnosis.why)).collect();
    let mut fixes: Vec<&str> = Vec::new();
    for (diagnosis, _) in &groups {
        if !fixes.contains(&diagnosis.fix.as_str()) {
            fixes.push(&diagnosis.fix);
        }
    }
    let finding = Finding::fail(ID, details.join("; "), fixes.join("; "));
    let unknown = groups.iter().all(|(diagnosis, _)| diagnosis.unknown);
    if unknown { Finding { status: CheckStatus::Unknown, ..finding } } else { finding }
}

const RECREATE: &str = "then recreate the container";

fn diagnose_errno(errno: Errno, node: &GpuNode, devices: &Devices, context: &GpuContext, who: &str) -> Diagnosis {
    match (errno.0, node.file) {
        (libc::EPERM, _) if context.is_rootless() => Diagnosis::failed(
            "denied from outside this container: a rootless engine has no device cgroup",
            "allow the device where the engine itself runs (LXC, DeviceAllow= of its service); with userns-remap: --gpus all",
        ),
        (libc::EPERM, _) if node.kind == GpuNodeKind::Windows => Diagnosis::failed(
            "the device cgroup denies it",
            "start with --gpus all or --device /dev/dxg, not with -v; no-cgroups = false in the NVIDIA runtime's config.toml",
        ),
        (libc::EPERM, _) => Diagnosis::failed(
            "the device cgroup denies it",
            "start with --gpus all or --device, not with -v; on the host: no-cgroups = false in /etc/nvidia-container-runtime/config.toml",
        ),
        (libc::EACCES, Ok(file)) => diagnose_mode(node, file, devices, context, who),
        (libc::ENXIO, _) => diagnose_enxio(node, devices),
        _ => diagnose_driver(errno, node),
    }
}

/// EACCES: the mode denies it, or the mount, or a security module.
fn diagnose_mode(node: &GpuNode, file: File, devices: &Devices, context: &GpuContext, who: &str) -> Diagnosis {
    let mode = file.mode & 0o777;
    let writing = if node.kind == GpuNodeKind::NvidiaRight { 0o4 } else { 0o6 };
    let (by_group, by_others) = (mode >> 3 & writing == writing, mode & writing == writing);
    if by_others {
        let mount = context.mounts.and_then(|mounts| mounts.containing(node.path.as_bytes()));
        return if mount.is_some_and(|mount| mount.has_option("nodev")) {
            Diagnosis::failed("it is on a nodev mount", "use --device instead of this mount, which is nodev")
        } else {
            Diagnosis::failed(
                "its mode allows access, but a security module denies it",
                "on the host: sudo setsebool -P container_use_devices=true (SELinux), or see dmesg for AppArmor's denial",
            )
        };
    }
    let is_nvidia = matches!(
        node.kind,
        GpuNodeKind::Nvidia | GpuNodeKind::NvidiaControl | GpuNodeKind::NvidiaMemory | GpuNodeKind::NvidiaRight
    );
    let on_the_host = match devices.driver.mode {
        _ if !is_nvidia => format!("on the host: add a udev rule that gives it MODE=\"0666\"; {RECREATE}"),
        Some(0o666) => format!("on the host: sudo chmod 666 {}; {RECREATE}", node.path),
        _ => format!(
            "on the host: put options nvidia NVreg_DeviceFileMode=0666 into /etc/modprobe.d and reload the module; {RECREATE}"
        ),
    };
    let group = file.group.0;
    if !by_group {
        return Diagnosis::failed(format!("mode {mode:04o}, only for uid {}", file.user), on_the_host);
    }
    let unmapped = |namespace: &UserNamespace| {
        !namespace.groups.is_identity()
            && (file.group == namespace.overflow_group || namespace.groups.outside(group).is_none())
    };
    match group {
        0 => Diagnosis::failed(format!("mode {mode:04o}, for group 0, which COMMAND never gets"), on_the_host),
        _ if context.namespace.is_some_and(unmapped) => Diagnosis::failed(
            format!("mode {mode:04o}, for a group that this user namespace does not map: no process here can join it"),
            on_the_host,
        ),
        _ => Diagnosis::failed(
            format!("mode {mode:04o}, for group {group}, but {who} is not in it"),
            format!("set TAKUMI_GROUPS=auto, or add {group} to it; with --user: --group-add {group}"),
        ),
    }
}

/// ENXIO: nobody serves that number.
fn diagnose_enxio(node: &GpuNode, devices: &Devices) -> Diagnosis {
    let modprobe = match node.kind {
        GpuNodeKind::NvidiaMemory => "sudo nvidia-modprobe -u -c=0",
        GpuNodeKind::AmdCompute | GpuNodeKind::Render => "load its driver (amdgpu)",
        _ => "sudo modprobe nvidia, and check that nvidia-smi works there",
    };
    if let Some((is, now)) = stale_number(node, devices) {
        return Diagnosis::failed(
            format!("it has major {is}, but the driver has {now}: it was created before a reboot"),
            "recreate the container (a restart keeps its nodes), and remove whatever creates that node by number",
        );
    }
    match &devices.driver.majors {
        Ok(majors) if majors.majors_of(node.kind.drivers()).next().is_some() => Diagnosis::failed(
            "the driver no longer knows this GPU",
            "on the host: nvidia-smi, and sudo dmesg | grep -i xid (79: it fell off the bus); then reboot",
        ),
        _ => Diagnosis::failed("the host has not loaded its driver", format!("on the host: {modprobe}; {RECREATE}")),
    }
}

fn diagnose_driver(errno: Errno, node: &GpuNode) -> Diagnosis {
    match errno.0 {
        libc::ENODEV if node.kind == GpuNodeKind::Windows => {
            Diagnosis::failed("WSL provides no GPU", "in Windows: update NVIDIA's driver, wsl --update, wsl --shutdown")
        }
        libc::ENODEV => Diagnosis::failed(
            "no driver handles this node",
            format!("on the host: check that nvidia-smi works (AMD: rocminfo); {RECREATE}"),
        ),
        libc::ENOENT => Diagnosis::failed("it disappeared during the check", "recreate the container, with --gpus all"),
        libc::EIO => Diagnosis::failed(
            "the GPU reports an error",
            "on the host: sudo dmesg | grep -i xid (79: it fell off the bus); sudo nvidia-smi --gpu-reset, or reboot",
        ),
        libc::EBUSY => Diagnosis::failed(
            "another process has exclusive use of the GPU, or it is being partitioned (MIG)",
            "on the host: sudo nvidia-smi -c DEFAULT, and end what nvidia-smi lists",
        ),
        libc::ENOSYS | libc::ENOTTY | libc::EOPNOTSUPP => Diagnosis::failed(
            "this container's kernel does not support it (a sandbox such as gVisor)",
            "start with --runtime runc, or give gVisor's runsc --nvproxy",
        ),
        _ => Diagnosis::failed(errno.to_string(), format!("on the host: check that nvidia-smi works; {RECREATE}")),
    }
}

fn diagnose_timeout() -> Diagnosis {
    Diagnosis::unknown(
        "no answer within 10 s",
        "on the host: sudo systemctl enable --now nvidia-persistenced, and check that nvidia-smi answers",
    )
}

fn diagnose_untried(errno: Errno, who: &str) -> Diagnosis {
    match errno.0 {
        libc::EPERM => Diagnosis::unknown(
            format!("init could not switch to {who} to open it"),
            "add --cap-add SETUID --cap-add SETGID",
        ),
        libc::ETIMEDOUT => {
            Diagnosis::unknown("not tried: another device node took all the time", diagnose_timeout().fix)
        }
        libc::EAGAIN | libc::ENOMEM => {
            Diagnosis::unknown(format!("cannot fork a process to open it: {errno}"), "raise --pids-limit, or --memory")
        }
        _ => Diagnosis::unknown(
            format!("not tried: {errno}"),
            "start again; if it happens again, please report this bug in init",
        ),
    }
}

/// For the probe: nodes that could be opened at the start, and what opening them says now.
pub fn verify_still_open(now: &[(String, OpenOutcome)], namespace: Option<&UserNamespace>) -> Finding {
    let context = GpuContext { namespace, mounts: None };
    let diagnose = |opened: &OpenOutcome| match *opened {
        OpenOutcome::Opened => None,
        OpenOutcome::Failed(Errno(libc::EPERM)) if !context.is_rootless() => Some(Diagnosis::failed(
            "opened at the start, denied now: a systemd daemon-reload revoked it (\"Failed to initialize NVML: Unknown Error\")",
            "recreate the container; for good, on the host: sudo nvidia-ctk system create-dev-char-symlinks --create-all, or use CDI",
        )),
        OpenOutcome::Failed(Errno(libc::EPERM | libc::EACCES)) => Some(Diagnosis::failed(
            "opened at the start, denied now",
            "recreate the container; on the host: find out what changed its mode or the device rules",
        )),
        OpenOutcome::Failed(Errno(libc::ENOENT)) => {
            Some(Diagnosis::failed("opened at the start, gone now", "recreate the container, with --gpus all"))
        }
        OpenOutcome::Failed(Errno(libc::ENXIO | libc::ENODEV)) => Some(Diagnosis::failed(
            "opened at the start, no driver handles it now",
            format!("on the host: sudo dmesg | grep -i xid, and check that nvidia-smi works; {RECREATE}"),
        )),
        OpenOutcome::Failed(errno) => Some(Diagnosis::failed(
            format!("opened at the start, now: {errno}"),
            format!("on the host: sudo dmesg | grep -i xid; sudo nvidia-smi --gpu-reset, or reboot; {RECREATE}"),
        )),
        OpenOutcome::TimedOut => Some(Diagnosis::unknown(
            "opened at the start, no answer in time now",
            "on the host: check that nvidia-smi answers, and sudo dmesg | grep -i xid",
        )),
        OpenOutcome::NotAttempted(errno) => Some(diagnose_untried(errno, "COMMAND's user")),
    };
    let parts = now.iter().filter_map(|(path, opened)| Some((path.as_str(), diagnose(opened)?)));
    merge_diagnoses(parts, || format!("{} device node(s) can still be opened", now.len()))
}

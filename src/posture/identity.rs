//! The identity shield: whose process this is outside, and what it could do there.

use super::finding::Finding;
use crate::machine::Machine;
use crate::machine::limits::Limit;
use crate::settings::checks::Check;
use crate::sys::Errno;
use crate::text::{Escaped, first_few};

fn unreadable(id: Check, what: &str, errno: Errno) -> Finding {
    Finding::unknown(
        id,
        format!("{what} cannot be read: {errno}"),
        "mount /proc in the container, as every engine does",
    )
}

pub(super) fn user_namespace(machine: &Machine) -> Finding {
    const ID: Check = Check::UserNamespace;
    let namespace = match &machine.user_namespace {
        Ok(namespace) => namespace,
        Err(errno) => return unreadable(ID, "/proc/self/uid_map", *errno),
    };
    match namespace.users.outside(0) {
        Some(0) => Finding::fail(
            ID,
            if namespace.users.is_identity() {
                "container root is host root".to_string()
            } else {
                format!("container root is root of the outer user namespace ({})", namespace.users)
            },
            "run the engine rootless (scripts/setup_rootless.sh) or with userns-remap; whoever breaks out is then an ordinary user",
        ),
        Some(outside) => Finding::pass(ID, format!("container root is uid {outside} outside")),
        None => Finding::pass(ID, "this user namespace has no root"),
    }
}

fn is_rootless(machine: &Machine) -> bool {
    machine.user_namespace.as_ref().is_ok_and(|namespace| namespace.is_root_remapped())
}

pub(super) fn seccomp(machine: &Machine) -> Finding {
    const ID: Check = Check::Seccomp;
    let status = match &machine.status {
        Ok(status) => status,
        Err(errno) => return unreadable(ID, "/proc/self/status", *errno),
    };
    match (status.seccomp, status.seccomp_filters) {
        (Some(2), Some(1)) => Finding::pass(ID, "seccomp filter active"),
        (Some(2), Some(count)) if count > 1 => Finding::pass(ID, format!("seccomp: {count} filters active")),
        (Some(2), _) => Finding::pass(ID, "seccomp filter active"),
        (Some(0), _) => Finding::fail(
            ID,
            "no seccomp filter",
            "remove --security-opt seccomp=unconfined and --privileged (Kubernetes: seccompProfile RuntimeDefault)",
        ),
        (Some(mode), _) => Finding::unknown(ID, format!("unknown seccomp mode {mode}"), "update init"),
        (None, _) => Finding::unknown(
            ID,
            "/proc/self/status has no Seccomp line",
            "use a kernel with CONFIG_SECCOMP_FILTER and an engine that sets a profile",
        ),
    }
}

pub(super) fn apparmor(machine: &Machine) -> Finding {
    const ID: Check = Check::Apparmor;
    let label = match &machine.label {
        Ok(label) => label.as_slice(),
        // Without /proc that file is missing too.
        Err(Errno(libc::EINVAL | libc::ENOENT | libc::ENOPROTOOPT | libc::EOPNOTSUPP)) if machine.status.is_ok() => {
            return Finding::skipped(ID, "this host has neither AppArmor nor SELinux");
        }
        Err(errno) => return unreadable(ID, "/proc/self/attr/current", *errno),
    };
    let shown = Escaped(label);
    // A profile's mode stands behind it; its name may have colons too (a profile in a namespace of LXD).
    let mode = label.strip_suffix(b")").and_then(|label| label.rsplit(|&byte| byte == b'(').next());
    let type_of_context = label.split(|&byte| byte == b':').nth(2);
    match (mode, type_of_context) {
        (Some(b"enforce" | b"kill"), _) => {
            let end = label.iter().rposition(|&byte| byte == b' ').unwrap_or(label.len());
            Finding::pass(ID, format!("AppArmor: {}", Escaped(&label[..end])))
        }
        // Ubuntu gives the programs of rootless engines profiles that confine nothing: `rootlesskit (unconfined)`.
        (Some(b"unconfined"), _) | (None, None) if mode.is_some() || label == b"unconfined" => {
            if is_rootless(machine) {
                Finding::skipped(ID, "a rootless engine cannot load AppArmor profiles")
            } else {
                Finding::fail(
                    ID,
                    "AppArmor does not confine this process",
                    "remove --security-opt apparmor=unconfined and --privileged",
                )
            }
        }
        (Some(_), _) => Finding::fail(
            ID,
            format!("AppArmor only logs (complain mode): {shown}"),
            "on the host: sudo aa-enforce /etc/apparmor.d/PROFILE",
        ),
        (None, Some(kind)) if UNCONFINED_PROFILES.contains(&kind) => Finding::fail(
            ID,
            format!("SELinux does not confine this process: {shown}"),
            "remove --privileged and --security-opt label=disable (Docker: selinux-enabled in daemon.json)",
        ),
        (None, Some(_)) => Finding::pass(ID, format!("SELinux: {shown}")),
        // `kernel`: SELinux without a policy. Smack's labels look like that too.
        (None, None) => Finding::skipped(ID, format!("the label {shown} is neither AppArmor's nor SELinux's")),
    }
}

/// Types of SELinux's targeted policy that may do everything: what a container gets that the engine did not label.
const UNCONFINED_PROFILES: [&[u8]; 6] =
    [b"spc_t", b"unconfined_t", b"unconfined_service_t", b"container_runtime_t", b"init_t", b"kernel_t"];

/// Never needed by `init`, and each of them reaches the host from `docker exec` even after `init` has dropped its own
/// (`man 7 capabilities`).
const HOST_CAPABILITIES: [(u32, &str); 7] = [
    (16, "SYS_MODULE"),
    (17, "SYS_RAWIO"),
    (19, "SYS_PTRACE"),
    (21, "SYS_ADMIN"),
    (22, "SYS_BOOT"),
    (25, "SYS_TIME"),
    (39, "BPF"),
];

pub(super) fn privileged_container(machine: &Machine) -> Finding {
    const ID: Check = Check::PrivilegedContainer;
    let mut signs = Vec::new();
    match &machine.status {
        Ok(status) => {
            // Permitted, effective and bounding: what this process has, and what an exec could give it.
            let held = [1, 2, 3].iter().filter_map(|&set| status.capabilities[set]).fold(0, |all, set| all | set);
            let names = HOST_CAPABILITIES.iter().filter(|(number, _)| held & (1 << number) != 0).map(|(_, name)| *name);
            let names: Vec<&str> = names.collect();
            if !names.is_empty() {
                signs.push(format!("it was given CAP_{}", names.join(", CAP_")));
            }
        }
        Err(errno) => return unreadable(ID, "/proc/self/status", *errno),
    }
    match &machine.directories.host_devices {
        Ok(devices) if !devices.is_empty() => signs.push(format!("host devices in /dev: {}", first_few(devices))),
        _ => {}
    }
    if signs.is_empty() {
        return Finding::pass(ID, "no capability or device that controls the host");
    }
    Finding::fail(
        ID,
        signs.join("; "),
        "remove --privileged, the --cap-add of these, and --device for disks and kernel memory",
    )
}

/// Inodes of the first namespaces (`PROC_PID_INIT_INO` and its neighbours, include/linux/proc_ns.h); that of the
/// network is fixed since Linux 6.18, and no other namespace can have the number on an older kernel.
const INITIAL_PID_NS: u64 = 4_026_531_836;
const INITIAL_IPC_NS: u64 = 4_026_531_839;
const INITIAL_UTS_NS: u64 = 4_026_531_838;
const INITIAL_NET_NS: u64 = 4_026_531_833;

pub(super) fn host_namespaces(machine: &Machine) -> Finding {
    let seen = &machine.namespaces;
    const ID: Check = Check::HostNamespaces;
    let mut shared = Vec::new();
    if seen.kernel_threads || seen.pid == Ok(INITIAL_PID_NS) {
        shared.push(("processes", "--pid host"));
    }
    if seen.ipc == Ok(INITIAL_IPC_NS) {
        shared.push(("shared memory", "--ipc host"));
    }
    if seen.uts == Ok(INITIAL_UTS_NS) {
        shared.push(("host name", "--uts host"));
    }
    if seen.net == Ok(INITIAL_NET_NS) || seen.host_interface.is_some() {
        shared.push(("network", "--network host"));
    }
    if !shared.is_empty() {
        let what: Vec<&str> = shared.iter().map(|(what, _)| *what).collect();
        let flags: Vec<&str> = shared.iter().map(|(_, flag)| *flag).collect();
        let mut detail = format!("shared with the host: {}", what.join(", "));
        if let Some(interface) = seen.host_interface.as_ref().filter(|_| seen.net != Ok(INITIAL_NET_NS)) {
            detail += &format!(" (interface {interface})");
        }
        return Finding::fail(ID, detail, format!("remove {}", flags.join(" and ")));
    }
    match [seen.pid, seen.ipc, seen.uts, seen.net].into_iter().find_map(Result::err) {
        Some(errno) => unreadable(ID, "/proc/self/ns", errno),
        None => Finding::pass(ID, "processes, shared memory, host name and network are its own"),
    }
}

pub(super) fn runtime_socket(machine: &Machine) -> Finding {
    const ID: Check = Check::RuntimeSocket;
    let sockets = match (&machine.sockets, &machine.mounts) {
        (Some(sockets), _) => sockets,
        (None, Err(errno)) => return unreadable(ID, "/proc/self/mountinfo", *errno),
        (None, Ok(_)) => return Finding::skipped(ID, "not checked"),
    };
    if let Some(first) = sockets.found.first() {
        let more = match sockets.found.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        return Finding::fail(
            ID,
            format!("{}{more}: access to it is root on the host", Escaped(first)),
            "remove the mount that contains it",
        );
    }
    match sockets.incomplete.first() {
        None => Finding::pass(ID, "no engine socket is mounted"),
        Some(first) => Finding::pass(
            ID,
            format!("no engine socket is mounted (only the first directories of {} were searched)", Escaped(first)),
        ),
    }
}

pub(super) fn limits(machine: &Machine) -> Finding {
    const ID: Check = Check::Limits;
    let limits = &machine.limits;
    let each = [
        ("memory", limits.memory, "--memory 16g"),
        ("processes", limits.processes, "--pids-limit 512"),
        // A core file is a copy of COMMAND's memory: its secrets too.
        (
            "core files",
            if limits.core == Limit::Limited(0) { Limit::Limited(0) } else { Limit::Unlimited },
            "--ulimit core=0",
        ),
    ];
    let of = |wanted: Limit| each.iter().filter(move |(_, limit, _)| *limit == wanted);
    let without: Vec<&str> = of(Limit::Unlimited).map(|(what, ..)| *what).collect();
    if !without.is_empty() {
        let flags: Vec<&str> = of(Limit::Unlimited).map(|(_, _, flag)| *flag).collect();
        let rootless = if is_rootless(machine) && without != ["core files"] {
            " (rootless engines need cgroup v2 for this)"
        } else {
            ""
        };
        return Finding::fail(
            ID,
            format!("no limit on {}", without.join(", ")),
            format!("add {}{rootless}", flags.join(" ")),
        );
    }
    let unseen: Vec<&str> = of(Limit::Unknown).map(|(what, ..)| *what).collect();
    if !unseen.is_empty() {
        return Finding::unknown(
            ID,
            format!("no cgroup shows a limit on {}", unseen.join(", ")),
            "mount /sys/fs/cgroup in the container, as engines do",
        );
    }
    let (Limit::Limited(memory), Limit::Limited(processes)) = (limits.memory, limits.processes) else {
        return Finding::unknown(ID, "no limit can be read", "mount /sys/fs/cgroup in the container, as engines do");
    };
    Finding::pass(ID, format!("{} MiB of memory, {processes} processes, no core files", memory >> 20))
}

#[cfg(test)]
mod tests;

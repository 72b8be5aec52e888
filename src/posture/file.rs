//! The file shield: what can be written, and what of the host can be seen.

use super::finding::Finding;
use crate::machine::Machine;
use crate::machine::directories::{ConfiguredPath, Directories};
use crate::machine::mounts::{Mount, Mounts};
use crate::path::is_within;
use crate::settings::checks::Check;
use crate::sys::Errno;
use crate::text::Escaped;
use std::borrow::Cow;

/// `check`, where the mounts are known that `evaluate` asks.
pub(super) fn evaluate_with_mounts(
    check: Check,
    machine: &Machine,
    evaluate: fn(&Machine, &Mounts) -> Finding,
) -> Finding {
    match &machine.mounts {
        Ok(mounts) => evaluate(machine, mounts),
        Err(errno) => Finding::unknown(
            check,
            format!("/proc/self/mountinfo cannot be read: {errno}"),
            "mount /proc in the container, as every engine does",
        ),
    }
}

pub(super) fn readonly_root(machine: &Machine, mounts: &Mounts) -> Finding {
    const ID: Check = Check::ReadonlyRoot;
    let places = &machine.directories;
    let by_table = mounts.at(b"/").map(|root| root.has_option("ro"));
    let by_statvfs = places.root_is_read_only;
    let by_writing = places.write_to_root == Err(Errno(libc::EROFS));
    // The kernel looks at the mount before it looks at permissions: every other answer comes from a root that may be
    // written.
    if by_table == Some(true) && by_statvfs == Ok(true) && by_writing {
        return Finding::pass(ID, "/ is mounted read-only");
    }
    let fix = "add --read-only (compose: read_only: true; Kubernetes: readOnlyRootFilesystem: true)";
    if by_table == Some(false) && by_statvfs == Ok(false) && !by_writing {
        return Finding::fail(ID, "/ is writable", fix);
    }
    let says = |answer: Option<bool>| match answer {
        Some(true) => "read-only",
        Some(false) => "writable",
        None => "nothing",
    };
    Finding::fail(
        ID,
        format!(
            "answers about / disagree: mountinfo says {}, statvfs {}, writing {}",
            says(by_table),
            says(by_statvfs.ok()),
            says(Some(by_writing))
        ),
        fix,
    )
}

pub(super) fn tmpfs(machine: &Machine, mounts: &Mounts) -> Finding {
    let places = &machine.directories.tmpfs;
    const ID: Check = Check::Tmpfs;
    if places.is_empty() {
        return Finding::skipped(ID, "TAKUMI_TMPFS is empty");
    }
    let wrong: Vec<String> = places.iter().filter_map(|place| tmpfs_fault(place, mounts)).collect();
    if wrong.is_empty() {
        let names: Vec<String> = places.iter().map(|place| Escaped(&place.configured).to_string()).collect();
        return Finding::pass(ID, format!("{}: tmpfs with a size limit, nosuid, nodev, noexec", names.join(", ")));
    }
    let option =
        |place: &ConfiguredPath| format!("--tmpfs {}:rw,nosuid,nodev,noexec,size=256m", Escaped(&place.configured));
    let options: Vec<String> = places.iter().filter(|place| tmpfs_fault(place, mounts).is_some()).map(option).collect();
    Finding::fail(ID, wrong.join("; "), format!("add {}", options.join(" ")))
}

fn tmpfs_fault(place: &ConfiguredPath, mounts: &Mounts) -> Option<String> {
    let name = Escaped(&place.configured);
    let Some(mount) = mounts.at(place.path()) else { return Some(format!("{name} is not a tmpfs")) };
    if mount.filesystem() != "tmpfs" {
        return Some(format!("{name} is not a tmpfs, but {}", mount.filesystem()));
    }
    let mut lacks: Vec<&str> =
        ["nosuid", "nodev", "noexec"].into_iter().filter(|option| !mount.has_option(option)).collect();
    // `size=0` is how a tmpfs is told to have no limit; without the word it has half of the memory.
    if mount.filesystem_option("size").is_none_or(|size| size.trim_start_matches('0').starts_with(['k', 'm', 'g'])) {
        lacks.push("size");
    }
    if lacks.is_empty() { None } else { Some(format!("{name} lacks {}", lacks.join(", "))) }
}

pub(super) fn baked_paths(machine: &Machine, mounts: &Mounts) -> Finding {
    const ID: Check = Check::BakedPaths;
    let places = &machine.directories;
    if places.baked.is_empty() {
        return Finding::skipped(ID, "TAKUMI_BAKED is empty");
    }
    let is_volume = |mount: &Mount| places.volumes.iter().any(|volume| is_within(mount.point(), volume.path()));
    // Below it, at it, or over a parent of it, which hides it whole.
    let is_baked = |mount: &&Mount| {
        let of_parent = |baked: &[u8]| mount.point() != b"/" && is_within(baked, mount.point());
        places.baked.iter().map(ConfiguredPath::path).any(|baked| is_within(mount.point(), baked) || of_parent(baked))
    };
    let over: Vec<&Mount> = mounts.iter().filter(is_baked).filter(|mount| !is_volume(mount)).collect();
    match over.first() {
        None => {
            let names: Vec<String> = places.baked.iter().map(|place| Escaped(&place.configured).to_string()).collect();
            Finding::pass(ID, format!("nothing is mounted over {}", names.join(", ")))
        }
        Some(first) => Finding::fail(
            ID,
            format!(
                "{} is mounted over files of the image{}{}",
                Escaped(first.point()),
                if first.has_option("ro") { "" } else { " and is writable" },
                if over.len() > 1 { format!("; {} more are", over.len() - 1) } else { String::new() }
            ),
            "mount it elsewhere, or name it in TAKUMI_VOLUMES",
        ),
    }
}

/// What a host keeps to itself, by the names that its root filesystem has; the directory itself or a whole parent of
/// it.
const HOST_PATHS: [&str; 23] = [
    "/etc", "/root", "/home", "/boot", "/usr", "/var", "/var/lib", "/var/lib/docker", "/var/lib/docker/volumes",
    "/var/lib/docker/containers", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet", "/var/run", "/run",
    "/etc/ssh", "/etc/shadow", "/etc/sudoers", "/etc/sudoers.d", "/etc/cron.d", "/etc/systemd", "/etc/kubernetes",
    "/var/spool/cron",
];
/// Directories of a home with keys in them.
const USER_PATHS: [&[u8]; 7] = [b".ssh", b".gnupg", b".aws", b".kube", b".docker", b".netrc", b".config"];

pub(super) fn dangerous_mounts(machine: &Machine, mounts: &Mounts) -> Finding {
    const ID: Check = Check::DangerousMounts;
    let found: Vec<String> = mounts
        .iter()
        .filter_map(|mount| {
            Some(format!("{} is {}", Escaped(mount.point()), describe_danger(mount, &machine.directories)?))
        })
        .collect();
    match found.split_first() {
        None => Finding::pass(ID, "no system directory of the host is mounted"),
        Some((first, rest)) => Finding::fail(
            ID,
            if rest.is_empty() { first.clone() } else { format!("{first}; {} more", rest.len()) },
            "mount only directories that the app needs, not the host's system directories",
        ),
    }
}

/// What of the host a mount shows.
fn describe_danger(mount: &Mount, places: &Directories) -> Option<String> {
    let hosts = |what: &[u8]| Some(format!("the host's {}", Escaped(what)));
    match mount.filesystem() {
        _ if places.systems.iter().any(|system| system == mount.point()) => Some("a whole system".to_string()),
        _ if places.host_runs.iter().any(|run| run == mount.point()) => hosts(b"/run"),
        // The container's own, where an engine puts them.
        "proc" => (mount.root() == b"/" && mount.point() != b"/proc").then(|| "another /proc".to_string()),
        "sysfs" => (mount.root() == b"/" && mount.point() != b"/sys").then(|| "another /sys".to_string()),
        "devtmpfs" if mount.root() == b"/" => hosts(b"/dev"),
        // drvfs: a drive of Windows.
        "9p" if mount.root() == b"/"
            && mount.filesystem_option("aname").is_some_and(|name| name.starts_with("drvfs")) =>
        {
            Some("a whole Windows drive".to_string())
        }
        "tmpfs" | "overlay" | "devtmpfs" | "devpts" | "mqueue" | "cgroup" | "cgroup2" => None,
        _ if mount.point() == b"/" => None,
        _ => {
            let root = &path_on_host(mount)[..];
            // macOS and Windows have /Users.
            let of_a_user = root.strip_prefix(b"/home/").or_else(|| root.strip_prefix(b"/Users/"));
            let is_home = root == b"/Users" || of_a_user.is_some_and(|user| !user.is_empty() && !user.contains(&b'/'));
            let has_keys =
                root.split(|&byte| byte == b'/').any(|name| USER_PATHS.contains(&name) && name != b".config")
                    || root.ends_with(b"/.config");
            let is_named = HOST_PATHS.iter().any(|name| name.as_bytes() == root);
            if is_named || is_home || has_keys { hosts(root) } else { None }
        }
    }
}

/// Which directory of the host it is, as far as that can be told: on btrfs the path begins with the subvolume, whose
/// name says where it is mounted (`@` or `@rootfs` on Debian, Ubuntu and Arch, `root` on Fedora, `@/home` on openSUSE).
fn path_on_host(mount: &Mount) -> Cow<'_, [u8]> {
    let subvolume = mount.filesystem_option("subvol").filter(|_| mount.filesystem() == "btrfs");
    let Some((subvolume, below)) = subvolume.and_then(|name| Some((name, mount.root().strip_prefix(name.as_bytes())?)))
    else {
        return Cow::Borrowed(mount.root());
    };
    let place = match subvolume.trim_start_matches('/') {
        "" | "@" | "@rootfs" | "root" => "",
        name if name.starts_with("@/.snapshots/") => "",
        name => name.strip_prefix("@/").or_else(|| name.strip_prefix('@')).unwrap_or(name),
    };
    let below = below.strip_prefix(b"/").unwrap_or(below);
    let parts = [place.as_bytes(), below];
    Cow::Owned(parts.iter().filter(|part| !part.is_empty()).flat_map(|part| [b"/", *part]).collect::<Vec<_>>().concat())
}

pub(super) fn masked_paths(machine: &Machine, mounts: &Mounts) -> Finding {
    const ID: Check = Check::MaskedPaths;
    let is_read_only = |point: &[u8]| mounts.at(point).is_some_and(|mount| mount.has_option("ro"));
    let mut open = Vec::new();
    if !is_read_only(b"/proc/sys") {
        open.push("/proc/sys is writable");
    }
    // No /sys, no way in.
    if mounts.at(b"/sys").is_some() && !is_read_only(b"/sys") {
        open.push("/sys is writable");
    }
    if machine.directories.kcore && mounts.at(b"/proc/kcore").is_none() {
        open.push("/proc/kcore is not hidden");
    }
    if open.is_empty() {
        return Finding::pass(ID, "/proc/sys and /sys are read-only, the kernel's memory is hidden");
    }
    Finding::fail(
        ID,
        open.join(", "),
        "remove --privileged and --security-opt systempaths=unconfined (Kubernetes: procMount Default)",
    )
}

#[cfg(test)]
mod tests;

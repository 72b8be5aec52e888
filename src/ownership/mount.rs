//! The mount that a volume lies on, and what its directory is called on the host.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Container;
use super::path::ShownPath;
use crate::machine::mounts::{Mount, Mounts};
use crate::sys::{GroupId, UserId};

/// A directory of the host rather than one of the engine's: not the container's own root, not memory, and not the
/// `volumes/NAME/_data` where Docker and Podman keep named volumes.
pub(super) fn is_host_bind_mount(mount: &Mount) -> bool {
    let names: Vec<&OsStr> = path(mount.root()).iter().collect();
    let is_named_volume = names.windows(3).any(|names| matches!(names, [a, _, c] if *a == "volumes" && *c == "_data"));
    mount.point() != b"/" && mount.filesystem() != "tmpfs" && !is_named_volume
}

/// The mount with this id; `None` without /proc.
pub(super) fn find_mount(id: u64) -> Option<Mount> {
    Mounts::read().ok()?.with_id(id).cloned()
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// `sudo chown -R 1500:1500 /srv/models`, as far as the container can know its host's names: the kernel tells a path on the mounted
/// filesystem, which is the host's own path only where that filesystem is the host's root. The root of one never is: a chown of
/// `/` must not be what a tired person types.
pub(super) fn host_command(
    mount: Option<&Mount>,
    volume: &Path,
    container: &Container,
    (uid, gid): (UserId, GroupId),
) -> String {
    let uid = container.namespace.users.outside(uid.0).unwrap_or(uid.0);
    let gid = container.namespace.groups.outside(gid.0).unwrap_or(gid.0);
    let hosts = mount.filter(|mount| mount.point() != b"/" && mount.root() != b"/");
    let below = hosts
        .and_then(|mount| volume.strip_prefix(path(mount.point())).ok().map(|below| path(mount.root()).join(below)));
    match below {
        Some(path) => {
            let (path, volume) = (quoted(&path), ShownPath::of(volume));
            format!("from the host: sudo chown -R {uid}:{gid} {path} (if that is what is mounted at {volume})")
        }
        None => format!(
            "from the host: sudo chown -R {uid}:{gid} on the directory that is mounted at {}",
            ShownPath::of(volume)
        ),
    }
}

fn quoted(path: &Path) -> String {
    let text = ShownPath::of(path).to_string();
    let text = text.strip_suffix('/').filter(|text| !text.is_empty()).unwrap_or(&text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c);
    if text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::user_namespace::UserNamespace;

    fn mount(line: &str) -> Mount {
        Mounts::parse(line.as_bytes()).with_id(36).unwrap().clone()
    }

    #[test]
    fn a_bind_mount_of_the_hosts_is_told_from_the_engines_own() {
        assert!(is_host_bind_mount(&mount("36 35 98:0 /home/u/my\\040models /data rw shared:1 - ext4 /dev/vda rw")));
        assert!(!is_host_bind_mount(&mount(
            "36 35 98:0 /home/u/.local/share/docker/volumes/v/_data /data rw - ext4 /dev/vda rw"
        )));
        assert!(!is_host_bind_mount(&mount("36 35 0:50 / / rw - overlay overlay rw")));
        assert!(!is_host_bind_mount(&mount("36 35 0:51 / /data rw - tmpfs tmpfs rw")));
    }

    #[test]
    fn the_hosts_command_names_its_ids_and_its_path() {
        let namespace = UserNamespace::from_map(b"0 1500 1\n1 100000 65536\n");
        let rootless = Container { namespace, capabilities: 0 };
        let bind = mount("36 35 98:0 /home/u/my\\040models /data rw shared:1 - ext4 /dev/vda rw");
        let command = host_command(Some(&bind), Path::new("/data/sub"), &rootless, (UserId(0), GroupId(0)));
        assert!(command.starts_with("from the host: sudo chown -R 1500:1500 '/home/u/my models/sub' (if"), "{command}");
        let whole = mount("36 35 98:0 / /data rw - ext4 /dev/vdb rw");
        let command = host_command(Some(&whole), Path::new("/data"), &rootless, (UserId(0), GroupId(0)));
        assert!(command.ends_with("1500:1500 on the directory that is mounted at /data"), "{command}");
        let command = host_command(None, Path::new("/data"), &rootless, (UserId(1000), GroupId(1000)));
        assert!(command.contains("100999:100999") && command.ends_with("mounted at /data"), "{command}");
    }
}

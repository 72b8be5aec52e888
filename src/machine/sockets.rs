//! Sockets by which a process would rule the host: those of container engines and of the host's own services.

use super::directories::may_hold_files;
use super::mounts::{Mount, Mounts};
use crate::path::is_within;
use crate::sys::{fs, io};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sockets {
    pub found: Vec<Vec<u8>>,
    /// Mounts that have more directories than were looked at, or directories closed to who looked.
    pub incomplete: Vec<Vec<u8>>,
}

/// Who can talk to one of these starts containers, or services, as root.
const CONTROL_SOCKETS: [&[u8]; 13] = [
    b"docker.sock", b"docker.raw.sock", b"docker.proxy.sock", b"containerd.sock", b"containerd.sock.ttrpc",
    b"crio.sock", b"podman.sock", b"buildkitd.sock", b"cri-dockerd.sock", b"dockershim.sock", b"kubelet.sock",
    b"lxd.socket", b"system_bus_socket",
];

/// How deep a mount is searched: `/run` of the host has podman/podman.sock, a home has .docker/desktop/docker.sock.
const MAX_DEPTH: usize = 4;
/// How many directories of a mount are opened: a volume of models has more than a start should read.
const MAX_DIRECTORIES: usize = 128;

/// Looks at every mount and a few directories deep into it.
pub fn find_control_sockets(mounts: &Mounts) -> Sockets {
    let mut sockets = Sockets::default();
    for mount in mounts.iter() {
        if is_control_socket(mount.root()) || is_control_socket(mount.point()) {
            sockets.found.push(mount.point().to_vec());
        } else if may_hold_sockets(mount) {
            search_mount(mount, mounts, &mut sockets);
        }
    }
    sockets.found.sort_unstable();
    sockets.found.dedup();
    sockets
}

fn is_control_socket(path: &[u8]) -> bool {
    path.rsplit(|&byte| byte == b'/').next().is_some_and(|name| CONTROL_SOCKETS.contains(&name))
}

/// The image's own files have no socket that somebody listens to.
fn may_hold_sockets(mount: &Mount) -> bool {
    mount.point() != b"/" && !is_within(mount.point(), b"/dev") && may_hold_files(mount)
}

fn search_mount(mount: &Mount, mounts: &Mounts, sockets: &mut Sockets) {
    // What is mounted below it is searched by itself, or is not to be touched.
    let others: Vec<&[u8]> = mounts.iter().map(|other| other.point()).collect();
    let mut all = true;
    let Ok(path) = CString::new(mount.point().to_vec()) else { return };
    let Ok(top) = io::open_path(&path) else { return };
    let mut level: Vec<(Vec<u8>, OwnedFd)> = vec![(mount.point().to_vec(), top)];
    let mut left = MAX_DIRECTORIES;
    for depth in 0..MAX_DEPTH {
        let mut below = Vec::new();
        for (path, place) in &level {
            if left == 0 {
                sockets.incomplete.push(mount.point().to_vec());
                return;
            }
            left -= 1;
            // A file that is mounted, or a directory that is closed to this user.
            let Ok(directory) = fs::open_directory_at(place.as_fd(), c".") else { continue };
            let _ = io::for_each_entry_of(directory.as_fd(), |name, kind| {
                // Some filesystems do not say what an entry is.
                let may_be = |wanted| kind == wanted || kind == libc::DT_UNKNOWN;
                let child = || [path.strip_suffix(b"/").unwrap_or(path), b"/", name].concat();
                if may_be(libc::DT_SOCK) && CONTROL_SOCKETS.contains(&name) {
                    sockets.found.push(child());
                } else if may_be(libc::DT_DIR) && depth + 1 < MAX_DEPTH && name != b"." && name != b".." {
                    let child = child();
                    if below.len() >= left {
                        all = false;
                    } else if !others.contains(&&child[..]) {
                        below.push((child, name.to_vec(), place.as_fd()));
                    }
                }
            });
        }
        let opened = below.into_iter().filter_map(|(path, name, parent)| {
            let name = CString::new(name).ok()?;
            fs::pin_directory_at(parent, &name).ok().map(|file| (path, file))
        });
        level = opened.collect();
    }
    if !all {
        sockets.incomplete.push(mount.point().to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_known_by_its_last_name() {
        for path in ["/run/docker.sock", "/docker.sock", "/run/user/1000/podman/podman.sock", "/x/system_bus_socket"] {
            assert!(is_control_socket(path.as_bytes()), "{path}");
        }
        assert!(
            !is_control_socket(b"/run/docker.sock.d")
                && !is_control_socket(b"/tmp/.X11-unix/X0")
                && !is_control_socket(b"/")
        );
    }

    #[test]
    fn a_socket_one_and_two_levels_down_is_found() {
        let folder = std::env::temp_dir().join(format!("takumi-test-sockets-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("podman")).unwrap();
        let sockets = [folder.join("docker.sock"), folder.join("podman/podman.sock"), folder.join("podman/other.sock")];
        let _listeners: Vec<_> =
            sockets.iter().map(|path| std::os::unix::net::UnixListener::bind(path).unwrap()).collect();
        std::fs::write(folder.join("containerd.sock"), "a file of that name").unwrap();
        let line = format!("1 0 8:1 /srv {} rw - ext4 /dev/sda rw", folder.display());
        let found = find_control_sockets(&Mounts::parse(line.as_bytes()));
        std::fs::remove_dir_all(&folder).unwrap();
        let expected: Vec<Vec<u8>> =
            sockets[..2].iter().map(|path| path.to_str().unwrap().as_bytes().to_vec()).collect();
        assert_eq!(found, Sockets { found: expected, incomplete: vec![] });
    }

    #[test]
    fn a_mount_below_another_is_left_to_itself() {
        let folder = std::env::temp_dir().join(format!("takumi-test-nested-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("far")).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(folder.join("far/docker.sock")).unwrap();
        let top = format!("1 0 8:1 /srv {} rw - ext4 /dev/sda rw\n", folder.display());
        let seen = |of_far: &str| {
            let far = format!("2 1 0:50 / {}/far rw - {of_far} x rw\n", folder.display());
            find_control_sockets(&Mounts::parse((top.clone() + &far).as_bytes())).found.len()
        };
        // A server that does not answer would hold up the start.
        let (remote, local) = (["nfs4", "fuse.sshfs"].map(seen), seen("ext4"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!((remote, local), ([0, 0], 1));
    }

    #[test]
    fn what_was_not_searched_is_told() {
        let folder = std::env::temp_dir().join(format!("takumi-test-many-{}", std::process::id()));
        let path = folder.to_str().unwrap().as_bytes().to_vec();
        let line = format!("1 0 8:1 /srv {} rw - ext4 /dev/sda rw", folder.display());
        let mut told = Vec::new();
        for count in [MAX_DIRECTORIES / 2, MAX_DIRECTORIES * 2] {
            for number in 0..count {
                std::fs::create_dir_all(folder.join(number.to_string())).unwrap();
            }
            told.push(find_control_sockets(&Mounts::parse(line.as_bytes())).incomplete);
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(told, [vec![], vec![path]]);
    }
}

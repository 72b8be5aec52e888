//! What has no digest, and why.

use super::*;
use crate::nodes::tree::hasher::{self, ReadError};
use crate::sys::{GroupId, UserId, credentials, forked_task};
use std::io::Seek as _;
use std::time::Duration;

#[test]
fn what_is_exchanged_during_the_walk_is_a_fault() {
    let nodes = NodesFolder::new("exchange");
    for name in ["n/a", "n/b", "n/d/x", "n/gone", "n/z"] {
        nodes.write(name, b"1");
    }
    nodes.write("secret", b"2");
    let root: OwnedFd = std_fs::File::open(nodes.at("n")).unwrap().into();
    let mut hasher = TreeHasher::new(LIMITS);
    walk(&mut hasher, root.as_fd(), b"", |_, found| {
        let path = nodes.at("n").join(std::ffi::OsStr::from_bytes(found.path));
        match found.path {
            b"b" | b"gone" => std_fs::remove_file(&path).unwrap(),
            b"d" => std_fs::remove_dir_all(&path).unwrap(),
            _ => return true,
        }
        if found.path != b"gone" {
            symlink(nodes.at("secret"), path).unwrap();
        }
        true
    })
    .unwrap();
    let tree = hasher.into_tree(c"n".to_owned(), root);
    assert_eq!(paths(&tree), ["a", "z"]);
    assert_eq!(tree.digest, None);
    assert_eq!(tree.faults.len(), 3, "{:?}", tree.faults);
    for (fault, name) in tree.faults.iter().zip(["b", "d", "gone"]) {
        assert_eq!(fault, &format!("{name} changed while it was read: stop what writes there, then scan again"));
    }
}

#[test]
fn a_file_that_grows_shrinks_or_changes_while_it_is_read_has_no_digest() {
    let nodes = NodesFolder::new("grows");
    let mut buffer = vec![0; 16];
    for (number, change) in [&b"longer than before"[..], b"", b"Same"].into_iter().enumerate() {
        let name = format!("{number}");
        nodes.write(&name, b"same");
        let file: OwnedFd = std_fs::File::open(nodes.at(&name)).unwrap().into();
        let stat = fs::stat(file.as_fd(), Freshness::Cached).unwrap();
        // The clock that a filesystem writes down goes on in steps of some milliseconds.
        while fs::stat(file.as_fd(), Freshness::Asked).unwrap().changed == stat.changed {
            std_fs::write(nodes.at(&name), change).unwrap();
        }
        assert!(matches!(hasher::digest_file(&file, &stat, &mut buffer), Err(ReadError::Changed)));
        let file: OwnedFd = std_fs::File::open(nodes.at(&name)).unwrap().into();
        let stat = fs::stat(file.as_fd(), Freshness::Cached).unwrap();
        assert!(hasher::digest_file(&file, &stat, &mut buffer).is_ok(), "it is read whole once nobody writes");
    }
}

#[test]
fn a_chain_of_directories_ends_at_its_limit_with_a_fault() {
    let nodes = NodesFolder::new("deep");
    std_fs::create_dir(nodes.at("n")).unwrap();
    let mut above: OwnedFd = std_fs::File::open(nodes.at("n")).unwrap().into();
    for level in 1..=2000 {
        if level == 64 {
            assert_eq!(nodes.read(c"n").faults, [""; 0]);
        }
        fs::make_directory_at(above.as_fd(), c"d", 0o755).unwrap();
        above = fs::open_directory_at(above.as_fd(), c"d").unwrap();
        if level == 64 {
            nodes.digest(c"n");
        }
    }
    let tree = nodes.read(c"n");
    assert_eq!(tree.digest, None);
    let fault = "more than 64 directories deep (d/d/d/";
    assert!(tree.faults.len() == 1 && tree.faults[0].starts_with(fault), "{:?}", tree.faults);
    assert!(tree.faults[0].ends_with("/d): move its data outside the node"), "{:?}", tree.faults);
}

#[test]
fn too_many_files_end_the_walk_at_once() {
    let nodes = NodesFolder::in_memory("many");
    nodes.write("n/a/0", b"1");
    nodes.write("n/z", b"");
    for number in 0..60_000 {
        std_fs::hard_link(nodes.at("n/z"), nodes.at(&format!("n/{number}"))).unwrap();
    }
    let tree = nodes.read(c"n");
    assert_eq!(tree.faults, ["more than 50000 files: move its data outside the node"]);
    assert_eq!((tree.digest, tree.files.len()), (None, 0));
    // Not all of them are listed first, however many there are.
    let where_it_stops = |entries: usize| {
        let directory = fs::open_directory_at(nodes.open().as_fd(), c"n").unwrap();
        let listed = TreeHasher::new(TreeLimits { entries, ..LIMITS }).list_directory(directory.as_fd(), b"");
        assert_eq!(listed.is_ok(), entries > 60_000);
        std_fs::File::from(directory).stream_position().unwrap()
    };
    assert_ne!(where_it_stops(10), where_it_stops(100_000), "the kernel was asked for all of them");
}

#[test]
fn each_limit_counts_over_the_whole_tree() {
    let nodes = NodesFolder::new("limits");
    for name in ["n/a/1", "n/a/2", "n/b/1", "n/b/2"] {
        nodes.write(name, &[b'x'; 100]);
    }
    let faults = |limits: TreeLimits| {
        let root: OwnedFd = std_fs::File::open(nodes.at("n")).unwrap().into();
        let mut hasher = TreeHasher::new(limits);
        let result = walk(&mut hasher, root.as_fd(), b"", |_, _| true);
        let tree = hasher.into_tree(c"n".to_owned(), root);
        assert_eq!((result.is_err(), tree.digest.is_none()), (!tree.faults.is_empty(), !tree.faults.is_empty()));
        tree.faults
    };
    assert_eq!(faults(LIMITS), [""; 0]);
    assert_eq!(faults(TreeLimits { entries: 6, ..LIMITS }), [""; 0]);
    assert_eq!(faults(TreeLimits { entries: 5, ..LIMITS }), ["more than 5 files: move its data outside the node"]);
    assert_eq!(faults(TreeLimits { levels: 1, ..LIMITS }), [""; 0]);
    assert_eq!(
        faults(TreeLimits { levels: 0, ..LIMITS }),
        ["more than 0 directories deep (a): move its data outside the node"]
    );
    assert_eq!(
        faults(TreeLimits { mebibytes_of_names: 0, ..LIMITS }),
        ["more than 0 MiB of names: move its data outside the node"]
    );
    // A file with holes costs nothing, and is not read: what was seen before it leaves less than 1 GiB.
    nodes.write("n/c/huge", b"");
    std_fs::File::options().write(true).open(nodes.at("n/c/huge")).unwrap().set_len(1 << 30).unwrap();
    let fault = "more than 1 GiB (c/huge): move its data outside the node";
    assert_eq!(faults(TreeLimits { gibibytes: 1, ..LIMITS }), [fault]);
}

#[test]
fn what_cannot_be_read_is_a_fault_with_its_name() {
    let nodes = NodesFolder::new("closed");
    for name in ["n/a.py", "n/b\n.py", "n/d/x", "n/e.py", "m/x"] {
        nodes.write(name, b"1");
    }
    for name in ["n/b\n.py", "n/d", "m"] {
        std_fs::set_permissions(nodes.at(name), PermissionsExt::from_mode(0o000)).unwrap();
    }
    let answer = forked_task::run(Duration::from_secs(60), 4096, |child| {
        let nobody = 65534;
        if credentials::user_ids().is_ok_and(|ids| ids.effective == UserId(0))
            && (credentials::set_groups(&[]).is_err()
                || credentials::set_group_ids(GroupId(nobody)).is_err()
                || credentials::set_user_ids(UserId(nobody)).is_err())
        {
            return;
        }
        for name in [c"n", c"m"] {
            let tree = nodes.read(name);
            let words = format!("{:?} {:?} {}\n", paths(&tree), tree.digest, tree.faults.join("; "));
            child.write_output(words.as_bytes()).unwrap();
        }
    });
    let answer = String::from_utf8(answer.unwrap().bytes).unwrap();
    let cannot = |name: &str| {
        format!("cannot read {name}: Permission denied: make it readable for the app's user, or remove it")
    };
    let expected = [
        format!(r#"["a.py", "e.py"] None {}; {}"#, cannot("b\\n.py"), cannot("d")),
        format!("[] None {}", cannot("m")),
    ];
    assert_eq!(answer.lines().collect::<Vec<_>>(), expected);
    for name in ["n/d", "m"] {
        std_fs::set_permissions(nodes.at(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
}

#[test]
fn many_faults_are_counted_not_listed() {
    let nodes = NodesFolder::new("faults");
    std_fs::create_dir(nodes.at("n")).unwrap();
    let root: OwnedFd = std_fs::File::open(nodes.at("n")).unwrap().into();
    let mut hasher = TreeHasher::new(LIMITS);
    for _ in 0..1000 {
        hasher.hash_entry(root.as_fd(), c"none", libc::DT_REG, b"none").unwrap();
    }
    let tree = hasher.into_tree(c"n".to_owned(), root);
    assert_eq!((tree.faults.len(), tree.faults[8].as_str()), (9, "992 more like this"));
}

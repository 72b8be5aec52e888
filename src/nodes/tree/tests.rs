use super::*;
use std::fs as std_fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

mod faults;
mod git_data;

/// A directory of nodes that goes when the test ends.
struct NodesFolder {
    path: PathBuf,
}

impl NodesFolder {
    fn new(name: &str) -> NodesFolder {
        NodesFolder::in_directory(&std::env::temp_dir(), name)
    }

    fn in_directory(above: &Path, name: &str) -> NodesFolder {
        let path = above.join(format!("takumi-test-nodes-{name}-{}", std::process::id()));
        let _ = std_fs::remove_dir_all(&path);
        std_fs::create_dir_all(&path).unwrap();
        NodesFolder { path }
    }

    /// In memory, where many files are quick and a directory lists the newest first.
    fn in_memory(name: &str) -> NodesFolder {
        NodesFolder::in_directory(Path::new("/dev/shm"), name)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    fn write(&self, path: &str, content: &[u8]) {
        std_fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std_fs::write(self.at(path), content).unwrap();
    }

    fn open(&self) -> OwnedFd {
        std_fs::File::open(&self.path).unwrap().into()
    }

    fn read(&self, name: &CStr) -> Tree {
        read_node(&self.open(), name).unwrap()
    }

    /// Of a node in which everything can be read.
    fn digest(&self, name: &CStr) -> [u8; 32] {
        let tree = self.read(name);
        assert_eq!(tree.faults, [""; 0]);
        tree.digest.unwrap()
    }

    fn list(&self) -> Vec<CString> {
        list_nodes(&self.open()).unwrap()
    }
}

impl Drop for NodesFolder {
    fn drop(&mut self) {
        // Not std's: it holds a descriptor for each level.
        let _ = Command::new("rm").arg("-rf").arg(&self.path).status();
    }
}

fn paths(tree: &Tree) -> Vec<String> {
    tree.files.iter().map(|file| String::from_utf8(file.path.clone()).unwrap()).collect()
}

#[test]
fn the_digest_does_not_depend_on_the_order_of_the_directory_or_on_times_and_owners() {
    let nodes = NodesFolder::in_memory("order");
    let mut files: Vec<String> = (0..40).map(|number| format!("{}/f{}.py", number % 3, number * 7919 % 100)).collect();
    // Behind the directory `1` among the names, before what is in it among the paths.
    files.push("1-".to_string());
    for file in &files {
        nodes.write(&format!("one/{file}"), file.as_bytes());
    }
    for file in files.iter().rev() {
        nodes.write(&format!("two/{file}"), file.as_bytes());
    }
    let listed = |name: &str| std_fs::read_dir(nodes.at(name)).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(listed("one/0").ne(listed("two/0")), "control: both are listed in one order");
    let file = std_fs::File::options().write(true).open(nodes.at("two/0/f0.py")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    std_fs::set_permissions(nodes.at("two/0/f0.py"), PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(nodes.digest(c"one"), nodes.digest(c"two"));
    let tree = nodes.read(c"one");
    assert!(tree.files.is_sorted_by_key(|file| &file.path));
    assert_eq!(tree.files.len(), files.len());
}

#[test]
fn one_byte_is_seen_though_size_and_time_are_put_back() {
    let nodes = NodesFolder::new("byte");
    nodes.write("n/a.bin", &[b'x'; 700_000]);
    let before = nodes.digest(c"n");
    let time = std_fs::metadata(nodes.at("n/a.bin")).unwrap().modified().unwrap();
    let mut content = vec![b'x'; 700_000];
    content[699_999] = b'y';
    nodes.write("n/a.bin", &content);
    let file = std_fs::File::options().write(true).open(nodes.at("n/a.bin")).unwrap();
    file.set_modified(time).unwrap();
    assert_eq!(std_fs::metadata(nodes.at("n/a.bin")).unwrap().modified().unwrap(), time);
    assert_ne!(nodes.digest(c"n"), before);
}

#[test]
fn names_kinds_targets_and_the_executable_bit_are_seen() {
    let nodes = NodesFolder::new("kinds");
    nodes.write("n/a.py", b"1");
    symlink("a.py", nodes.at("n/link")).unwrap();
    let mut seen = vec![nodes.digest(c"n")];
    let mut again = |what: &str| {
        let digest = nodes.digest(c"n");
        assert!(!seen.contains(&digest), "{what}");
        seen.push(digest);
    };
    std_fs::rename(nodes.at("n/a.py"), nodes.at("n/b.py")).unwrap();
    again("renamed");
    std_fs::set_permissions(nodes.at("n/b.py"), PermissionsExt::from_mode(0o744)).unwrap();
    again("executable");
    std_fs::remove_file(nodes.at("n/link")).unwrap();
    symlink("b.py", nodes.at("n/link")).unwrap();
    again("another target");
    std_fs::remove_file(nodes.at("n/link")).unwrap();
    std_fs::write(nodes.at("n/link"), "b.py").unwrap();
    again("a file that holds what the link led to");
    std_fs::create_dir(nodes.at("n/empty")).unwrap();
    again("an empty directory");
    std_fs::write(nodes.at("n/empty/x"), "").unwrap();
    again("an empty file");
    std_fs::rename(nodes.at("n/empty/x"), nodes.at("n/x")).unwrap();
    again("moved out");
}

#[test]
fn a_file_is_told_with_what_it_begins_with_and_its_content_comes_back() {
    let nodes = NodesFolder::new("content");
    nodes.write("n/sub/lib.so", b"\x7fELF\x02\x01\x01\0more");
    nodes.write("n/short", b"#!");
    symlink("/etc/passwd", nodes.at("n/sub/out")).unwrap();
    let tree = nodes.read(c"n");
    assert_eq!(paths(&tree), ["short", "sub/lib.so", "sub/out"]);
    let [short, library, out] = &tree.files[..] else { panic!() };
    assert_eq!(short.kind, FileKind::Plain { executable: false, magic: *b"#!\0\0\0\0\0\0" });
    assert_eq!(library.kind, FileKind::Plain { executable: false, magic: *b"\x7fELF\x02\x01\x01\0" });
    assert_eq!((library.size, &library.digest[..]), (12, &Sha256::digest(b"\x7fELF\x02\x01\x01\0more")[..]));
    assert_eq!(out.kind, FileKind::Link(b"/etc/passwd".to_vec()));
    assert_eq!(tree.read_content(library, 12), Ok(b"\x7fELF\x02\x01\x01\0more".to_vec()));
    assert_eq!(tree.read_content(library, 11), Err(Errno(libc::EFBIG)));
    assert_eq!(tree.read_content(out, 99), Err(Errno(libc::EINVAL)));
    nodes.write("n/sub/lib.so", b"\x7fELF\x02\x01\x01\0less");
    assert_eq!(tree.read_content(library, 12), Err(Errno(libc::ESTALE)), "what is looked at is what was digested");
    std_fs::rename(nodes.at("n/sub"), nodes.at("n/other")).unwrap();
    symlink("other", nodes.at("n/sub")).unwrap();
    assert_eq!(tree.read_content(library, 12), Err(Errno(libc::ENOTDIR)), "no link is followed");
}

#[test]
fn a_pipe_and_a_socket_are_seen_and_not_waited_for() {
    let nodes = NodesFolder::new("pipe");
    nodes.write("n/a.py", b"1");
    let before = nodes.digest(c"n");
    assert!(Command::new("mkfifo").arg(nodes.at("n/pipe")).status().unwrap().success());
    let socket = std::os::unix::net::UnixListener::bind(nodes.at("n/socket")).unwrap();
    let tree = nodes.read(c"n");
    assert_eq!(tree.faults, [""; 0]);
    assert_ne!(tree.digest, Some(before));
    assert_eq!((tree.files[1].kind.clone(), tree.files[2].kind.clone()), (FileKind::Other, FileKind::Other));
    drop(socket);
    // As it would be where a pipe takes a file's place between the listing and the open.
    let mut hasher = TreeHasher::new(LIMITS);
    let root: OwnedFd = std_fs::File::open(nodes.at("n")).unwrap().into();
    for name in [c"pipe", c"socket"] {
        hasher.hash_entry(root.as_fd(), name, libc::DT_REG, name.to_bytes()).unwrap();
    }
    let tree = hasher.into_tree(c"n".to_owned(), root);
    assert!(tree.faults[0].starts_with("pipe changed while it was read"), "{:?}", tree.faults);
    assert!(tree.faults[1].starts_with("socket changed while it was read"), "{:?}", tree.faults);
}

#[test]
fn names_may_be_any_bytes() {
    let nodes = NodesFolder::new("bytes");
    let strange = std::ffi::OsStr::from_bytes(b"n\xff\n");
    std_fs::create_dir(nodes.path.join(strange)).unwrap();
    std_fs::write(nodes.path.join(strange).join(std::ffi::OsStr::from_bytes(b"\xc3\x28\x1b[1m")), "1").unwrap();
    assert_eq!(nodes.list(), [c"n\xff\n".to_owned()]);
    let tree = nodes.read(c"n\xff\n");
    assert_eq!(tree.faults, [""; 0]);
    assert_eq!(tree.files[0].path, b"\xc3\x28\x1b[1m");
    assert_eq!(tree.read_content(&tree.files[0], 9), Ok(b"1".to_vec()));
}

#[test]
fn a_node_that_is_a_link_is_not_followed() {
    let nodes = NodesFolder::new("link");
    nodes.write("elsewhere/__init__.py", b"1");
    symlink("elsewhere", nodes.at("n")).unwrap();
    let tree = nodes.read(c"n");
    assert_eq!(tree.faults, ["n is a link to elsewhere: put the node itself there, not a link"]);
    assert_eq!((tree.digest, paths(&tree)), (None, vec!["n".to_string()]));
}

#[test]
fn a_file_alone_is_a_node_and_not_the_same_as_a_directory_with_it() {
    let nodes = NodesFolder::new("single");
    nodes.write("one.py", b"1");
    nodes.write("dir/one.py", b"1");
    nodes.write("two.py", b"1");
    let tree = nodes.read(c"one.py");
    assert_eq!(paths(&tree), ["one.py"]);
    assert_eq!(tree.read_content(&tree.files[0], 1), Ok(b"1".to_vec()));
    assert_ne!(nodes.digest(c"one.py"), nodes.digest(c"dir"));
    assert_ne!(nodes.digest(c"one.py"), nodes.digest(c"two.py"));
    for name in [c"", c".", c"..", c"dir/one.py", c"../x"] {
        assert_eq!(read_node(&nodes.open(), name).err(), Some(Errno(libc::EINVAL)));
    }
    assert_eq!(read_node(&nodes.open(), c"none").err(), Some(Errno(libc::ENOENT)));
}

#[test]
fn nodes_are_what_comfyui_loads() {
    let nodes = NodesFolder::new("names");
    for name in
        ["b/__init__.py", ".hidden/x", "a.py", ".a.py", "off.disabled/x", "off.py.disabled", "x.PY", "README.md"]
    {
        nodes.write(name, b"1");
    }
    for name in [".py", "..py", "x.pyc", "example.py.example", "B.Disabled/x", "A/x", ".disabled/x"] {
        nodes.write(name, b"1");
    }
    symlink("b", nodes.at("link")).unwrap();
    symlink("nowhere", nodes.at("link.disabled")).unwrap();
    assert!(Command::new("mkfifo").arg(nodes.at("pipe.py")).status().unwrap().success());
    std_fs::create_dir(nodes.at("__pycache__")).unwrap();
    let expected = [c".a.py", c".hidden", c"A", c"B.Disabled", c"a.py", c"b", c"link"];
    assert_eq!(nodes.list(), expected.map(CStr::to_owned));
    let open = nodes.open();
    assert_eq!(list_nodes(&open).unwrap(), list_nodes(&open).unwrap(), "a directory may be asked twice");
    nodes.write("__pycache__/prestartup_script.py", b"1");
    assert!(nodes.list().contains(&c"__pycache__".to_owned()));
}

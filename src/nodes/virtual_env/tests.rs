use super::*;
use crate::nodes::tree::FileKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use takumi_test::require;

const SITE: &str = "lib/python3.11/site-packages";

/// A volume with environments in it, which goes when the test ends.
struct Volume {
    path: PathBuf,
}

impl Volume {
    fn new(name: &str) -> Volume {
        let path = std::env::temp_dir().join(format!("takumi-test-overlay-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Volume { path: path.canonicalize().unwrap() }
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn at(&self, path: &str) -> CString {
        CString::new(self.path.join(path).as_os_str().as_bytes()).unwrap()
    }

    fn own(&self) -> CString {
        CString::new(self.path.as_os_str().as_bytes()).unwrap()
    }

    fn read(&self) -> Tree {
        read_tree(&self.at("venv")).unwrap()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn paths(tree: &Tree) -> Vec<String> {
    tree.files.iter().map(|file| String::from_utf8(file.path.clone()).unwrap()).collect()
}

#[test]
fn an_environment_is_what_has_a_configuration_on_a_volume() {
    let volume = Volume::new("found");
    for name in ["venv", "b/deeper", "venv.new"] {
        volume.write(&format!("{name}/pyvenv.cfg"), "");
    }
    volume.write("plain/x", "");
    volume.write("file", "");
    symlink("venv", volume.path.join("link")).unwrap();
    let expected = vec![volume.at("venv"), volume.at("venv.new")];
    assert_eq!(find_writable(&[volume.own()], None), expected);
    let slash = CString::new([volume.own().as_bytes(), b"/"].concat()).unwrap();
    assert_eq!(find_writable(&[slash, volume.own()], None), expected, "each once");
    assert_eq!(find_writable(&[volume.at("venv")], None), [volume.at("venv")], "a volume itself");
    assert!(find_writable(&[c"/takumi-test-none".to_owned()], None).is_empty());
    // What VIRTUAL_ENV leads to, at any depth, where others than root may write.
    for name in ["venv", "b/deeper", "plain"] {
        std::fs::set_permissions(volume.path.join(name), PermissionsExt::from_mode(0o777)).unwrap();
    }
    assert_eq!(find_writable(&[], Some(&volume.at("b/deeper/"))), [volume.at("b/deeper")]);
    assert_eq!(find_writable(&[], Some(&volume.at("link"))), [volume.at("venv")]);
    assert!(find_writable(&[], Some(&volume.at("plain"))).is_empty());
}

#[test]
fn a_baked_environment_that_nobody_writes_is_left_out() {
    require!(root);
    let volume = Volume::new("baked");
    volume.write("venv/pyvenv.cfg", "");
    let baked = find_writable(&[], Some(&volume.at("venv")));
    assert!(baked.is_empty(), "root itself may write there, and COMMAND may not");
    volume.write("deep/er/pyvenv.cfg", "");
    let on_volume = find_writable(&[volume.own()], Some(&volume.at("deep/er")));
    assert_eq!(
        on_volume,
        [volume.at("deep/er"), volume.at("venv")],
        "a volume is COMMAND's, whoever owns what is in it now"
    );
    let answer = crate::sys::forked_task::run(std::time::Duration::from_secs(60), 64, |child| {
        use crate::sys::{GroupId, UserId, credentials};
        if credentials::set_groups(&[]).is_err()
            || credentials::set_group_ids(GroupId(65534)).is_err()
            || credentials::set_user_ids(UserId(65534)).is_err()
        {
            return;
        }
        let baked = find_writable(&[], Some(&volume.at("venv"))).len() as u8;
        let on_volume = find_writable(&[volume.own()], Some(&volume.at("venv"))).len() as u8;
        child.write_output(&[baked, on_volume]).unwrap();
    });
    assert_eq!(answer.unwrap().bytes, [0, 1]);
}

#[test]
fn code_that_runs_by_itself_is_taken_in_and_nothing_else() {
    let volume = Volume::new("taken");
    let taken = [
        "bin/git_is_not_here".replace("git_is_not_here", "ls"),
        "bin/python3.11".to_string(),
        format!("{SITE}/Pkg-1.2.dist-info/METADATA"),
        format!("{SITE}/__pycache__/six.cpython-311.pyc"),
        format!("{SITE}/a.pth"),
        format!("{SITE}/b.start"),
        format!("{SITE}/old-1.egg-info"),
        format!("{SITE}/old-2.egg-info/PKG-INFO"),
        format!("{SITE}/pkg/sub/only.pyc"),
        format!("{SITE}/sitecustomize/__init__.py"),
        format!("{SITE}/sitecustomize/data/x.bin"),
        format!("{SITE}/usercustomize.py"),
        "lib64/python3.11/site-packages/c.pth".to_string(),
        "local/lib/python3.12/dist-packages/d.pth".to_string(),
        "pyvenv.cfg".to_string(),
    ];
    let left = [
        "bin/takumi-test-tool".to_string(),
        "lib/other/site-packages/e.pth".to_string(),
        "lib/python3.11/f.pth".to_string(),
        format!("{SITE}/Pkg-1.2.dist-info/RECORD"),
        format!("{SITE}/pkg/__init__.py"),
        format!("{SITE}/pkg/METADATA"),
        format!("{SITE}/pkg/native.so"),
        format!("{SITE}/pkg/weights.pth"),
        format!("{SITE}/pkg/sitecustomize.py"),
        "share/g.pth".to_string(),
    ];
    for path in taken.iter().chain(&left) {
        volume.write(&format!("venv/{path}"), path);
    }
    let tree = volume.read();
    assert_eq!((paths(&tree), tree.faults.len()), (taken.to_vec(), 0));
    assert_eq!(tree.name, volume.at("venv"));
    let metadata = &tree.files[2];
    assert_eq!(tree.read_content(metadata, 100), Ok(taken[2].clone().into_bytes()));
    // The digest is of all that was taken in, and of nothing else.
    let before = tree.digest.unwrap();
    for path in &left {
        volume.write(&format!("venv/{path}"), "changed");
    }
    assert_eq!(volume.read().digest, Some(before));
    let mut seen = vec![before];
    for path in &taken {
        volume.write(&format!("venv/{path}"), "changed");
        let digest = volume.read().digest.unwrap();
        assert!(!seen.contains(&digest), "{path}");
        seen.push(digest);
    }
}

#[test]
fn links_are_seen_and_what_hides_code_behind_one_is_a_fault() {
    let volume = Volume::new("links");
    volume.write(&format!("venv/{SITE}/pkg/x.py"), "");
    symlink("lib", volume.path.join("venv/lib64")).unwrap();
    std::fs::create_dir(volume.path.join("venv/bin")).unwrap();
    symlink("/usr/bin/python3", volume.path.join("venv/bin/python")).unwrap();
    symlink("/elsewhere", volume.path.join(format!("venv/{SITE}/linked"))).unwrap();
    let tree = volume.read();
    assert_eq!((paths(&tree).len(), tree.faults.len()), (3, 0), "{:?}", tree.faults);
    assert_eq!(tree.files[0].kind, FileKind::Link(b"/usr/bin/python3".to_vec()));
    let before = tree.digest.unwrap();
    std::fs::remove_file(volume.path.join("venv/bin/python")).unwrap();
    symlink("/data/python3", volume.path.join("venv/bin/python")).unwrap();
    assert_ne!(volume.read().digest.unwrap(), before);
    for path in ["a.pth", "sitecustomize", "pkg/__pycache__", "pkg/y.pyc"] {
        let link = volume.path.join(format!("venv/{SITE}/{path}"));
        symlink("/elsewhere", &link).unwrap();
        let tree = volume.read();
        assert_eq!(tree.faults, [format!("{SITE}/{path} is a link: replace it by what it points to")]);
        assert_eq!(tree.digest, None);
        std::fs::remove_file(link).unwrap();
    }
    std::fs::rename(volume.path.join("venv/lib/python3.11"), volume.path.join("venv/lib/real")).unwrap();
    symlink("real", volume.path.join("venv/lib/python3.11")).unwrap();
    let fault = "lib/python3.11 is a link to real: replace it by what it points to";
    assert_eq!(volume.read().faults, [fault]);
    symlink("venv", volume.path.join("other")).unwrap();
    let tree = read_tree(&volume.at("other")).unwrap();
    let fault = "other is a link to venv: replace it by what it points to";
    assert_eq!((tree.faults, tree.digest), (vec![fault.to_string()], None));
}

#[test]
fn what_is_no_environment_is_an_error() {
    let volume = Volume::new("none");
    volume.write("file", "");
    assert_eq!(read_tree(&volume.at("none")).err(), Some(Errno(libc::ENOENT)));
    assert_eq!(read_tree(&volume.at("file")).err(), Some(Errno(libc::ENOTDIR)));
    for path in [c"", c"/", c"venv"] {
        assert_eq!(read_tree(path).err(), Some(Errno(libc::EINVAL)));
    }
}

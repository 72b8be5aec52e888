use super::*;
use std::collections::BTreeMap;

/// A tree that lies nowhere: names with what they are.
struct TestNode {
    files: Vec<File>,
    contents: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl TestNode {
    fn new() -> Self {
        TestNode { files: Vec::new(), contents: BTreeMap::new() }
    }

    fn with(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        let begins = std::array::from_fn(|at| content.get(at).copied().unwrap_or_default());
        self.contents.insert(path.as_bytes().to_vec(), content.to_vec());
        self.push(path, FileKind::Plain { executable: false, magic: begins }, content.len())
    }

    fn push(mut self, path: &str, kind: FileKind, size: usize) -> Self {
        self.files.push(File { path: path.as_bytes().to_vec(), kind, size: size as u64, digest: [0; 32] });
        self
    }

    fn content(&self, file: &File, most: usize) -> Result<Vec<u8>, Errno> {
        let content = &self.contents[&file.path];
        if content.len() > most { Err(Errno(libc::EFBIG)) } else { Ok(content.clone()) }
    }

    fn check(&self, name: &str) -> Vec<(Behaviour, String)> {
        short(check_files(name.as_bytes(), &self.files, &|file, most| self.content(file, most)))
    }

    fn check_as_environment(&self) -> Vec<(Behaviour, String)> {
        let app = |path: &[u8]| path.starts_with(b"/app/");
        short(environment::check(b"/cache/venv", &self.files, &|file, most| self.content(file, most), &app))
    }
}

fn short(places: Vec<Occurrence>) -> Vec<(Behaviour, String)> {
    let place = |place: &Occurrence| {
        let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
        let detail = place.detail.as_ref().map(|detail| format!(" {detail}")).unwrap_or_default();
        (place.behaviour, format!("{}{line}{detail}", place.file))
    };
    places.iter().map(place).collect()
}

fn plain(found: &[(Behaviour, &str)]) -> Vec<(Behaviour, String)> {
    found.iter().map(|(behaviour, place)| (*behaviour, place.to_string())).collect()
}

#[test]
fn a_well_behaved_node_shows_nothing() {
    let node = TestNode::new()
        .with("__init__.py", "from .nodes import NODE_CLASS_MAPPINGS\nWEB_DIRECTORY = 'web'\n")
        .with("nodes.py", "import torch\n")
        .with("requirements.txt", "numpy\n")
        .with(
            "pyproject.toml",
            "[project]\ndependencies = ['numpy']\n[project.urls]\nRepository = 'https://x.example'\n",
        )
        .with("web/a.js", "eval('1')")
        .with("lpips/vgg.pth", b"\x80\x02}q\0import os\n")
        .with("lib/install.py", "")
        .with("model.pt", b"PK\x03\x04....PK\x01\x02")
        .push("latest", FileKind::Link(b"lib/install.py".to_vec()), 3);
    assert_eq!(node.check("my-node"), []);
}

#[test]
fn everything_beside_python_is_told() {
    let node = TestNode::new()
        .with("install.py", "")
        .with("prestartup_script.py", "")
        .with("requirements.txt", "numpy\na @ git+https://u:secret@x.example/a\n")
        .with("lib/x.bin", b"\x7fELF\x02\x01\x01\0")
        .with("lib/x.pyc", "")
        .with("a.pth", "import os; os.system('id')\n")
        .push("up\u{1b}[1m", FileKind::Link(b"../../x\ny".to_vec()), 3)
        .push("pipe", FileKind::Other, 0);
    assert_eq!(
        node.check("ComfyUI_LLMVISION"),
        plain(&[
            (
                Behaviour::KnownBad,
                "ComfyUI_LLMVISION ComfyUI_LLMVISION steals passwords (June 2024), https://github.com/AppleBotzz/ComfyUI_LLMVISION/issues/6"
            ),
            (Behaviour::RunsAtInstall, "install.py"),
            (Behaviour::RunsBeforeComfyui, "prestartup_script.py"),
            (Behaviour::PackagesFromElsewhere, "requirements.txt:2 a @ git+https://…@x.example/a"),
            (Behaviour::NativeCode, "lib/x.bin a program or library for Linux"),
            (Behaviour::CompiledPython, "lib/x.pyc compiled Python"),
            (Behaviour::RunsWithPython, "a.pth:1 import os; os.system('id')"),
            (Behaviour::LeavesNode, "up\\u{1b}[1m ../../x\\ny"),
            (Behaviour::LeavesNode, "pipe a socket, a pipe or a device"),
        ])
    );
}

#[test]
fn what_is_too_large_is_told() {
    let node = TestNode::new().with("requirements.txt", vec![b'\n'; MAX_LIST_BYTES + 1]);
    let found: Vec<Behaviour> = node.check("x").into_iter().map(|(behaviour, _)| behaviour).collect();
    assert_eq!(found, [Behaviour::PackagesFromElsewhere]);
}

#[test]
fn one_ability_does_not_crowd_out_another() {
    let node = TestNode::new().with("requirements.txt", "./x\n".repeat(5000)).with("b.so", "");
    let found = node.check("x");
    assert_eq!(found.len(), MAX_OCCURRENCES as usize + 1);
    assert_eq!(found.last().map(|(behaviour, _)| *behaviour), Some(Behaviour::NativeCode));
}

#[test]
fn long_details_are_cut() {
    let line = format!("a @ https://x.example/{}\u{e9}\n", "b".repeat(500));
    let found = TestNode::new().with("requirements.txt", line).check("x");
    assert!(found[0].1.len() < 200 && found[0].1.ends_with('…'), "{found:?}");
}

#[test]
fn an_environment_shows_what_runs_by_itself() {
    let environment = TestNode::new()
        .with("lib/python3.11/site-packages/distutils-precedence.pth", "import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; enabled and __import__('_distutils_hack').add_shim(); \n")
        .with("lib/python3.11/site-packages/_base.pth", "import site; site.addsitedir('/app/venv/lib/python3.11/site-packages')\n")
        .with("lib/python3.11/site-packages/inside.pth", "./src\n/cache/venv/lib/x\n/app/venv/lib\n")
        .with("lib/python3.11/site-packages/evil.pth", "# a\nimport os; os.system('id')\n")
        .with("lib/python3.11/site-packages/out.pth", "/data/input\n../../../../x\n/cache/venvx\n/cache/venv/../x\n")
        .with("lib/python3.11/site-packages/litellm_init.pth", "import x\n")
        .with("lib/python3.11/site-packages/sitecustomize.py", "")
        .with("lib/python3.11/site-packages/usercustomize/__init__.py", "")
        .with("lib/python3.11/site-packages/numpy/__pycache__/x.cpython-311.pyc", "")
        .with("lib/python3.11/site-packages/numpy/core.so", b"\x7fELF\x02\x01\x01\0")
        .with("lib/python3.11/site-packages/ultralytics-8.3.41.dist-info/METADATA", "Metadata-Version: 2.1\r\nName: Ultralytics\r\nVersion: 8.3.41\r\n\r\nName: x\r\n")
        .with("lib/python3.11/site-packages/litellm-1.82.8.dist-info/METADATA", "")
        .with("lib/python3.11/site-packages/numpy-1.26.4.dist-info/METADATA", "Name: numpy\nVersion: 1.26.4\n\nultralytics==8.3.41\n")
        .with("bin/git", "#!/bin/sh\n")
        .push("bin/python", FileKind::Link(b"/usr/bin/python3".to_vec()), 3)
        .push("lib/python3.11/site-packages/a.pth", FileKind::Link(b"/data/a".to_vec()), 3);
    let found: Vec<(Behaviour, String)> = environment
        .check_as_environment()
        .into_iter()
        .map(|(behaviour, place)| (behaviour, place.replace("lib/python3.11/site-packages/", "")))
        .filter(|(behaviour, _)| *behaviour != Behaviour::KnownBad)
        .collect();
    assert_eq!(
        found,
        plain(&[
            (Behaviour::RunsWithPython, "evil.pth:2 import os; os.system('id')"),
            (Behaviour::LeavesNode, "out.pth:1 /data/input"),
            (Behaviour::LeavesNode, "out.pth:2 ../../../../x"),
            (Behaviour::LeavesNode, "out.pth:3 /cache/venvx"),
            (Behaviour::LeavesNode, "out.pth:4 /cache/venv/../x"),
            (Behaviour::RunsWithPython, "litellm_init.pth:1 import x"),
            (Behaviour::RunsWithPython, "sitecustomize.py"),
            (Behaviour::RunsWithPython, "usercustomize/__init__.py"),
            (Behaviour::CompiledPython, "numpy/__pycache__/x.cpython-311.pyc compiled Python"),
            (Behaviour::ReplacesPrograms, "bin/git"),
            (Behaviour::RunsWithPython, "a.pth /data/a"),
        ])
    );
    let bad: Vec<String> = environment
        .check_as_environment()
        .into_iter()
        .filter(|(behaviour, _)| *behaviour == Behaviour::KnownBad)
        .map(|(_, place)| place.rsplit('/').nth(7).map(str::to_string).unwrap_or(place))
        .collect();
    assert_eq!(bad.len(), 3, "{bad:?}");
}

#[test]
fn what_may_be_changed_is_not_fixed() {
    assert!(!environment::is_immutable(b"/nowhere/at/all"));
    assert!(!environment::is_immutable(b"relative"));
    assert!(!environment::is_immutable(b"/a\0b"));
    assert!(!environment::is_immutable(b"/dev/shm"));
}

use super::*;
use std::collections::BTreeMap;

/// A tree that lies nowhere: names with what they are.
struct Node {
    files: Vec<File>,
    contents: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    fn new() -> Self {
        Node { files: Vec::new(), contents: BTreeMap::new() }
    }

    fn with(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        let begins = std::array::from_fn(|at| content.get(at).copied().unwrap_or_default());
        self.contents.insert(path.as_bytes().to_vec(), content.to_vec());
        self.push(path, Kind::Plain { executable: false, begins }, content.len())
    }

    fn push(mut self, path: &str, kind: Kind, size: usize) -> Self {
        self.files.push(File { path: path.as_bytes().to_vec(), kind, size: size as u64, digest: [0; 32] });
        self
    }

    fn content(&self, file: &File, most: usize) -> Result<Vec<u8>, Errno> {
        let content = &self.contents[&file.path];
        if content.len() > most { Err(Errno(libc::EFBIG)) } else { Ok(content.clone()) }
    }

    fn look(&self, name: &str) -> Vec<(Ability, String)> {
        short(look_at(name.as_bytes(), &self.files, &|file, most| self.content(file, most)))
    }

    fn look_as_environment(&self) -> Vec<(Ability, String)> {
        let app = |path: &[u8]| path.starts_with(b"/app/");
        short(environment::look(b"/cache/venv", &self.files, &|file, most| self.content(file, most), &app))
    }
}

/// `file:line detail`.
fn short(places: Vec<Place>) -> Vec<(Ability, String)> {
    let place = |place: &Place| {
        let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
        let detail = place.detail.as_ref().map(|detail| format!(" {detail}")).unwrap_or_default();
        (place.ability, format!("{}{line}{detail}", place.file))
    };
    places.iter().map(place).collect()
}

fn plain(found: &[(Ability, &str)]) -> Vec<(Ability, String)> {
    found.iter().map(|(ability, place)| (*ability, place.to_string())).collect()
}

#[test]
fn a_well_behaved_node_shows_nothing() {
    let node = Node::new()
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
        .push("latest", Kind::Link(b"lib/install.py".to_vec()), 3);
    assert_eq!(node.look("my-node"), []);
}

#[test]
fn everything_beside_python_is_told() {
    let node = Node::new()
        .with("install.py", "")
        .with("prestartup_script.py", "")
        .with("requirements.txt", "numpy\na @ git+https://u:secret@x.example/a\n")
        .with("lib/x.bin", b"\x7fELF\x02\x01\x01\0")
        .with("lib/x.pyc", "")
        .with("a.pth", "import os; os.system('id')\n")
        .push("up\u{1b}[1m", Kind::Link(b"../../x\ny".to_vec()), 3)
        .push("pipe", Kind::Other, 0);
    assert_eq!(
        node.look("ComfyUI_LLMVISION"),
        plain(&[
            (
                Ability::KnownBad,
                "ComfyUI_LLMVISION ComfyUI_LLMVISION steals passwords (June 2024), https://github.com/AppleBotzz/ComfyUI_LLMVISION/issues/6"
            ),
            (Ability::RunsAtInstall, "install.py"),
            (Ability::RunsBeforeComfyui, "prestartup_script.py"),
            (Ability::PackagesFromElsewhere, "requirements.txt:2 a @ git+https://…@x.example/a"),
            (Ability::NativeCode, "lib/x.bin a program or library for Linux"),
            (Ability::CompiledPython, "lib/x.pyc compiled Python"),
            (Ability::RunsWithPython, "a.pth:1 import os; os.system('id')"),
            (Ability::LeavesNode, "up\\u{1b}[1m ../../x\\ny"),
            (Ability::LeavesNode, "pipe a socket, a pipe or a device"),
        ])
    );
}

#[test]
fn what_is_too_large_is_told() {
    let node = Node::new().with("requirements.txt", vec![b'\n'; MOST_LIST + 1]);
    let found: Vec<Ability> = node.look("x").into_iter().map(|(ability, _)| ability).collect();
    assert_eq!(found, [Ability::PackagesFromElsewhere]);
}

#[test]
fn one_ability_does_not_crowd_out_another() {
    let node = Node::new().with("requirements.txt", "./x\n".repeat(5000)).with("b.so", "");
    let found = node.look("x");
    assert_eq!(found.len(), MOST_PLACES as usize + 1);
    assert_eq!(found.last().map(|(ability, _)| *ability), Some(Ability::NativeCode));
}

#[test]
fn long_details_are_cut() {
    let line = format!("a @ https://x.example/{}\u{e9}\n", "b".repeat(500));
    let found = Node::new().with("requirements.txt", line).look("x");
    assert!(found[0].1.len() < 200 && found[0].1.ends_with('…'), "{found:?}");
}

#[test]
fn an_environment_shows_what_runs_by_itself() {
    let environment = Node::new()
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
        .push("bin/python", Kind::Link(b"/usr/bin/python3".to_vec()), 3)
        .push("lib/python3.11/site-packages/a.pth", Kind::Link(b"/data/a".to_vec()), 3);
    let found: Vec<(Ability, String)> = environment
        .look_as_environment()
        .into_iter()
        .map(|(ability, place)| (ability, place.replace("lib/python3.11/site-packages/", "")))
        .filter(|(ability, _)| *ability != Ability::KnownBad)
        .collect();
    assert_eq!(
        found,
        plain(&[
            (Ability::RunsWithPython, "evil.pth:2 import os; os.system('id')"),
            (Ability::LeavesNode, "out.pth:1 /data/input"),
            (Ability::LeavesNode, "out.pth:2 ../../../../x"),
            (Ability::LeavesNode, "out.pth:3 /cache/venvx"),
            (Ability::LeavesNode, "out.pth:4 /cache/venv/../x"),
            (Ability::RunsWithPython, "litellm_init.pth:1 import x"),
            (Ability::RunsWithPython, "sitecustomize.py"),
            (Ability::RunsWithPython, "usercustomize/__init__.py"),
            (Ability::CompiledPython, "numpy/__pycache__/x.cpython-311.pyc compiled Python"),
            (Ability::ReplacesPrograms, "bin/git"),
            (Ability::RunsWithPython, "a.pth /data/a"),
        ])
    );
    let bad: Vec<String> = environment
        .look_as_environment()
        .into_iter()
        .filter(|(ability, _)| *ability == Ability::KnownBad)
        .map(|(_, place)| place.rsplit('/').nth(7).map(str::to_string).unwrap_or(place))
        .collect();
    assert_eq!(bad.len(), 3, "{bad:?}");
}

#[test]
fn what_may_be_changed_is_not_fixed() {
    assert!(!environment::fixed(b"/nowhere/at/all"));
    assert!(!environment::fixed(b"relative"));
    assert!(!environment::fixed(b"/a\0b"));
    assert!(!environment::fixed(b"/dev/shm"));
}

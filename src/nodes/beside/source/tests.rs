use super::*;

fn signs(source: impl AsRef<[u8]>) -> Vec<Sign> {
    let mut signs = Vec::new();
    look(source.as_ref(), &mut |sign| signs.push(sign));
    signs.sort();
    signs
}

fn abilities(source: impl AsRef<[u8]>) -> Vec<Ability> {
    let mut abilities: Vec<Ability> = signs(source).into_iter().map(|(ability, _, _)| ability).collect();
    abilities.dedup();
    abilities
}

/// Each of them alone, one line down.
fn all_are(ability: Ability, sources: &[&str]) {
    for source in sources {
        let found = signs(format!("\n{source}\n"));
        assert!(found.iter().any(|(found, line, _)| *found == ability && *line >= 2), "{source}: {found:?}");
        // The control: the same in a comment or a string is nothing.
        let comment: String = source.lines().map(|line| format!("# {line}\n")).collect();
        assert_eq!(signs(&comment), [], "{comment}");
    }
}

#[test]
fn calls_by_a_hidden_name_are_told() {
    all_are(
        Ability::HidesCalls,
        &[
            "__import__('os').system('id')",
            "__import__(name)",
            "__import__('o' + 's')",
            "f = __import__",
            "importlib.import_module('os')",
            "importlib.import_module(name)",
            "import_module(f'{a}{b}')",
            "getattr(os, 'system')('id')",
            "getattr(os, name)('id')",
            "getattr(x, 'sys' + 'tem')",
            "getattr(x, 'sys' 'tem')",
            "getattr(x, f'sys{\"tem\"}')",
            "getattr(x, '\\x73ystem')",
            "getattr(x, 'metsys'[::-1])",
            "getattr(x, ''.join(chr(c) for c in y))",
            "getattr(x, base64.b64decode(y).decode())",
            "getattr(__import__('x'), y)",
            "getattr(builtins, 'ex' + 'ec')",
            "operator.attrgetter('system')(os)",
            "os.__getattribute__('system')",
            "globals()[x](1)", /* called at once */
            "globals()['__builtins__']",
            "vars(os)['system']",
            "os.__dict__['system']",
            "__builtins__['eval']('1')",
            "__builtins__.__dict__",
            "sys.modules['os'].system('id')",
            "run = eval",
            "map(exec, lines)",
            "{'a': exec}",
            "[eval][0]('1')",
            "@exec\n@input\nclass A: pass",
            "def f(): return eval",
            "from builtins import exec as e",
            "shutil.os.system('id')",
            "f.__globals__['x']",
            "().__class__.__bases__[0].__subclasses__()",
            "exec(base64.b64decode('aWQ='))",
            "a = codecs.decode(x, 'rot13'); exec(a)",
            "chr(111)+chr(115)",
            "f'{__import__(\"os\").system(\"id\")}'",
            "f'{__import__('os').system('id')}'",
            "ｅval('1')",
            "𝓮𝔁𝓮𝓬('1')",
            "import zipimport",
        ],
    );
}

#[test]
fn long_encoded_strings_are_told() {
    let blob = "QUJD".repeat(600);
    assert_eq!(abilities(format!("x = '{blob}'")), [Ability::HidesCalls]);
    assert_eq!(abilities(format!("x = b'''{}'''", "QUJD\n".repeat(600))), [Ability::HidesCalls]);
    let pieces: String = (0..60).map(|_| format!("    '{}'\n", "4142".repeat(15))).collect();
    assert_eq!(abilities(format!("x = (\n{pieces})")), [Ability::HidesCalls]);
    assert_eq!(abilities(format!("x = b'{}'", "\\x41".repeat(600))), [Ability::HidesCalls]);
    assert_eq!(abilities(format!("x = '{}'", "a few words of prose. ".repeat(300))), []);
    assert_eq!(abilities(format!("x = '{}'", "-".repeat(3000))), []);
}

#[test]
fn other_ways_to_do_things_are_told() {
    all_are(
        Ability::Downloads,
        &[
            "import requests",
            "import numpy as np, httpx as h",
            "from urllib.request import urlopen",
            "from urllib import request",
            "import socket",
            "async with aiohttp.ClientSession() as s: pass",
            "torch.hub.load('a/b', 'c')",
            "from huggingface_hub import snapshot_download",
            "import urllib3.util",
        ],
    );
    all_are(
        Ability::RunsCommands,
        &[
            "import pty",
            "import posix",
            "await asyncio.create_subprocess_shell('id')",
            "os.posix_spawn('/bin/sh', [], {})",
            "os.dup2(s.fileno(), 0)",
            "a.system('id')",
        ],
    );
    all_are(
        Ability::InstallsPackages,
        &[
            "run([sys.executable, '-m', 'pip', 'install', 'x'])",
            "run(['uv', 'pip', 'install', 'x'])",
            "os.system('pip install x')",
            "os.system(f'{sys.executable} -m pip install x')",
            "run('apt-get install -y x', shell=True)",
            "import pip",
            "from pip._internal import main",
            "import ensurepip",
        ],
    );
    all_are(
        Ability::EvaluatesCode,
        &[
            "compile(x, 'y', 'exec')",
            "torch.hub.load('a/b', 'c')",
            "load(x, trust_remote_code=True)",
            "load(x, **{'trust_remote_code': True})",
            "runpy.run_path(x)",
            "importlib.util.spec_from_file_location(a, b)",
        ],
    );
    all_are(
        Ability::TurnsTlsOff,
        &[
            "get(x, verify=False)", "c.check_hostname = False", "c.verify_mode = ssl.CERT_NONE",
            "ssl._create_unverified_context()", "ssl._create_default_https_context = x",
        ],
    );
    all_are(
        Ability::Unpickles,
        &["np.load(x, allow_pickle=True)", "torch.load(x, weights_only=False)", "import joblib"],
    );
    all_are(
        Ability::NativeCode,
        &["ctypes.CDLL('x.so')", "ctypes.cdll.LoadLibrary(x)", "from torch.utils.cpp_extension import load"],
    );
    all_are(Ability::ChangesPermissions, &["os.chmod(x, 0o755)", "Path(x).chmod(0o755)", "os.setuid(0)"]);
    all_are(Ability::RunsWithPython, &["open(d + '/sitecustomize.py', 'w')"]);
    all_are(Ability::KnownBad, &["x = 'stratum+tcp://pool.example:3333'", "connect('connect.consrensys.com', 8080)"]);
}

#[test]
fn what_every_node_does_is_nothing() {
    let ordinary = r#"
"""A node. Install with: pip install -r requirements.txt"""
import os
import torch
import folder_paths
from aiohttp import web
from . import nodes, requests
from .socket import pip
import importlib
from importlib import import_module
from torch import compile as torch_compile

mod = importlib.import_module(".nodes", package=__name__)
mod = importlib.import_module(f".{name}", __name__)
mod = importlib.import_module("custom_nodes." + name)
mod = import_module('comfy.samplers')
web_directory = getattr(mod, "WEB_DIRECTORY", None)
block = getattr(self, f"block_{i}")
dtype = getattr(torch, name)
setattr(self, "a", getattr(self, attribute))
NAMES = globals()
globals()["A"] = 1
self.__dict__[key] = value
self.__dict__.update(x)
sys.modules[__name__].x = 1
sys.modules["my_module"] = mod
model.eval()
model = torch.compile(model)
pattern = re.compile("x")
def compile(x, eval=False, exec=None): pass
run(eval=True)
print("Please run: pip install x")
print("Please run " + "pip install x")
raise ImportError("x is missing: python -m pip install x")
logger.warning("pip install x")
name = "pip"
text = "to exec or to eval, import os; __import__('os').system('x')"
verify = True
load(x, weights_only=True, allow_pickle=False, trust_remote_code=False)
platform.system()
if platform.system() == "Windows": pass
eval_mode = 1
s = "".join(reversed(x))
y = chr(65)
z = os.path.join(a, b)
pipe = asyncio.subprocess.PIPE
family = getattr(self._socket, name)
image = Image.open(io.BytesIO(base64.b64decode(data)))
blocked = ["ultralytics==8.3.41", "AppleBotzz"]
torch.os_x = 1
class A:
    def eval(self): pass
    def __import__(self): pass
Größe = 1
"#;
    assert_eq!(signs(ordinary), []);
    assert_eq!(signs("# -*- coding: utf-8 -*-\nx = 1"), []);
    assert_eq!(signs("#!/usr/bin/python\n# vim: set fileencoding=latin-1 :\nx"), []);
}

#[test]
fn a_strange_encoding_is_told() {
    for source in
        ["# coding: utf-7\nx", "#!/x\n# -*- coding=UTF_7 -*-\nx", "# coding: unicode_escape", "\r\n# coding: gbk"]
    {
        assert_eq!(abilities(source), [Ability::HidesCalls], "{source:?}");
    }
    assert_eq!(signs("x = 'coding: utf-7'\n\n# coding: utf-7"), []);
}

#[test]
fn lines_are_those_of_the_source() {
    let source = "'''\n\n'''\r\nx = 1\r\n\\\r\n__import__(y)\nz = f'''\n{eval}'''\n";
    assert_eq!(signs(source).iter().map(|(_, line, _)| *line).collect::<Vec<_>>(), [6]);
}

/// Bytes that nobody chose (xorshift).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..length).map(|_| next() as u8).collect()
}

/// Signs of anything at all: each is on a line that there is.
fn placed(source: impl AsRef<[u8]>) {
    let source = source.as_ref();
    let lines = 1 + source.iter().filter(|byte| b"\r\n".contains(byte)).count();
    for (ability, line, words) in signs(source) {
        assert!((1..=lines).contains(&(line as usize)), "{ability:?} {words:?} on line {line} of {lines}");
    }
}

#[test]
fn no_bytes_make_it_fail() {
    let words: &[&[u8]] = &[
        b"getattr(", b"__import__(", b"import ", b"from ", b"f'", b"f\"\"\"", b"'''", b"{", b"}", b"(", b")", b"[",
        b"]", b",", b".", b"\\", b"\r", b"\n", b"'pip'", b"'install'", b"chr(1)+", b"globals()", b"exec", b"@", b"=",
        b"\xff", b"\0", b"# coding: ", b"'", b"\"", b" ", b"::-1]",
    ];
    for seed in 0..300 {
        let bytes = noise(seed, 2000);
        placed(&bytes);
        let source: Vec<u8> = bytes.iter().flat_map(|&byte| words[usize::from(byte) % words.len()]).copied().collect();
        placed(&source);
        for cut in [1, source.len() / 3, source.len() - 1] {
            placed(&source[..cut]);
        }
    }
    let wide: Vec<u8> = b"\xff\xfe".iter().copied().chain("import os\n".bytes().flat_map(|byte| [byte, 0])).collect();
    placed(wide);
    for source in [
        "", "\u{feff}", "\0", "\\", "'", "f'", "f'{", "f'{'", "f\"\"\"{", "r'\\", "getattr(", "import", "from",
        "import a as", "@", "exec",
    ] {
        placed(source);
    }
}

/// What is quadratic takes hours, and no test may.
#[test]
fn the_work_grows_with_the_size_alone() {
    const SIZE: usize = 1 << 17;
    for part in [
        "a", "(", "{", "[", ")", "'", "\"\"\"", "'''a'''", "f'", "f'{", "f'{f\"{", "\\", "\\\n", "#", "\n", "import ",
        "import a,", "from ", "getattr(", "getattr(a,", "__import__(", "globals()[", "exec(", "chr(1)+", "'a'",
        "'pip',", "x = 'pip install'\n", "a.", "\u{e9}", "\0", "1", " ", "\t#", "f'{a}'", "f'''{'''", "b\"\\x",
        "@exec", "import a;", "stratum+tc",
    ] {
        let source = part.repeat(SIZE / part.len());
        signs(&source);
    }
    signs("a".repeat(4 << 20));
}

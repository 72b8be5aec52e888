//! The rules of image/bandit, by the real Bandit: a table of sources, with what is told of each.

use crate::node::{TestNode, outcome};
use crate::scanners::bandit;
use takumi_init::for_tests::behaviour::Behaviour;
use takumi_init::for_tests::scan::Issue;
use takumi_test::require;

/// Each of the sources shows the ability by itself.
const ROWS: &[(Behaviour, &[&str])] = &[
    (
        Behaviour::HidesCalls,
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
            "globals()[x](1)",
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
            "ｅval('1')",
            "𝓮𝔁𝓮𝓬('1')",
            "import zipimport",
            "0.0.__class__.__base__.__subclasses__()",
            "1 .__class__.__mro__[1].__subclasses__()",
            "object.__subclasses__()",
            "import os as o; getattr(o, name)('id')",
            "from importlib import import_module as load; load(name)",
            "import importlib as i; i.import_module('o' + 's')",
            "from builtins import getattr as g; g(x, 'sys' + 'tem')",
            "from sys import modules as m; m['os']",
            "getattr(getattr(x, '__builtins__'), y)",
            "import_module('custom_nodes.' + x.decode())",
            "import_module(f'custom{x}.y')",
            "import_module('os' + '.path')",
            "run('metsys'[::-1])",
            "operator.attrgetter('sys' + 'tem')(os)",
            "globals().get('system')",
            "vars(os)[name]",
            "globals()['os']()",
            "# coding: latin-1\n__import__(x)",
        ],
    ),
    (
        Behaviour::Downloads,
        &[
            "import requests",
            "import numpy as np, httpx as h",
            "self.sock.connect(x)",
            "from urllib.request import urlopen",
            "from urllib import request",
            "import socket",
            "async with aiohttp.ClientSession() as s: pass",
            "torch.hub.load('a/b', 'c')",
            "from huggingface_hub import snapshot_download",
            "import urllib3.util",
            "from urllib import (\n    parse,\n    request,\n)",
            "import os, socket as s",
            "from huggingface_hub import hf_hub_download as d",
        ],
    ),
    (
        Behaviour::RunsCommands,
        &[
            "import pty",
            "import posix",
            "await asyncio.create_subprocess_shell('id')",
            "os.posix_spawn('/bin/sh', [], {})",
            "os.dup2(s.fileno(), 0)",
            "a.system('id')",
            r#"from os import system as s; s("id")"#,
            r#"import os as o; o.system("id")"#,
            r#"f"{a.popen(x)}""#,
        ],
    ),
    (
        Behaviour::InstallsPackages,
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
    ),
    (
        Behaviour::EvaluatesCode,
        &[
            "compile(x, 'y', 'exec')",
            "torch.hub.load('a/b', 'c')",
            "load(x, trust_remote_code=True)",
            "load(x, **{'trust_remote_code': True})",
            "runpy.run_path(x)",
            "importlib.util.spec_from_file_location(a, b)",
            "def f(trust_remote_code: bool = True): pass",
            r#"options["trust_remote_code"] = True"#,
            "from torch import hub; hub.load(x)",
        ],
    ),
    (
        Behaviour::TurnsTlsOff,
        &[
            "get(x, verify=False)",
            "c.check_hostname = False",
            "c.verify_mode = ssl.CERT_NONE",
            "ssl._create_unverified_context()",
            "ssl._create_default_https_context = x",
            r#"requests.get(x, **{"verify": False})"#,
            "from ssl import CERT_NONE",
            "env['GIT_SSL_NO_VERIFY'] = '1'",
            "def f(*, verify=False): pass",
        ],
    ),
    (Behaviour::Unpickles, &["np.load(x, allow_pickle=True)", "torch.load(x, weights_only=False)", "import joblib"]),
    (
        Behaviour::NativeCode,
        &[
            "ctypes.CDLL('x.so')",
            "ctypes.windll.kernel32.Sleep(1)",
            "ctypes.cdll.LoadLibrary(x)",
            "from torch.utils.cpp_extension import load",
        ],
    ),
    (
        Behaviour::ChangesPermissions,
        &["os.chmod(x, 0o755)", "Path(x).chmod(0o755)", "os.setuid(0)", "from os import chmod as c; c(x, 0)"],
    ),
    (Behaviour::RunsWithPython, &["open(d + '/sitecustomize.py', 'w')"]),
    (Behaviour::KnownBad, &["x = 'stratum+tcp://pool.example:3333'", "connect('connect.consrensys.com', 8080)"]),
    (Behaviour::CompiledPython, &["SourcelessFileLoader(a, b).load_module()"]),
];

/// What every node does.
const ORDINARY: &str = r#"
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
def train(model, eval):
    if eval or not eval: return eval is True
class B(A):
    @classmethod
    def all(cls): return cls.__subclasses__()
y = text[::-1] + f"{x:064b}"[::-1]
name = names.attrgetter("name")
sys.modules["os"] = sys.modules[name]
thing = globals()["os"]
thing = globals()[name]
thing = cache.get("system")
db.connect()
hub = sock.recv()
model = module.load(x)
a.system()
words = ["apt", "words", "uv"]
"#;

/// Texts that are too long to stand in a table, each with whether they are told.
fn long_texts() -> Vec<(String, bool)> {
    let pieces: String = (0..60).map(|_| format!("    '{}'\n", "4142".repeat(15))).collect();
    let letters: String = (0..60).map(|_| format!("    '{}'\n", "\\x41".repeat(10))).collect();
    let gap = " ".repeat(150);
    vec![
        (format!("x = '{}'", "QUJD".repeat(600)), true),
        (format!("x = b'''{}'''", "QUJD\n".repeat(600)), true),
        (format!("'''{}'''", "QUJD".repeat(600)), true),
        (format!("x = f'{{y}},{}'", "QUJD".repeat(600)), true),
        (format!("x = 'data:image/png; base64,{}'", "QUJD".repeat(600)), true),
        (format!("x = (\n{pieces})"), true),
        (format!("x = b'{}'", "\\x41".repeat(600)), true),
        (format!("x = (\n{letters})"), true),
        (format!("x = b'{}'", "\\x00\\xff".repeat(300)), true),
        (format!("x = 1;{gap}y = 2"), true),
        (format!("# {}", "a".repeat(2000)), true),
        (format!("x = '{}'", "a few words of prose. ".repeat(300)), false),
        (format!("x = '{}'", "-".repeat(3000)), false),
        (format!("x = 1\n{gap}\n\n#{gap}y\nx = 2{gap}# y\n"), false),
        (format!("x = '''#{}\n;{gap}y'''", "a b ".repeat(600)), false),
    ]
}

/// What our rules tell of each source, and that all of them were scanned.
fn scan_sources(sources: &[String]) -> Vec<Vec<Issue>> {
    let node = TestNode::of(&[]);
    for (number, source) in sources.iter().enumerate() {
        node.write(format!("{number:04}.py"), source.as_bytes());
    }
    let (issues, unscanned) = outcome(&bandit(), &node.tree()).unwrap();
    assert_eq!(unscanned, [], "{:?}", unscanned.first().map(|(number, _)| &sources[*number]));
    let mut told = vec![Vec::new(); sources.len()];
    for issue in issues.into_iter().filter(|issue| issue.test_id == "T100") {
        told[issue.file].push(issue);
    }
    told
}

#[test]
fn each_row_shows_its_ability_and_in_a_comment_shows_nothing() {
    require!(pip3);
    let rows = ROWS.iter().flat_map(|(ability, sources)| sources.iter().map(move |source| (*ability, *source)));
    let rows: Vec<(Behaviour, &str)> = rows.collect();
    // One line down: the place is where the source stands. An encoding is named in the first two.
    let sources: Vec<String> = rows.iter().map(|(_, source)| format!("\n{source}\n")).collect();
    let comment = |source: &String| source.lines().map(|line| format!("#{line}\n")).collect::<String>();
    let comments: Vec<String> = sources.iter().map(comment).collect();
    for ((ability, source), issues) in rows.iter().zip(scan_sources(&sources)) {
        let shown = issues.iter().any(|issue| issue.behaviour == Some(*ability) && issue.line >= 2);
        assert!(shown, "{source}: {ability:?} is not among {issues:?}");
    }
    for (source, issues) in comments.iter().zip(scan_sources(&comments)) {
        assert_eq!(issues, [], "{source}");
    }
}

#[test]
fn what_every_node_does_is_nothing() {
    require!(pip3);
    let plain = [
        "# -*- coding: utf-8 -*-\nx = 1",
        "#!/usr/bin/python\n# vim: set fileencoding=latin-1 :\nx",
        "",
        "\u{feff}x = 1",
    ];
    let mut sources = vec![ORDINARY.to_owned()];
    sources.extend(plain.map(str::to_owned));
    for (source, issues) in sources.iter().zip(scan_sources(&sources)) {
        assert_eq!(issues, [], "{source}");
    }
}

#[test]
fn long_texts_and_strange_encodings_are_told() {
    require!(pip3);
    let mut rows = long_texts();
    for source in ["# coding: utf-7\nx", "#!/x\n# -*- coding=UTF_7 -*-\nx", "\r\n# coding: gbk\nx"] {
        rows.push((source.to_owned(), true));
    }
    rows.push(("x = 'coding: utf-7'\n\n# coding: utf-7".to_owned(), false));
    let sources: Vec<String> = rows.iter().map(|(source, _)| source.clone()).collect();
    for ((source, expected), issues) in rows.iter().zip(scan_sources(&sources)) {
        let abilities: Vec<Behaviour> = issues.iter().filter_map(|issue| issue.behaviour).collect();
        assert_eq!(abilities, vec![Behaviour::HidesCalls; usize::from(*expected)], "{source}");
    }
}

#[test]
fn a_place_has_its_line_and_its_words() {
    require!(pip3);
    let source = "'''\n\n'''\r\nx = 1\r\nx = (a\r\n .os\r\n .path)\r\n__import__(\ny)\nz = f'''\n{eval}'''\n\
                  import urllib.request as u, requests.x\nget(verify = False)\nb64decode(x)\nexec(y)\nglobals()['system']\n\
                  open('https://github.com/AppleBotzz/x')";
    let issues = scan_sources(&[source.to_owned()]).remove(0);
    let places: Vec<String> =
        issues.iter().map(|issue| format!("{} {}", issue.line, issue.detail.as_deref().unwrap_or_default())).collect();
    let expected = [
        "6 os of another module",
        "8 __import__(\u{2026})",
        "11 eval by another name",
        "12 import of requests.x",
        "12 import of urllib.request",
        "13 verify=False",
        "14 b64decode, in a file with exec",
        "16 globals()[\u{2026}]",
        "17 github.com/AppleBotzz/ is where ComfyUI_LLMVISION came from, https://github.com/AppleBotzz/ComfyUI_LLMVISION/issues/6",
    ];
    assert_eq!(places, expected);
}

#[test]
fn one_ability_does_not_crowd_out_another() {
    require!(pip3);
    let issues = scan_sources(&["__import__(x)\n".repeat(5000) + "import requests\n"]).remove(0);
    assert_eq!(issues.len(), 1001);
    assert_eq!(issues.last().and_then(|issue| issue.behaviour), Some(Behaviour::Downloads));
}

/// Depths and widths at which a rule could give up: then the file was not scanned, and no other suffers.
#[test]
fn what_the_rules_cannot_read_is_not_scanned() {
    require!(pip3);
    let node = TestNode::of(&[("a.py", "__import__(x)\n")]);
    node.write("deep.py", format!("getattr(x, {}'a')", "'a' + ".repeat(3000)).as_bytes());
    node.write("dots.py", format!("x{}", ".os".repeat(100_000)).as_bytes());
    let (issues, unscanned) = outcome(&bandit(), &node.tree()).unwrap();
    assert!(issues.iter().any(|issue| issue.file == 0 && issue.behaviour == Some(Behaviour::HidesCalls)));
    assert_eq!(unscanned.iter().map(|(file, _)| *file).collect::<Vec<_>>(), [1, 2], "{unscanned:?}");
}

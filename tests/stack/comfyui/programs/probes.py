"""What libraries write, and where it may go. Each probe uses the library itself, returns what it saw, or raises."""

import contextlib
import importlib.util
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import traceback

CACHES = {}


def cache(function):
    CACHES[function.__name__] = function
    return function


def written(path):
    os.makedirs(path, exist_ok=True)
    file = os.path.join(path, "written.probe")
    with open(file, "w") as out:
        out.write("x")
    os.remove(file)
    return path


def said(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise OSError(f"{command[0]}: {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


def below(path, *folders):
    if not any(os.path.realpath(path).startswith(folder + "/") for folder in folders):
        raise OSError(f"{path} is not below {folders}")
    return path


@cache
def home():
    return written(os.path.expanduser("~"))


@cache
def xdg_cache():
    return written(os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "probe"))


@cache
def git_config():
    said("git", "config", "--global", "user.name", "probe")
    return said("git", "config", "--global", "user.name")


@cache
def matplotlib_fonts():
    done = subprocess.run([sys.executable, "-c", "import matplotlib.font_manager, matplotlib; print(matplotlib.get_cachedir())"], capture_output=True, text=True)
    if "temporary" in done.stderr or done.returncode != 0:
        raise OSError(done.stderr.strip()[-300:])
    return below(done.stdout.strip(), "/cache")


@cache
def matplotlib_picture():
    import matplotlib
    matplotlib.use("agg")
    from matplotlib import pyplot
    pyplot.plot([1, 2])
    picture = io.BytesIO()
    pyplot.savefig(picture)
    return len(picture.getvalue()) > 1000


@cache
def numba_cache():
    # On the read-only root, as a package's own functions are.
    import numba_probe
    numba_probe.doubled(2)
    return dict(hits=sum(numba_probe.doubled.stats.cache_hits.values()), at=below(numba_probe.doubled.stats.cache_path, "/cache"))


@cache
def huggingface_token():
    from huggingface_hub import constants, get_token
    os.makedirs(os.path.dirname(constants.HF_TOKEN_PATH), exist_ok=True)
    with open(constants.HF_TOKEN_PATH, "w") as file:
        file.write("hf_probe")
    assert get_token() == "hf_probe"
    return below(constants.HF_TOKEN_PATH, "/cache")


@cache
def huggingface_assets():
    from huggingface_hub import cached_assets_path
    return below(str(cached_assets_path("probe", "space", "part")), "/cache")


@cache
def huggingface_hub_cache():
    from huggingface_hub import constants, scan_cache_dir
    written(constants.HF_HUB_CACHE)
    scan_cache_dir()
    return below(constants.HF_HUB_CACHE, "/cache")


@cache
def transformers_modules():
    from transformers import dynamic_module_utils
    dynamic_module_utils.init_hf_modules()
    return below(dynamic_module_utils.HF_MODULES_CACHE, "/cache")


@cache
def torch_hub():
    import torch
    return written(below(torch.hub.get_dir(), "/cache"))


@cache
def torch_extensions():
    from torch.utils import cpp_extension
    return written(below(cpp_extension._get_build_directory("extension", False), "/cache"))


@cache
def torch_inductor():
    import torch
    from torch._dynamo.utils import counters
    from torch._inductor.runtime import cache_dir_utils
    # g++ builds it, and it is loaded from the cache.
    assert torch.compile(lambda x: (x.sin() + x).sum())(torch.zeros(64)) == 0
    return dict(hits=counters["inductor"]["fxgraph_cache_hit"], at=below(cache_dir_utils.cache_dir(), "/cache"))


@cache
def triton_cache():
    from triton.runtime.cache import get_cache_manager
    return below(get_cache_manager("00" * 32).put(b"x", "probe"), "/cache")


@cache
def cuda_cache():
    return below(written(os.environ["CUDA_CACHE_PATH"]), "/cache")


def library(folder):
    os.makedirs(folder, exist_ok=True)
    # As a compiler would leave it: nothing of the kind is loaded yet.
    source = importlib.util.find_spec("_ctypes_test") or importlib.util.find_spec("_testcapi") or importlib.util.find_spec("audioop")
    copy = os.path.join(folder, "probe.so")
    shutil.copy(source.origin, copy)
    try:
        import ctypes
        ctypes.CDLL(copy)
    finally:
        os.remove(copy)
    return folder


def program(folder):
    os.makedirs(folder, exist_ok=True)
    copy = os.path.join(folder, "probe")
    shutil.copy("/bin/true", copy)
    try:
        said(copy)
    finally:
        os.remove(copy)
    return folder


def refused(function, folder):
    try:
        function(folder)
    except OSError as error:
        return str(error)
    raise OSError(f"{folder} lets programs start")


@cache
def library_from_caches():
    return library(os.environ.get("TRITON_CACHE_DIR") or os.path.expanduser("~/.triton"))


@cache
def program_from_caches():
    return program(os.environ.get("TORCH_EXTENSIONS_DIR") or os.path.expanduser("~/.cache/torch_extensions"))


@cache
def library_from_node():
    return library("/data/custom_nodes/probe")


@cache
def program_from_node():
    return program("/data/custom_nodes/probe")


@cache
def no_library_from_tmp():
    return refused(library, "/tmp/probe")


@cache
def no_program_from_tmp():
    return refused(program, "/tmp/probe")


@cache
def temporary_file():
    with tempfile.NamedTemporaryFile() as file:
        return below(file.name, "/tmp")


@cache
def shared_memory():
    from multiprocessing import shared_memory
    block = shared_memory.SharedMemory(create=True, size=1 << 20)
    block.close()
    block.unlink()
    return "1 MiB"


@cache
def pip_cache():
    return below(written(said(sys.executable, "-m", "pip", "cache", "dir")), "/cache")


@cache
def pip_sees_the_baked():
    return len(json.loads(said(sys.executable, "-m", "pip", "list", "--format", "json"))) > 20


@cache
def uv_freeze():
    said(sys.executable, "-m", "uv", "pip", "freeze")
    return below(said(sys.executable, "-m", "uv", "cache", "dir"), "/cache")


@cache
def database():
    os.makedirs("/data/user", exist_ok=True)
    with contextlib.closing(sqlite3.connect("/data/user/comfyui.db")) as connection, connection:
        connection.execute("create table if not exists probe (x)")
    return "/data/user/comfyui.db"


@cache
def compiled_python():
    """A node's compiled files are in memory; a planted one beside the node is not run."""
    folder = "/data/custom_nodes/probe"
    os.makedirs(f"{folder}/__pycache__", exist_ok=True)
    with open(f"{folder}/probe_node.py", "w") as file:
        file.write("WORD = 'source'\n")
    import py_compile
    evil = f"{folder}/evil.py"
    with open(evil, "w") as file:
        file.write("WORD = 'planted'\n")
    planted = f"{folder}/__pycache__/probe_node.{sys.implementation.cache_tag}.pyc"
    # Of the kind that is never compared with its source.
    py_compile.compile(evil, planted, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    sys.path.insert(0, folder)
    import probe_node
    sys.path.remove(folder)
    if probe_node.WORD != "source":
        raise OSError("the planted file ran")
    return below(probe_node.__cached__, "/tmp")


NEED_TORCH = {"torch_hub", "torch_extensions", "torch_inductor", "triton_cache"}


def caches(*names):
    """Every probe of CACHES, or those of these names, and what each said."""
    result = {}
    for name, probe in CACHES.items():
        if names and name not in names:
            continue
        if name in NEED_TORCH and importlib.util.find_spec("torch") is None:
            result[name] = {"left_out": "no torch here"}
            continue
        try:
            result[name] = {"held": probe()}
        except BaseException as error:
            result[name] = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()[-600:]}
    return result


def where():
    """Which Python this is, and where a package comes from."""
    def origin(name):
        spec = importlib.util.find_spec(name)
        return spec and spec.origin
    import packaging
    return {
        "executable": sys.executable,
        "path": os.environ["PATH"],
        "colorspacious": origin("colorspacious"),
        "numpy": origin("numpy"),
        "packaging": packaging.__version__,
        "no_proxy": os.environ.get("NO_PROXY"),
    }


def fetch(url, *words):
    """GET by aiohttp's default session, as ComfyUI's API nodes do it."""
    import asyncio
    import aiohttp

    async def get():
        options = {"trust_env": False} if "untrusting" in words else {}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20), **options) as session:
            async with session.get(url, ssl=False) as answer:
                return {"status": answer.status, "body": await answer.text()}
    try:
        return asyncio.run(get())
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def several(*urls):
    return {url: fetch(*url.split("#")) for url in urls}


def loopback(*_):
    """A server of this container's own, with a proxy set."""
    import http.server
    import threading
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return fetch(f"http://127.0.0.1:{server.server_port}/")


def serve():
    """HTTP on 80 and HTTPS on 443 that say who they are."""
    import http.server
    import ssl
    import threading
    import trustme

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"the api")

    plain = http.server.ThreadingHTTPServer(("0.0.0.0", 80), Answer)
    secure = http.server.ThreadingHTTPServer(("0.0.0.0", 443), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("api").configure_cert(context)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    print("ready", flush=True)
    secure.serve_forever()


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    print(json.dumps(globals()[name](*words)), flush=True)

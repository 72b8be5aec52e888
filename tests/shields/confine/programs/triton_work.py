"""COMMAND of packages.rs: Triton's way from a kernel in Python to a GPU's machine code, and the stub that it lets gcc build. Without a GPU
nothing is launched."""

import os
import subprocess
import sys

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia import driver

CACHE = os.environ["TRITON_CACHE_DIR"]


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    tl.store(out + at, tl.load(x + at, mask=inside) + tl.load(y + at, mask=inside), mask=inside)


def kernel():
    signature = {"x": "*fp32", "y": "*fp32", "out": "*fp32", "n": "i32"}
    source = triton.compiler.ASTSource(fn=add, signature=signature, constants={"BLOCK": 256})
    made = triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm
    assert "tt.load" in made["ttir"] and "blocked" in made["ttgir"] and "define" in made["llir"], made.keys()
    assert ".target sm_80" in made["ptx"] and made["cubin"][:4] == b"\x7fELF", made["ptx"]
    return made["cubin"]


def stub():
    """What Triton builds for every process with a GPU. Calls into CUDA stay open: there is none here."""
    driver.library_dirs = lambda: []
    driver.libraries = []
    sys.setdlopenflags(os.RTLD_LAZY)
    source = os.path.join(os.path.dirname(driver.__file__), "driver.c")
    with open(source, encoding="utf-8") as file:
        module = driver.compile_module_from_src(file.read(), "cuda_utils")
    assert module.__file__.startswith(CACHE + "/"), module.__file__
    return module


def kept():
    """The files of the cache and when each was written."""
    files = (os.path.join(folder, name) for folder, _, names in os.walk(CACHE) for name in names)
    return {file: os.stat(file).st_mtime_ns for file in files}


def filters():
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(line for line in file if line.startswith("Seccomp_filters"))


if __name__ == "__main__":
    before = kept()
    kernel()
    stub()
    kinds = {file.rpartition(".")[2] for file in kept()}
    assert {"cubin", "llir", "ptx", "so", "ttgir", "ttir"} <= kinds, kinds
    if "again" in sys.argv:
        assert kept() == before, "made a second time"
    else:
        # A second process, without a compiler, finds all of it.
        subprocess.run([sys.executable, __file__, "again"], check=True, env={**os.environ, "PATH": "/nowhere"})
        print(filters(), "done", sep="")

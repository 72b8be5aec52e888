"""What the start knew: the private key of the .env, the secret's file. The pattern is written so that it does not find itself."""

import ctypes
import os
import re
import resource

from attack import Blocked, Impossible, attack, call, until

# DOTENV_PRIVATE_KEY of the test begins so and goes on with 58 more of these digits.
KEY = re.compile(rb"5ec4e7[0-9a-f]{58}")


def search(what):
    """Succeeds where the key is."""
    if not KEY.search(what):
        raise Blocked("not there")


@attack
def find_the_key_in_the_environment():
    search(open("/proc/self/environ", "rb").read())


@attack
def find_the_key_in_its_own_memory():
    """Whole: what PID 1 left behind at the fork."""
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if "r" in rights and "[v" not in line:
                low, high = (int(number, 16) for number in span.split("-"))
                memory.seek(low)
                try:
                    if KEY.search(memory.read(high - low)):
                        return
                except OSError:
                    pass
    raise Blocked("not there")


@attack
def find_the_key_in_any_process():
    """/proc/PID/environ and cmdline of whatever lives here, for a while: probes come and go."""
    own = {str(os.getpid()), str(os.getppid())}

    def look():
        for pid in os.listdir("/proc"):
            if not pid.isdigit() or pid in own:
                continue
            for file in ("environ", "cmdline"):
                try:
                    if KEY.search(open(f"/proc/{pid}/{file}", "rb").read()):
                        return True
                except OSError:
                    pass
        return False

    if not until(look, 1):
        raise Blocked("no process that shows it")


@attack
def find_the_key_in_files():
    for top in ("/run", "/tmp", "/dev/shm", "/data", "/state", "/var"):
        for folder, _, names in os.walk(top):
            for name in names:
                try:
                    with open(os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                        if KEY.search(file.read(1 << 20)):
                            return
                except OSError:
                    pass
    raise Blocked("not there")


@attack
def find_the_key_in_the_kernels_log():
    """What it reads is no secret of the start; that it may read at all is the hole."""
    call("syslog", 3, ctypes.create_string_buffer(4096), 4096)


@attack
def read_the_token_that_the_app_is_given():
    if not os.environ.get("TOKEN"):
        raise Blocked("not there")


@attack
def leave_a_core_file():
    with open("/proc/sys/kernel/core_pattern") as file:
        pattern = file.read().strip()
    if pattern.startswith("|") or "/" in pattern:
        raise Impossible("this host's core_pattern leads elsewhere")
    child = os.fork()
    if child == 0:
        os.chdir("/data")
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except (OSError, ValueError):
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        os.abort()
    _, status = os.waitpid(child, 0)
    found = [name for name in os.listdir("/data") if name.startswith("core")]
    for name in found:
        os.unlink("/data/" + name)
    if not found:
        raise Blocked("--ulimit core=0")


@attack
def write_into_the_log_as_init():
    """COMMAND and `init` share stderr. The test looks whether it is in the engine's log."""
    os.write(2, b"init: identity  pass     unprivileged          forged by COMMAND\n")

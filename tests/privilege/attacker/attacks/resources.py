"""What one app may take. The limits of the container keep this machine from harm; the controls have wide ones."""

import errno
import os
import resource
import signal

from attack import attack

CHILDREN, MEGABYTES = 400, 48


@attack
def fork_without_end():
    """Succeeds at 400: the hardened container allows 256."""
    children = []
    try:
        for _ in range(CHILDREN):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


def fill(folder):
    """48 MiB: more than the hardened container's tmpfs has."""
    path = os.path.join(folder, "full")
    block = bytes(1 << 20)
    try:
        with open(path, "wb") as file:
            for _ in range(MEGABYTES):
                file.write(block)
    finally:
        if os.path.exists(path):
            os.unlink(path)


@attack
def fill_tmp():
    fill("/tmp")


@attack
def fill_run():
    fill("/run")


@attack
def fill_shared_memory():
    fill("/dev/shm")


@attack
def fill_the_volume():
    fill("/data")


@attack
def take_all_memory():
    """Succeeds at 500 MiB: the hardened container has 256. This process offers itself to the kernel."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    taken = []
    for _ in range(50):
        taken.append(b"x" * (10 << 20))


@attack
def spare_itself_from_the_oom_killer():
    """The app's own process below 0 would leave PID 1 or the host's programs to be killed."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-1000")


@attack
def run_in_real_time():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))


@attack
def run_before_others():
    os.setpriority(os.PRIO_PROCESS, 0, -10)


@attack
def raise_its_own_limits():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard + 1))
    except ValueError:
        # Python's word for EPERM here.
        raise OSError(errno.EPERM, "setrlimit") from None

"""PID 1, the processes beside, and the way back to privileges."""

import ctypes
import os
import resource
import signal
import socket
import stat
import struct

from attack import Blocked, Impossible, attack, become_ordinary, call, checked, first_success, libc, reached, until

PTRACE_ATTACH, PTRACE_DETACH = 16, 17
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x20000


def sibling():
    """The pid of what `docker exec` started beside the app as the same user, outside the lock."""
    if not until(lambda: os.path.exists("/tmp/sibling"), 30):
        raise Impossible("no sibling came")
    with open("/tmp/sibling") as file:
        return int(file.read())


def read_memory(pid):
    """The first readable page that the kernel hands over."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if rights.startswith("r") and "[v" not in line:
                memory.seek(int(span.split("-")[0], 16))
                if memory.read(16):
                    return
    raise Blocked("no readable page")


def trace(pid):
    checked(libc.ptrace(PTRACE_ATTACH, pid, None, None))
    os.waitpid(pid, 0x40000000)
    checked(libc.ptrace(PTRACE_DETACH, pid, None, None))


def vm_read(pid):
    """Nothing is read: address 0 is not mapped. EFAULT comes after the permission."""
    there = (ctypes.c_ulong * 2)(0, 8)
    buffer = ctypes.create_string_buffer(8)
    here = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 8)
    reached("process_vm_readv", pid, here, 1, there, 1, 0)


@attack
def read_environ_of_pid_1():
    open("/proc/1/environ", "rb").read()


@attack
def read_memory_of_pid_1():
    read_memory(1)


@attack
def list_descriptors_of_pid_1():
    os.listdir("/proc/1/fd")


@attack
def read_the_rest_of_pid_1_in_proc():
    """Where it is, what it runs and maps, what it was given at its start."""
    attempts = [lambda name=name: os.readlink(f"/proc/1/{name}") for name in ("root", "cwd", "exe")]
    attempts += [lambda name=name: open(f"/proc/1/{name}", "rb").read(1) for name in ("maps", "auxv", "io", "syscall", "stack")]
    first_success([*attempts, lambda: os.listdir("/proc/1/map_files"), lambda: os.listdir("/proc/1/root/state")])


@attack
def take_a_descriptor_of_pid_1():
    call("pidfd_getfd", call("pidfd_open", 1, 0), 0, 0)


@attack
def write_files_of_pid_1_in_proc():
    os.close(os.open("/proc/1/oom_score_adj", os.O_WRONLY))


@attack
def trace_pid_1():
    trace(1)


@attack
def read_pid_1_by_process_vm_readv():
    vm_read(1)


@attack
def signal_pid_1():
    os.kill(1, 0)


@attack
def kill_pid_1_at_once():
    os.kill(1, signal.SIGKILL)
    os.kill(1, signal.SIGSTOP)

    def stopped():
        return open("/proc/1/stat").read().rsplit(") ", 1)[1][0] == "T"

    until(lambda: stopped() or not signals_wait_for_pid_1())
    if not stopped():
        raise Blocked("the kernel: PID 1 ignores KILL and STOP from inside")


@attack
def limit_pid_1_by_prlimit():
    soft, hard = resource.prlimit(1, resource.RLIMIT_NOFILE)
    resource.prlimit(1, resource.RLIMIT_NOFILE, (soft, hard))


@attack
def slow_down_pid_1():
    nice = os.getpriority(os.PRIO_PROCESS, 1)
    os.setpriority(os.PRIO_PROCESS, 1, nice + 1)


@attack
def pin_pid_1_to_a_processor():
    os.sched_setaffinity(1, os.sched_getaffinity(1))


@attack
def drown_pid_1_in_signals():
    """It succeeds if PID 1 no longer reaps an orphan. SIGCHLD ends no app."""
    os.kill(1, 0)
    for _ in range(20000):
        os.kill(1, signal.SIGCHLD)
    if reaps_orphans(1):
        raise Blocked("PID 1 goes on reaping")


def signals_wait_for_pid_1():
    """Whether it has yet to take one that was sent to it."""
    with open("/proc/1/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return any(int(fields[name], 16) for name in ("SigPnd", "ShdPnd"))


def reaps_orphans(count):
    """Leaves orphans that end, and says whether PID 1 took them all."""
    reader, writer = os.pipe()
    for _ in range(count):
        child = os.fork()
        if child == 0:
            grandchild = os.fork()
            if grandchild == 0:
                os._exit(0)
            os.write(writer, struct.pack("i", grandchild))
            os._exit(0)
        os.waitpid(child, 0)
    orphans = [struct.unpack("i", os.read(reader, 4))[0] for _ in range(count)]
    return until(lambda: not any(os.path.exists(f"/proc/{orphan}") for orphan in orphans))


@attack
def bury_pid_1_under_orphans():
    if reaps_orphans(100):
        raise Blocked("PID 1 reaps them")


@attack
def signal_a_sibling():
    os.kill(sibling(), 0)


@attack
def trace_a_sibling():
    trace(sibling())


@attack
def read_a_sibling_by_process_vm_readv():
    vm_read(sibling())


@attack
def read_memory_of_a_sibling():
    read_memory(sibling())


@attack
def read_environ_of_a_sibling():
    if b"SIBLING_SECRET" not in open(f"/proc/{sibling()}/environ", "rb").read():
        raise Blocked("not there")


@attack
def limit_a_sibling_by_prlimit():
    pid = sibling()
    become_ordinary()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, resource.prlimit(pid, resource.RLIMIT_NOFILE))


@attack
def connect_to_an_abstract_socket():
    """One that listens outside the lock."""
    sibling()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0takumi-test-sibling")


@attack
def connect_to_a_socket_file():
    """The same by a path."""
    sibling()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("/tmp/sibling.socket")


@attack
def trace_a_process_of_the_app():
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        trace(child)
    finally:
        os.kill(child, signal.SIGKILL)


@attack
def become_root():
    os.setresuid(0, 0, 0)


@attack
def become_group_root():
    os.setresgid(0, 0, 0)


@attack
def add_groups():
    os.setgroups([0, 6, 44])


@attack
def raise_capabilities():
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)(0x3F, 0x3F, 0, 0, 0, 0)
    call("capset", header, data)


@attack
def raise_ambient_capabilities():
    """From the bounding set by the inheritable one: what the next exec starts with."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    call("capget", header, data)
    data[2] = data[1]
    call("capset", header, data)
    checked(libc.prctl(47, 2, 0, 0, 0))


@attack
def run_a_setuid_program():
    """The one that the test left there has to be found first."""
    become_ordinary()
    found = []
    for folder, _, names in os.walk("/usr"):
        paths = (os.path.join(folder, name) for name in names)
        found += [path for path in paths if (mode := os.lstat(path).st_mode) & stat.S_ISUID and stat.S_ISREG(mode)]
    if "/usr/local/bin/python-setuid" not in found:
        raise Impossible("the test's setuid program is not found")
    ids = output("/usr/local/bin/python-setuid", "-c", "import os; print(os.geteuid())")
    if ids != b"0":
        raise Blocked("no_new_privs")


@attack
def run_a_program_with_capabilities():
    become_ordinary()
    line = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')][0])"
    if int(output("/usr/local/bin/python-capable", "-c", line), 16) == 0:
        raise Blocked("no_new_privs")


@attack
def run_a_setuid_program_of_its_own():
    """On the volume, made by root if the attacker is root: then anybody may become root by it."""
    import shutil

    path = "/data/own-setuid"
    shutil.copy("/usr/bin/python3", path)
    os.chmod(path, 0o4755)
    made_by = os.stat(path).st_uid
    become_ordinary()
    ids = output(path, "-c", "import os; print(os.geteuid())")
    if made_by != 0 or ids != b"0":
        raise Blocked("the file is the app's own user's")


def output(*words):
    """What a program prints; a refusal to run it is the kernel's word."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        try:
            os.execv(words[0], list(words))
        except OSError as error:
            os.write(writer, b"errno %d" % error.errno)
            os._exit(126)
    os.close(writer)
    os.waitpid(child, 0)
    printed = os.read(reader, 4096).strip()
    if printed.startswith(b"errno "):
        raise OSError(int(printed[6:]), "exec")
    return printed


@attack
def make_a_user_namespace():
    become_ordinary()
    call("unshare", CLONE_NEWUSER)


@attack
def make_a_user_namespace_by_clone():
    become_ordinary()
    child = call("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


@attack
def make_a_user_namespace_by_clone3():
    become_ordinary()
    arguments = (ctypes.c_uint64 * 11)(CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD)
    child = call("clone3", arguments, 88)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


@attack
def make_a_mount_namespace():
    call("unshare", CLONE_NEWNS)


@attack
def enter_the_namespace_of_pid_1():
    call("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)


@attack
def start_over_without_no_new_privs():
    """prctl(PR_SET_NO_NEW_PRIVS, 0): the flag knows one way only."""
    if libc.prctl(39, 0, 0, 0, 0) == 0:
        return
    checked(libc.prctl(38, 0, 0, 0, 0))


@attack
def type_into_the_terminal():
    """TIOCSTI: what is typed is read by whoever has the terminal next."""
    import fcntl
    import termios

    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        raise Impossible("the test's container has no terminal") from None
    fcntl.ioctl(terminal, termios.TIOCSTI, b" ")

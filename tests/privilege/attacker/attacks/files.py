"""What must not be written, opened or run."""

import ctypes
import errno
import os
import shutil
import stat

from attack import Blocked, Impossible, attack, call, first_success, libc, checked
from processes import output


def write_into(folder):
    path = os.path.join(folder, "takumi-test-written")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    os.unlink(path)


def open_for_writing(path):
    os.close(os.open(path, os.O_WRONLY))


@attack
def write_to_the_root():
    first_success([lambda folder=folder: write_into(folder) for folder in ("/", "/etc", "/usr/bin", "/var", "/mnt")])


@attack
def write_to_a_folder_that_the_image_left_open():
    """0777 in the image: only the mount or the lock stands before it."""
    write_into("/opt/open")


@attack
def empty_a_file_outside_the_volumes():
    """The app's user owns it; nothing is opened."""
    os.truncate("/opt/own", 0)


@attack
def change_the_mode_of_a_file_outside_the_volumes():
    os.chmod("/opt/own", 0o600)


@attack
def write_to_the_app():
    first_success([lambda: write_into("/app"), lambda: open_for_writing("/app/comfyui_standin.py")])


@attack
def write_to_python_itself():
    import json

    first_success([lambda: open_for_writing(json.__file__), lambda: write_into(os.path.dirname(json.__file__))])


@attack
def replace_init():
    path = "/init" if os.path.exists("/init") else "/tini"
    first_success([lambda: open_for_writing(path), lambda: os.rename(path, path + ".old")])


@attack
def overwrite_the_program_that_runs():
    """CVE-2019-5736: through /proc/PID/exe the runtime's own binary was overwritten. ETXTBSY comes after the permission."""
    def attempt(pid):
        try:
            open_for_writing(f"/proc/{pid}/exe")
        except OSError as error:
            if error.errno != errno.ETXTBSY:
                raise

    first_success([lambda: attempt("1"), lambda: attempt("self")])


@attack
def write_the_state():
    first_success([lambda: write_into("/state"), lambda: open_for_writing("/state/secret")])


@attack
def write_the_report():
    """What `init --check` trusts. The classic stack has none: there /run itself is tried."""
    first_success([lambda: open_for_writing("/run/takumi/report.json"), lambda: write_into("/run/takumi"), lambda: write_into("/run")])


@attack
def replace_the_report():
    first_success([lambda: os.rename("/run/takumi", "/run/taken"), lambda: os.mkdir("/run/takumi-test") or os.rmdir("/run/takumi-test")])


@attack
def write_proc_sys():
    first_success([lambda: open_for_writing("/proc/sys/kernel/core_pattern"), lambda: open_for_writing("/proc/sys/vm/swappiness")])


@attack
def write_sysrq():
    open_for_writing("/proc/sysrq-trigger")


@attack
def write_sys():
    attempts = ("/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/uevent_helper", "/sys/power/state")
    first_success([lambda path=path: open_for_writing(path) for path in attempts])


@attack
def write_a_cgroup():
    attempts = ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/memory.max"]
    first_success([lambda path=path: open_for_writing(path) for path in attempts])


@attack
def read_the_kernels_memory():
    def read(path):
        if not stat.S_ISCHR(os.stat(path).st_mode) and not os.stat(path).st_size:
            raise Blocked("the engine hides it")
        with open(path, "rb", buffering=0) as file:
            if not file.read(16):
                raise Blocked("the engine hides it")

    first_success([lambda: read("/proc/kcore"), lambda: read("/dev/mem")])


@attack
def read_the_secret_file_of_root():
    open("/run/secrets/token", "rb").read()


def disk():
    """Of the volume: what lies on it is the host's."""
    device = os.stat("/data").st_dev
    if os.major(device) == 0:
        raise Impossible("the volume is on no block device")
    return device


@attack
def open_the_disk():
    def read(path):
        if not stat.S_ISBLK(os.stat(path).st_mode):
            raise OSError(errno.ENOENT, "no disk")
        with open(path, "rb", buffering=0) as file:
            file.read(1)

    names = sorted(os.listdir("/dev"))
    first_success([lambda name=name: read("/dev/" + name) for name in names])


@attack
def make_a_node_for_the_disk():
    path = "/data/disk"
    os.mknod(path, stat.S_IFBLK | 0o600, disk())
    try:
        with open(path, "rb", buffering=0) as file:
            file.read(1)
    finally:
        os.unlink(path)


@attack
def make_a_node_for_memory():
    for folder in ("/tmp", "/data"):
        path = os.path.join(folder, "memory")
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 1))
        os.unlink(path)


@attack
def open_a_file_by_handle():
    """Out of the container by a guessed inode ("shocker"); needs DAC_READ_SEARCH, which `init` drops."""
    handle = ctypes.create_string_buffer(136)
    ctypes.memmove(handle, (ctypes.c_uint32 * 2)(128, 0), 8)
    mount_id = (ctypes.c_int * 1)()
    try:
        call("name_to_handle_at", -100, b"/data", handle, mount_id, 0)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EOVERFLOW):
            raise Impossible("this filesystem has no handles") from None
        raise
    os.close(call("open_by_handle_at", os.open("/data", os.O_RDONLY), handle, os.O_RDONLY))


@attack
def write_beside_a_mount():
    """What holds a mount point, or is one: whoever may rename it takes what is mounted away from under its path."""
    first_success([lambda: write_into("/run/secrets"), lambda: os.rename("/run/secrets", "/run/taken"), lambda: os.rename("/data", "/taken")])


@attack
def write_the_hosts_file():
    """Where the proxy is, and who answers for names."""
    first_success([lambda: open_for_writing("/etc/hosts"), lambda: open_for_writing("/etc/resolv.conf")])


def with_the_bit(bit, make):
    """Succeeds if a file that was made or changed so has it."""
    path = "/data/bit"
    try:
        make(path)
        kept = os.stat(path).st_mode & bit
    finally:
        if os.path.exists(path):
            os.unlink(path)
    if not kept:
        raise Blocked("the bit does not stay")


def made_and_changed(path, mode):
    open(path, "w").close()
    os.chmod(path, mode)


@attack
def set_the_setuid_bit():
    with_the_bit(stat.S_ISUID, lambda path: made_and_changed(path, 0o4755))


@attack
def make_a_setuid_file():
    """By every call that makes a file."""
    how = (ctypes.c_uint64 * 3)(os.O_CREAT | os.O_WRONLY, 0o4755, 0)
    first_success(
        [
            lambda: with_the_bit(stat.S_ISUID, lambda path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o4755))),
            lambda: with_the_bit(stat.S_ISUID, lambda path: os.mknod(path, stat.S_IFREG | 0o4755)),
            lambda: with_the_bit(stat.S_ISUID, lambda path: os.close(call("openat2", -100, b"/data/bit", how, 24))),
        ]
    )


@attack
def set_the_setgid_bit():
    with_the_bit(stat.S_ISGID, lambda path: made_and_changed(path, 0o2755))


@attack
def give_a_file_to_root():
    path = "/data/given"
    open(path, "w").close()
    try:
        os.chown(path, 0, 0)
    finally:
        os.unlink(path)


@attack
def run_a_program_from_tmp():
    shutil.copy("/bin/true", "/tmp/true")
    output("/tmp/true")


@attack
def run_a_program_from_the_volume():
    shutil.copy("/bin/true", "/data/true")
    output("/data/true")


@attack
def run_a_program_from_memory():
    descriptor = os.memfd_create("takumi-test")
    with open("/bin/true", "rb") as file:
        os.write(descriptor, file.read())
    output(f"/proc/self/fd/{descriptor}")


@attack
def talk_to_the_engine():
    """A socket such as docker.sock, root's, 0660, that somebody mounted."""
    import socket

    with socket.socket(socket.AF_UNIX) as client:
        client.connect("/run/docker.sock")


@attack
def read_out_of_the_volume_by_a_link():
    os.symlink("/state/secret", "/data/out")
    try:
        open("/data/out", "rb").read()
    finally:
        os.unlink("/data/out")


@attack
def hard_link_a_file_of_root():
    """What the next start's walk would give away with the name that lies in the volume."""
    places = ("/data/hard", "/tmp/hard", "/opt/open/hard", "/var/tmp/hard")
    sources = ("/state/secret", "/etc/passwd")

    def attempt(source, place):
        os.link(source, place)
        os.unlink(place)

    first_success([lambda s=source, p=place: attempt(s, p) for source in sources for place in places])

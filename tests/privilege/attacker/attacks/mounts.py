"""Mounts, and system calls that an app never needs and exploits of the kernel do."""

import ctypes
import os

from attack import attack, call, reached

MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
CWD = -100


@attack
def mount_a_tmpfs():
    call("mount", b"none", b"/mnt", b"tmpfs", 0, None)


@attack
def mount_by_the_new_calls():
    os.close(call("fsopen", b"tmpfs", 0))


@attack
def make_the_root_writable():
    call("mount", b"none", b"/", None, MS_REMOUNT | MS_BIND, None)


@attack
def copy_a_mount():
    os.close(call("open_tree", CWD, b"/", 1))


@attack
def change_a_mounts_options():
    call("mount_setattr", CWD, b"/mnt", 0, (ctypes.c_uint64 * 4)(0, 0, 0, 0), 32)
    reached("mount_setattr", CWD, b"/data", 0, (ctypes.c_uint64 * 4)(0, 1, 0, 0), 32)


@attack
def take_a_mount_away():
    """/proc/sys is made read-only by one."""
    reached("umount2", b"/proc/sys", 0)


@attack
def change_the_root():
    call("chroot", b"/data")


@attack
def pivot_the_root():
    reached("pivot_root", b"/nowhere", b"/nowhere")


@attack
def load_a_module():
    reached("init_module", None, 0, b"")


@attack
def load_another_kernel():
    reached("kexec_load", 0, 999, None, 0)


@attack
def reboot():
    reached("reboot", 1, 2, 3, 0)


@attack
def use_a_file_as_swap():
    reached("swapon", b"/nowhere", 0)


@attack
def set_the_clock():
    timex = (ctypes.c_long * 32)()
    ctypes.memmove(timex, (ctypes.c_uint32 * 1)(0x4000), 4)
    timex[11] = 1
    reached("adjtimex", timex)


@attack
def rename_the_host():
    call("sethostname", b"takumi-test", 11)


@attack
def load_a_bpf_program():
    attributes = (ctypes.c_uint32 * 8)(2, 4, 4, 1)
    os.close(call("bpf", 0, attributes, 16))


@attack
def open_userfaultfd():
    os.close(call("userfaultfd", 0))


@attack
def open_userfaultfd_for_user_mode():
    """UFFD_USER_MODE_ONLY: the kernel gives this one to everybody."""
    os.close(call("userfaultfd", 1))


@attack
def open_io_uring():
    os.close(call("io_uring_setup", 4, (ctypes.c_uint32 * 30)()))


@attack
def watch_by_perf():
    """PERF_TYPE_SOFTWARE, task clock, of itself, without the kernel's part."""
    attributes = (ctypes.c_uint64 * 16)()
    ctypes.memmove(attributes, (ctypes.c_uint32 * 2)(1, 128), 8)
    attributes[1] = 1
    attributes[5] = 0b1100000
    os.close(call("perf_event_open", attributes, 0, -1, -1, 0))


@attack
def keep_a_key_in_the_kernel():
    call("add_key", b"user", b"takumi-test", b"x", 1, -2)


@attack
def compare_pointers_of_the_kernel():
    call("kcmp", os.getpid(), os.getpid(), 1, 0, 0)

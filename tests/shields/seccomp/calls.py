"""Makes each call that image/seccomp.py removes, in a process of its own, and prints `NAME ERRNO` (0: it succeeded).

The arguments are wrong on purpose: a kernel that looks at the call says EINVAL, EFAULT or EBADF, and nothing happens to the machine. So EPERM
and ENOSYS can only be a filter's words, as long as the caller has every capability.
"""

import ctypes
import errno
import mmap
import os
import signal

libc = ctypes.CDLL(None, use_errno=True)
NONE = ctypes.c_void_p(None)
BAD = ctypes.c_void_p(1)
NOBODY = ctypes.c_long(-1)

# x86-64: arch/x86/entry/syscalls/syscall_64.tbl of the kernel.
CALLS = {
    "io_uring_setup": (425, 0, NONE),
    "io_uring_enter": (426, NOBODY, 0, 0, 0, NONE, 0),
    "io_uring_register": (427, NOBODY, 0, NONE, 0),
    "userfaultfd": (323, NOBODY),
    "add_key": (248, NONE, NONE, NONE, 0, 0),
    "keyctl": (250, 9999),
    "request_key": (249, NONE, NONE, NONE, 0),
    "bpf": (321, NOBODY, NONE, 0),
    "perf_event_open": (298, NONE, 0, NOBODY, NOBODY, 0),
    "fanotify_init": (300, 0x7FFFFFFF, 0),
    "fanotify_mark": (301, NOBODY, 0, ctypes.c_long(0), NOBODY, NONE),
    "ptrace": (101, 9999, NOBODY, NONE, NONE),
    "process_vm_readv": (310, os.getpid(), NONE, 0, NONE, 0, 0),
    "process_vm_writev": (311, os.getpid(), NONE, 0, NONE, 0, 0),
    "process_madvise": (440, NOBODY, NONE, ctypes.c_long(0), 0, 0),
    "kcmp": (312, NOBODY, NOBODY, 0, ctypes.c_long(0), ctypes.c_long(0)),
    "pidfd_getfd": (438, NOBODY, 0, 0),
    "unshare": (272, 0),
    "setns": (308, NOBODY, 0),
    "mount": (165, NONE, NONE, NONE, ctypes.c_long(0), NONE),
    "umount2": (166, NONE, 0),
    "pivot_root": (155, NONE, NONE),
    "chroot": (161, NONE),
    "mount_setattr": (442, NOBODY, NONE, 0, NONE, ctypes.c_long(0)),
    "move_mount": (429, NOBODY, NONE, NOBODY, NONE, 0),
    "open_tree": (428, NOBODY, NONE, 0),
    "fsopen": (430, NONE, 0),
    "fsconfig": (431, NOBODY, 0, NONE, NONE, 0),
    "fsmount": (432, NOBODY, 0, 0),
    "fspick": (433, NOBODY, NONE, 0),
    "open_by_handle_at": (304, NOBODY, NONE, 0),
    "name_to_handle_at": (303, NOBODY, NONE, NONE, NONE, 0),
    "kexec_load": (246, ctypes.c_long(0), ctypes.c_long(99), NONE, ctypes.c_long(0xFFFF)),
    "kexec_file_load": (320, NOBODY, NOBODY, ctypes.c_long(0), NONE, ctypes.c_long(0xFFFF)),
    "init_module": (175, BAD, ctypes.c_long(1), BAD),
    "finit_module": (313, NOBODY, NONE, 0x7FFFFFFF),
    "delete_module": (176, NONE, 0),
    "reboot": (169, 0, 0, 0, NONE),
    "swapon": (167, NONE, 0),
    "swapoff": (168, NONE),
    "acct": (163, BAD),
    "quotactl": (179, NOBODY, NONE, 0, NONE),
    "quotactl_fd": (443, NOBODY, NOBODY, 0, NONE),
    "settimeofday": (164, BAD, NONE),
    "clock_settime": (227, 0, NONE),
    "sethostname": (170, NONE, NOBODY),
    "setdomainname": (171, NONE, NOBODY),
    "syslog": (103, 9999, NONE, 0),
    "lookup_dcookie": (212, ctypes.c_long(-1), NONE, ctypes.c_long(0)),
    "vhangup": (153,),
    "iopl": (172, 9),
    "ioperm": (173, NOBODY, ctypes.c_long(1), 1),
    "modify_ldt": (154, 0, NONE, ctypes.c_long(0)),
    "vmsplice": (278, NOBODY, NONE, ctypes.c_long(0), 0),
    "get_mempolicy": (239, NONE, NONE, ctypes.c_long(0), NONE, NOBODY),
    "mbind": (237, ctypes.c_long(1), ctypes.c_long(1), 9999, NONE, ctypes.c_long(0), 0),
    "set_mempolicy": (238, 9999, NONE, ctypes.c_long(0)),
    "set_mempolicy_home_node": (450, ctypes.c_long(1), ctypes.c_long(1), ctypes.c_long(0), ctypes.c_long(1)),
    "migrate_pages": (256, 0x7FFFFFFF, ctypes.c_long(0), NONE, NONE),
    "move_pages": (279, 0x7FFFFFFF, ctypes.c_long(1), NONE, NONE, NONE, 0),
    # Held back by their arguments.
    "clone(CLONE_NEWNS)": (56, 0x00020000 | signal.SIGCHLD, NONE, NONE, NONE, NONE),
    "clone(CLONE_NEWCGROUP)": (56, 0x02000000 | signal.SIGCHLD, NONE, NONE, NONE, NONE),
    "clone(CLONE_NEWUTS)": (56, 0x04000000 | signal.SIGCHLD, NONE, NONE, NONE, NONE),
    "clone(CLONE_NEWIPC)": (56, 0x08000000 | signal.SIGCHLD, NONE, NONE, NONE, NONE),
    "clone(CLONE_NEWUSER)": (56, 0x10000000 | signal.SIGCHLD, NONE, NONE, NONE, NONE),
    "clone(CLONE_NEWPID)": (56, 0x20000000 | signal.SIGCHLD, NONE, NONE, NONE, NONE),
    "clone(CLONE_NEWNET)": (56, 0x40000000 | signal.SIGCHLD, NONE, NONE, NONE, NONE),
    "clone3": (435, NONE, ctypes.c_long(0)),
    "socket(AF_VSOCK)": (41, 40, 1, 0),
    "socket(AF_ALG)": (41, 38, 5, 0),
    "socket(AF_PACKET)": (41, 17, 3, 0),
    "socket(AF_KEY)": (41, 15, 3, 2),
    "socket(AF_RDS)": (41, 21, 5, 0),
    "socket(AF_CAN)": (41, 29, 3, 1),
    "socket(AF_TIPC)": (41, 30, 1, 0),
    "socket(AF_BLUETOOTH)": (41, 31, 1, 0),
    "socket(AF_XDP)": (41, 44, 3, 0),
    "socket(AF_INET, MPTCP)": (41, 2, 1, 262),
    "socket(AF_INET6, MPTCP)": (41, 10, 1, 262),
    "socket(AF_INET, SCTP)": (41, 2, 1, 132),
    # The kernel drops the upper half of these words, so a filter must too.
    "socket(AF_INET, MPTCP + 2^32)": (41, 2, 1, ctypes.c_long((1 << 32) | 262)),
    "socket(AF_VSOCK + 2^32)": (41, ctypes.c_long((1 << 32) | 40), 1, 0),
    "socketpair(AF_TIPC)": (53, 30, 1, 0, NONE),
    "personality(PER_LINUX32)": (135, 8),
    "personality(ADDR_NO_RANDOMIZE)": (135, 0x0040000),
}

# These must go on working, also with something in the half that the kernel drops.
ALLOWED = {
    "socket(AF_UNIX)": (41, 1, 1, 0),
    "socket(AF_INET, STREAM)": (41, 2, 1, 0),
    "socket(AF_INET, DGRAM, UDP)": (41, 2, 2, 17),
    "socket(AF_INET6, STREAM, TCP)": (41, 10, 1, 6),
    "socket(AF_NETLINK)": (41, 16, 3, 0),
    "socket(AF_INET + 2^32)": (41, ctypes.c_long((1 << 32) | 2), 1, 0),
    "personality(query)": (135, ctypes.c_long(0xFFFFFFFF)),
    "clone": (56, signal.SIGCHLD, NONE, NONE, NONE, NONE),
    "memfd_create": (319, ctypes.c_char_p(b"takumi-test"), 0),
    "statx": (332, -100, ctypes.c_char_p(b"/"), 0, 0, ctypes.create_string_buffer(256)),
}


def outcome(number, *arguments):
    """What the kernel says, told by a child's exit code: some of these calls change their caller."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    result = libc.syscall(ctypes.c_long(number), *arguments)
    os._exit(ctypes.get_errno() if result == -1 else 0)


def by_32_bit_entry():
    """getpid through int 0x80: mov eax, 20; int 0x80; ret."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    os._exit(0)


def said(code):
    return "ok" if code == 0 else errno.errorcode.get(code) or signal.Signals(-code).name


for name, call in CALLS.items():
    print(f"removed\t{name}\t{said(outcome(*call))}")
print(f"removed\tint 0x80\t{said(by_32_bit_entry())}")
for name, call in ALLOWED.items():
    print(f"allowed\t{name}\t{said(outcome(*call))}")

"""What every attack needs: raw system calls, and the words of an answer.

An attack is a function. It returns: it succeeded. OSError: blocked, by the kernel's word. Blocked: by something else. Impossible: it
cannot be tried here. Each runs in a process of its own, so that one that dies or changes itself does not spoil the next.
"""

import ctypes
import errno
import json
import os
import platform
import select
import signal
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.ptrace.restype = ctypes.c_long

USER = 1000
ATTACKS = []
X86 = platform.machine() == "x86_64"

# x86_64; the numbers from 424 on are the same everywhere, those before it are only used where X86.
NUMBERS = {
    "ptrace": 101, "syslog": 103, "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163, "mount": 165, "umount2": 166,
    "swapon": 167, "reboot": 169, "sethostname": 170, "init_module": 175, "kexec_load": 246, "add_key": 248, "ioprio_set": 251,
    "unshare": 272, "perf_event_open": 298, "open_by_handle_at": 304, "name_to_handle_at": 303, "setns": 308, "process_vm_readv": 310,
    "kcmp": 312, "bpf": 321, "userfaultfd": 323, "sendmmsg": 307, "prlimit64": 302, "capget": 125, "capset": 126, "clone": 56,
    "io_uring_setup": 425, "open_tree": 428, "fsopen": 430, "pidfd_open": 434, "clone3": 435, "openat2": 437, "pidfd_getfd": 438,
    "mount_setattr": 442, "memfd_create": 319,
}  # fmt: skip


class Blocked(Exception):
    """Stopped by something that is no errno."""


class Impossible(Exception):
    """Cannot be tried here."""


def attack(function):
    """One row of the table; its name is the function's, its theme the file's."""
    ATTACKS.append((function.__module__, function.__name__.replace("_", "-"), function))
    return function


def checked(result):
    """A C function's answer, or the kernel's word."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(name, *arguments):
    """A system call by its number, past libc's own opinions."""
    if not X86 and NUMBERS[name] < 424:
        raise Impossible("the numbers of the calls are those of x86_64")
    words = [a if isinstance(a, (bytes, ctypes._SimpleCData, ctypes.Array, type(None))) or hasattr(a, "_obj") else ctypes.c_long(a) for a in arguments]
    return checked(libc.syscall(ctypes.c_long(NUMBERS[name]), *words))


def reached(name, *arguments):
    """A call that is made wrong on purpose: any refusal but the permission's shows that the kernel went on to read the arguments."""
    try:
        call(name, *arguments)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise


def become_ordinary():
    """A control runs as root: what an ordinary user might gain has to begin as one."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)


def first_success(attempts):
    """Tries each; succeeds with the first that does, else says what stopped the last one."""
    last = Impossible("nothing to try it on")
    for attempt in attempts:
        try:
            return attempt()
        except OSError as error:
            # A place that is not there says less than one that refuses.
            if error.errno != errno.ENOENT or isinstance(last, Impossible):
                last = error
        except Blocked as why:
            last = why
    raise last


def in_a_child(function, patience=40.0):
    """Runs it in a process of its own; (kind, words, errno's name)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            detail = function()
            answer = ("succeeded", str(detail or ""), "")
        except Blocked as why:
            answer = ("blocked", str(why), "")
        except Impossible as why:
            answer = ("impossible", str(why), "")
        except OSError as error:
            name = errno.errorcode.get(error.errno, str(error))
            answer = ("blocked", name, name)
        except MemoryError:
            answer = ("blocked", "ENOMEM", "ENOMEM")
        except BaseException as error:  # A mistake in the attack itself must not read as a wall.
            answer = ("impossible", f"the attack itself failed: {error!r}", "")
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    try:
        if not select.select([reader], [], [], patience)[0]:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return ["blocked", f"no answer in {patience:.0f} s", ""]
        answer = os.read(reader, 65536)
    finally:
        os.close(reader)
    _, status = os.waitpid(child, 0)
    if not answer:
        ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        return ["blocked", f"ended by {ended}", ""]
    return json.loads(answer)


def say(theme, name, outcome, by="", word=""):
    """One line of the answer."""
    line = {"theme": theme, "attack": name, "outcome": outcome, "by": by, "errno": word}
    os.write(1, (json.dumps(line) + "\n").encode())


def until(condition, patience=20.0):
    """Polls; says whether it came true."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

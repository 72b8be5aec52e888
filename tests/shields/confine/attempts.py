"""COMMAND of tests/shields/confine: tries what it is told to, and prints {attempt: errno} as JSON; 0 is a success."""

import ctypes
import errno
import json
import mmap
import os
import socket
import struct
import sys
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
ANSWERS = {}


def call(number, *words):
    result = LIBC.syscall(ctypes.c_long(number), *[ctypes.c_long(word) if isinstance(word, int) else word for word in words])
    return ctypes.get_errno() if result < 0 else 0


def attempt(name, act):
    try:
        answer = act()
        ANSWERS[name] = answer if isinstance(answer, int) and not isinstance(answer, bool) else 0
    except OSError as error:
        ANSWERS[name] = error.errno


def write(path, flags=0):
    descriptor = os.open(path, os.O_WRONLY | flags, 0o600)
    os.close(descriptor)


def files(place):
    """In a directory that holds `file`, `gone`, `empty/`, `sub/`."""
    at = lambda name: os.path.join(place, name)
    attempt("create", lambda: write(at("new"), os.O_CREAT))
    attempt("unnamed", lambda: write(place, os.O_TMPFILE))
    attempt("write", lambda: write(at("file")))
    attempt("append", lambda: write(at("file"), os.O_APPEND))
    attempt("mkdir", lambda: os.mkdir(at("directory")))
    attempt("rmdir", lambda: os.rmdir(at("empty")))
    attempt("unlink", lambda: os.unlink(at("gone")))
    attempt("rename", lambda: os.rename(at("file"), at("renamed")) or os.rename(at("renamed"), at("file")))
    attempt("rename to another directory", lambda: os.rename(at("file"), at("sub/file")) or os.rename(at("sub/file"), at("file")))
    attempt("link", lambda: os.link(at("file"), at("sub/link")))
    attempt("symlink", lambda: os.symlink("x", at("symlink")))
    attempt("fifo", lambda: os.mkfifo(at("fifo")))
    attempt("socket", lambda: socket.socket(socket.AF_UNIX).bind(at("socket")))
    attempt("truncate", lambda: os.truncate(at("file"), 0))
    attempt("read", lambda: os.close(os.open(at("file"), os.O_RDONLY)))
    attempt("list", lambda: os.listdir(place))


def modes():
    """Every call that can set the setuid bit, in /data; then what modes are needed for. EIO: the call said 0, and the bit is not there."""
    data = os.open("/data", os.O_RDONLY)

    def made(name, number, *words):
        """Makes /data/NAME, or changes it if it is there."""
        answer = call(number, *words)
        return answer or (0 if os.stat("/data/" + name).st_mode & 0o4000 else errno.EIO)

    def changed(name, number, *words):
        write("/data/" + name, os.O_CREAT)
        return made(name, number, *words)

    text = lambda name: ctypes.c_char_p(name.encode())
    attempt("chmod", lambda: changed("a", 90, text("/data/a"), 0o4755))
    attempt("fchmod", lambda: changed("b", 91, os.open("/data/b", os.O_WRONLY | os.O_CREAT, 0o600), 0o4755))
    attempt("fchmodat", lambda: changed("c", 268, data, text("c"), 0o4755))
    attempt("fchmodat2", lambda: changed("d", 452, data, text("d"), 0o4755, 0))
    attempt("open", lambda: made("e", 2, text("/data/e"), os.O_WRONLY | os.O_CREAT, 0o4755))
    attempt("openat", lambda: made("f", 257, data, text("f"), os.O_WRONLY | os.O_CREAT, 0o4755))
    how = ctypes.create_string_buffer(struct.pack("=3Q", os.O_WRONLY | os.O_CREAT, 0o4755, 0), 24)
    attempt("openat2", lambda: made("g", 437, data, text("g"), how, 24))
    attempt("creat", lambda: made("h", 85, text("/data/h"), 0o4755))
    attempt("mknod", lambda: made("i", 133, text("/data/i"), 0o104755, 0))
    attempt("mknodat", lambda: made("j", 259, data, text("j"), 0o104755, 0))

    def unnamed():
        number = LIBC.syscall(ctypes.c_long(257), ctypes.c_long(data), text("."), ctypes.c_long(os.O_TMPFILE | os.O_WRONLY), ctypes.c_long(0o4755))
        if number < 0:
            return ctypes.get_errno()
        return made("k", 265, -100, text(f"/proc/self/fd/{number}"), data, text("k"), 0x400)

    attempt("unnamed", unnamed)
    attempt("needed: a setgid directory", lambda: os.mkdir("/data/shared") or os.chmod("/data/shared", 0o2775))
    attempt("needed: a sticky directory", lambda: os.chmod("/data/shared", 0o3777))
    attempt("needed: a mode", lambda: os.chmod("/data/a", 0o755))
    attempt("needed: a file", lambda: os.close(os.open("/data/l", os.O_WRONLY | os.O_CREAT, 0o755)))
    # Nothing is made, so that the last word is none of the kernel's business.
    attempt("needed: no mode", lambda: call(257, data, text("a"), os.O_RDONLY, 0o4755))


def devices():
    for name in ["null", "zero", "full", "urandom"]:
        attempt(name, lambda: write("/dev/" + name))
    attempt("pty", lambda: [os.close(end) for end in os.openpty()])
    attempt("shm", lambda: write("/dev/shm/takumi-test", os.O_CREAT))
    attempt("tmp", lambda: write("/tmp/takumi-test", os.O_CREAT))


def threads():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()

    def name():
        with open(f"/proc/self/task/{thread.native_id}/comm", "w") as comm:
            comm.write("worker")
        with open(f"/proc/self/task/{thread.native_id}/comm") as comm:
            return 0 if comm.read() == "worker\n" else errno.EIO

    attempt("a thread's name", name)
    stop.set()
    child = os.fork()
    if child == 0:
        try:
            descriptor = os.open(f"/proc/self/task/{os.getpid()}/comm", os.O_RDWR)
            os._exit(0 if os.write(descriptor, b"child") == 5 else errno.EIO)
        except OSError as error:
            os._exit(error.errno)
    ANSWERS["a child's name"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def calls(numbers):
    """With -1 as every argument, which no call takes."""
    for number in numbers:
        attempt(number, lambda: call(int(number), *[-1] * 6))


def sockets(triples):
    for triple in triples:
        family, kind, protocol = (int(word) for word in triple.split("/"))
        attempt(triple, lambda: socket.socket(family, kind, protocol).close())


FAST = 0x20000000


def address(port):
    return struct.pack("!HH4s8x", socket.htons(socket.AF_INET), port, socket.inet_aton("127.0.0.1"))


def fast():
    """Sends that connect, to a port where nobody listens."""
    place = address(9)

    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]

    class Header(ctypes.Structure):
        _fields_ = [("name", ctypes.c_char_p), ("name_length", ctypes.c_uint), ("vector", ctypes.POINTER(Vector)),
                    ("vectors", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controls", ctypes.c_size_t),
                    ("flags", ctypes.c_int), ("sent", ctypes.c_uint)]

    vector = Vector(b"x", 1)
    header = Header(place, len(place), ctypes.pointer(vector), 1, None, 0, 0, 0)
    with_socket = lambda act: lambda: act(socket.socket())
    attempt("sendto", with_socket(lambda one: call(44, one.fileno(), ctypes.c_char_p(b"x"), 1, FAST, ctypes.c_char_p(place), 16)))
    attempt("sendmsg", with_socket(lambda one: call(46, one.fileno(), ctypes.byref(header), FAST)))
    attempt("sendmmsg", with_socket(lambda one: call(307, one.fileno(), ctypes.byref(header), 1, FAST)))
    attempt("setsockopt", with_socket(lambda one: one.setsockopt(socket.IPPROTO_TCP, 30, 1)))
    attempt("plain option", with_socket(lambda one: one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)))


def connect(ports):
    for port in ports:
        attempt(port, lambda: socket.create_connection(("127.0.0.1", int(port)), 5))
        def six():
            with socket.socket(socket.AF_INET6) as one:
                one.connect(("::1", int(port)))
        attempt(port + "/6", six)
    def datagram():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.sendto(b"x", ("127.0.0.1", 9))
    attempt("udp", datagram)
    def listen():
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            one.listen()
    attempt("listen", listen)


def first():
    """What the same user may do to PID 1."""
    null = ctypes.c_void_p(None)
    limits = ctypes.create_string_buffer(16)
    attempt("kill", lambda: os.kill(1, 0))
    attempt("tgkill", lambda: call(234, 1, 1, 0))
    attempt("pidfd", lambda: os.close(os.pidfd_open(1)))
    attempt("pidfd of /proc", lambda: call(424, os.open("/proc/1", os.O_RDONLY), 0, null, 0))
    attempt("prlimit", lambda: call(302, 1, 7, null, limits))
    attempt("affinity", lambda: os.sched_setaffinity(1, os.sched_getaffinity(0)))
    attempt("scheduler", lambda: os.sched_setscheduler(1, os.SCHED_OTHER, os.sched_param(0)))
    attempt("priority", lambda: os.setpriority(os.PRIO_PROCESS, 1, 0))
    attempt("priority of a user", lambda: os.setpriority(os.PRIO_USER, 0, 0))
    attempt("own limit", lambda: call(302, 0, 7, null, limits))
    attempt("own priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, 0))
    attempt("own child", kill_a_child)


def kill_a_child():
    child = os.fork()
    if child == 0:
        while True:
            os.sched_yield()
    os.kill(child, 9)
    os.waitpid(child, 0)


def abstract():
    """To a socket of somebody outside, as soon as there is one; and a signal to whoever made it."""
    import time
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as one:
            answer = one.connect_ex("\0takumi-test-outside")
        if answer != errno.ECONNREFUSED:
            break
        time.sleep(0.02)
    ANSWERS["abstract"] = answer
    with open("/tmp/outside") as file:
        pid = int(file.read())
    attempt("signal", lambda: os.kill(pid, 0))


def i386():
    """getpid(2) by the door of 32-bit programs: 0 where it answers as the kernel, its errno where it is refused."""
    child = os.fork()
    if child == 0:
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
        function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        answer = function()
        os._exit(0 if answer == os.getpid() else -answer if -255 < answer < 0 else 255)
    ANSWERS["i386"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    ANSWERS["x32"] = call(0x40000000 | 39)


{
    "files": lambda words: files(words[0]), "devices": lambda _: devices(), "threads": lambda _: threads(),
    "modes": lambda _: modes(),
    "calls": calls, "sockets": sockets, "fast": lambda _: fast(), "connect": connect, "first": lambda _: first(),
    "abstract": lambda _: abstract(), "i386": lambda _: i386(), "write": lambda words: [attempt(word, lambda: write(word)) for word in words],
}[sys.argv[1]](sys.argv[2:])
print(json.dumps(ANSWERS))

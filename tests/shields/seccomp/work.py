"""What ComfyUI, its nodes and their tools do all day: each part prints `ok NAME` or `failed NAME: ERROR`. Exit 1 if one failed.

/wheels holds wheels of pip, numpy and imageio-ffmpeg; --git says that git is there.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import glob
import hashlib
import mmap
import multiprocessing
import multiprocessing.shared_memory
import os
import pty
import select
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading

DATA = os.environ.get("DATA", "/data")
SITE = os.path.join(DATA, "site")


def threads():
    results = []
    workers = [threading.Thread(target=lambda: results.append(hashlib.sha256(b"x" * 2_000_000).digest())) for _ in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 16


def fork():
    child = os.fork()
    if child == 0:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def processes():
    assert subprocess.run(["sh", "-c", "echo a | cat"], capture_output=True, check=True).stdout == b"a\n"
    assert subprocess.run(["true"], start_new_session=True, close_fds=True, preexec_fn=os.getpid).returncode == 0
    child = os.posix_spawn("/bin/true", ["true"], os.environ, setsigdef=[])
    assert os.waitpid(child, 0)[1] == 0


def double(number):
    return number * 2


def fill(name):
    memory = multiprocessing.shared_memory.SharedMemory(name=name)
    memory.buf[:4] = b"done"
    memory.close()


def pools():
    for method in ("fork", "forkserver", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(double, range(8)) == list(range(0, 16, 2))


def shared_memory():
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=1 << 20)
    try:
        process = multiprocessing.get_context("forkserver").Process(target=fill, args=(memory.name,))
        process.start()
        process.join()
        assert bytes(memory.buf[:4]) == b"done"
    finally:
        memory.close()
        memory.unlink()


def loops():
    async def exchange():
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        server.close()
        process = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert (await process.communicate(b"through"))[0] == b"through"

    asyncio.run(exchange())


def sockets():
    here, there = socket.socketpair()
    descriptor = os.open("/dev/null", os.O_RDONLY)
    socket.send_fds(here, [b"x"], [descriptor])
    assert len(socket.recv_fds(there, 1, 1)[1]) == 1
    assert socket.getaddrinfo("127.0.0.1", 80)
    assert socket.if_nameindex()
    with contextlib.closing(socket.socket(socket.AF_INET6)):
        pass
    ssl.create_default_context()


def files():
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        name = os.path.join(folder, "file")
        with open(name, "w+b") as file:
            file.write(b"x" * 8192)
            file.flush()
            fcntl.flock(file, fcntl.LOCK_EX)
            os.posix_fallocate(file.fileno(), 0, 16384)
            with mmap.mmap(file.fileno(), 8192) as mapped:
                mapped[0:1] = b"y"
                mapped.madvise(mmap.MADV_WILLNEED)
            with open(os.path.join(folder, "copy"), "wb") as copy:
                os.copy_file_range(file.fileno(), copy.fileno(), 4096, 0)
                os.sendfile(copy.fileno(), file.fileno(), 0, 4096)
        os.mkfifo(os.path.join(folder, "fifo"))
        os.link(name, os.path.join(folder, "link"))
        os.symlink(name, os.path.join(folder, "symlink"))
        os.utime(name, (1, 1))
        os.chmod(name, 0o600)
        with contextlib.closing(sqlite3.connect(os.path.join(folder, "database"))) as database:
            database.execute("pragma journal_mode=wal")
            database.execute("create table t (x)")
            database.commit()


def kernel_objects():
    descriptor = os.memfd_create("takumi-test")
    os.write(descriptor, b"x")
    with select.epoll() as poll:
        poll.register(os.eventfd(1), select.EPOLLIN)
        assert poll.poll(0)
    os.pidfd_open(os.getpid())
    assert os.sched_getaffinity(0)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.inotify_init1(0) >= 0 and libc.timerfd_create(1, 0) >= 0


def terminals():
    pid, descriptor = pty.fork()
    if pid == 0:
        os.execlp("true", "true")
    os.waitpid(pid, 0)
    os.close(descriptor)


def pip():
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", "/wheels", "--target", SITE]
    subprocess.run([*install, "numpy", "imageio-ffmpeg"], check=True)


def numpy():
    sys.path.insert(0, SITE)
    import numpy

    matrix = numpy.random.default_rng(1).random((600, 600))
    assert numpy.allclose(numpy.linalg.inv(matrix) @ matrix, numpy.eye(600), atol=1e-6)
    assert numpy.fft.fft(matrix).shape == matrix.shape
    numpy.memmap(os.path.join(DATA, "memmap"), mode="w+", shape=(64, 64))[:] = 1
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(numpy.sum, [matrix, matrix])[0] > 0


def ffmpeg():
    program = glob.glob(os.path.join(SITE, "imageio_ffmpeg", "binaries", "ffmpeg*"))[0]
    film = os.path.join(DATA, "film.mp4")
    quiet = [program, "-loglevel", "error", "-y"]
    subprocess.run([*quiet, "-f", "lavfi", "-i", "testsrc=duration=1:size=160x120:rate=10", "-threads", "4", film], check=True)
    raw = subprocess.run([*quiet, "-i", film, "-f", "rawvideo", "-"], check=True, capture_output=True).stdout
    assert len(raw) >= 10 * 160 * 120


def git():
    tree, clone = os.path.join(DATA, "tree"), os.path.join(DATA, "clone")
    environment = {**os.environ, "HOME": DATA, "GIT_CONFIG_NOSYSTEM": "1"}

    def run(*words):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@localhost", *words], check=True, env=environment)

    run("init", "--quiet", tree)
    for number in range(40):
        with open(os.path.join(tree, f"file{number}"), "w", encoding="ascii") as file:
            file.write("line\n" * number)
    run("-C", tree, "add", ".")
    run("-C", tree, "commit", "--quiet", "--message", "m")
    run("clone", "--quiet", f"file://{tree}", clone)
    run("-C", clone, "gc", "--quiet")
    assert os.path.exists(os.path.join(clone, "file39"))


def main():
    parts = [threads, fork, processes, pools, shared_memory, loops, sockets, files, kernel_objects, terminals]
    if "--packages" in sys.argv:
        parts += [pip, numpy, ffmpeg, git]
    failed = 0
    for part in parts:
        try:
            part()
            print(f"ok {part.__name__}", flush=True)
        except Exception as error:
            failed = 1
            print(f"failed {part.__name__}: {error!r}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()

"""Attacks that end the container, or outlive the app: one a container. Silence means that it ended before anything could be said."""

import errno
import os
import resource
import signal
import sys
import time

import attack
import processes


def goes_on():
    """PID 1 has taken every signal, and still does its duty."""
    attack.until(lambda: not processes.signals_wait_for_pid_1())
    if processes.reaps_orphans(1):
        raise attack.Blocked("PID 1 goes on")


def by_term():
    """COMMAND itself takes no notice, so that only PID 1 can end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.kill(1, signal.SIGTERM)
    goes_on()


def by_any_signal():
    """All of them, those that leave a core too; COMMAND itself takes no notice of what is forwarded."""
    numbers = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
    for number in numbers:
        if number != signal.SIGCHLD:
            signal.signal(number, signal.SIG_IGN)
    for number in numbers:
        os.kill(1, number)
    goes_on()


def by_limit():
    """No processor time for PID 1, then work for it until a tick of the clock meets it: the kernel itself kills then."""
    resource.prlimit(1, resource.RLIMIT_CPU, (0, 0))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for _ in range(500):
            os.kill(1, signal.SIGCHLD)
    raise attack.Blocked("PID 1 goes on")


def by_killing_the_app():
    """A node is the app: its process, its user. Whoever can wait for the child's end has not been killed by it."""
    child = os.fork()
    if child == 0:
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(0)
    os.waitpid(child, 0)
    raise attack.Blocked("the app goes on")


def by_outliving():
    """A daemon in a session of its own that takes no notice of signals."""
    app = os.getpid()
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
                signal.signal(number, signal.SIG_IGN)
            os.close(writer)
            while os.path.exists(f"/proc/{app}"):
                time.sleep(0.02)
            # This wait is the question itself: whether something lives on that long. PID 1's grace for leftovers is half a second here.
            time.sleep(3.5)
            attack.say("end", "outlive-the-app", "succeeded")
        os._exit(0)
    os.close(writer)
    os.read(reader, 1)
    os._exit(0)


try:
    {"term": by_term, "signals": by_any_signal, "limit": by_limit, "app": by_killing_the_app, "outlive": by_outliving}[sys.argv[1]]()
except attack.Blocked as why:
    attack.say("end", sys.argv[1], "blocked", str(why))
except OSError as error:
    attack.say("end", sys.argv[1], "blocked", errno.errorcode[error.errno], errno.errorcode[error.errno])

#!/usr/bin/env python3
"""Makes the attempts on its input at the proxy, one after the other: NAME, bytes, bytes to send after a 200 to CONNECT, both in
hexadecimal, and how many seconds to wait for an answer, tabs between. Prints NAME, the time before and after, the first answer's status (or closed, silent) and all that came."""

import socket
import sys
import time

PROXY = (sys.argv[1], 8888)


def read(connection, until, patience):
    """What comes before the end, the deadline, or the blank line if that is enough."""
    got = b""
    deadline = time.monotonic() + patience
    while not (until and until in got):
        left = deadline - time.monotonic()
        if left <= 0:
            return got, "silent"
        connection.settimeout(left)
        try:
            more = connection.recv(65536)
        except socket.timeout:
            return got, "silent"
        except OSError:
            return got, "closed"
        if not more:
            return got, "closed"
        got += more
    return got, ""


def attempt(first, then, patience):
    with socket.create_connection(PROXY, 30) as connection:
        try:
            connection.sendall(first)
        except OSError:
            # The proxy may refuse before it has read everything.
            pass
        got, end = read(connection, b"\r\n\r\n", patience)
        words = got.split(b" ", 2)
        status = words[1].decode("latin-1") if got.startswith(b"HTTP/") and len(words) > 1 else end or "garbage"
        if status == "200" and then and first.upper().startswith(b"CONNECT"):
            try:
                connection.sendall(then)
            except OSError:
                pass
        rest, _ = read(connection, b"", patience)
        return status, got + rest


for line in sys.stdin:
    name, first, then, patience = line.rstrip("\n").split("\t")
    before = time.time()
    status, got = attempt(bytes.fromhex(first), bytes.fromhex(then), float(patience))
    print(name, before, time.time(), status, got[:4096].hex(), sep="\t", flush=True)

#!/usr/bin/env python3
"""A server of "the internet": listens on the ports given and prints, a line each, TIME PORT accept and TIME PORT bytes HEX."""

import select
import socket
import sys
import threading
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\norigin\n"


def say(port, *words):
    print(time.time(), port, *words, flush=True)


def serve(connection, port):
    with connection:
        # Long enough for a second request to be seen.
        connection.settimeout(0.3)
        answered = False
        while True:
            try:
                got = connection.recv(65536)
            except OSError:
                return
            if not got:
                return
            say(port, "bytes", got.hex())
            if not answered:
                answered = True
                connection.sendall(ANSWER)


def listen(port):
    if not socket.has_dualstack_ipv6():
        return socket.create_server(("0.0.0.0", port), backlog=64)
    return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)


listeners = {}
for port in map(int, sys.argv[1:]):
    try:
        listeners[listen(port)] = port
    except OSError:
        # Without IPv6 in this container.
        listeners[socket.create_server(("0.0.0.0", port), backlog=64)] = port
say(0, "ready")
while True:
    # One thread accepts, so that the order of the log is the order of the connections.
    for listener in select.select(list(listeners), [], [])[0]:
        connection, _ = listener.accept()
        say(listeners[listener], "accept")
        threading.Thread(target=serve, args=(connection, listeners[listener]), daemon=True).start()

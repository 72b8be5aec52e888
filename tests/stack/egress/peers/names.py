#!/usr/bin/env python3
"""A name server: answers every A question with the address that NAME=ADDRESS gives, or *=ADDRESS, else NXDOMAIN, and prints each name
asked. Takes datagrams on two more ports, and prints `datagram PORT` for each that is no question."""

import select
import socket
import sys

names = dict(word.split("=") for word in sys.argv[1:])


def listen(port):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", port))
    return server


def answer(question):
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode("latin-1"))
        at += question[at] + 1
    end, kind = at + 5, question[at + 1 : at + 3]
    name = ".".join(labels).lower()
    print("asked", name, flush=True)
    address = names.get(name, names.get("*"))
    found = address is not None and kind == b"\0\1"
    flags = b"\x81\x80" if address is not None else b"\x81\x83"
    answer = question[:2] + flags + b"\0\1" + (b"\0\1" if found else b"\0\0") + b"\0\0\0\0" + question[12:end]
    if found:
        answer += b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address)
    return answer


servers = [listen(port) for port in (53, 123, 443)]
print("ready", flush=True)
while True:
    for server in select.select(servers, [], [])[0]:
        datagram, client = server.recvfrom(4096)
        if len(datagram) < 17:
            print("datagram", server.getsockname()[1], flush=True)
        else:
            server.sendto(answer(datagram), client)

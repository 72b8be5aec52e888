#!/usr/bin/env python3
"""Gives this network namespace's loopback interface the addresses on the command line (rtnetlink; needs NET_ADMIN), then listens
on the port in the first argument as origin.py does."""

import os
import socket
import struct
import sys

RTM_NEWADDR, ACK_CREATE = 20, 0x405
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
for word in sys.argv[2:]:
    family = socket.AF_INET6 if ":" in word else socket.AF_INET
    address = socket.inet_pton(family, word)
    # IFA_F_NODAD: an IPv6 address is tentative otherwise, and nobody can connect to it.
    body = struct.pack("=BBBBI", family, 8 * len(address), 0x02, 0, socket.if_nametoindex("lo"))
    for kind in (1, 2):
        body += struct.pack("=HH", 4 + len(address), kind) + address
    netlink.send(struct.pack("=IHHII", 16 + len(body), RTM_NEWADDR, ACK_CREATE, 1, 0) + body)
    error = struct.unpack_from("=i", netlink.recv(4096), 16)[0]
    if error:
        sys.exit(f"{word}: {os.strerror(-error)}")
os.execv(sys.executable, [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "origin.py"), sys.argv[1]])

"""A neighbour or the world outside: echoes on 3128 and 9999, TCP and UDP, and answers every question of DNS with 192.0.2.77."""

import select
import socket

TCP_FASTOPEN = 23
streams = []
for port in (3128, 9999):
    for protocol in (0, 262):
        # One that speaks MPTCP takes plain TCP too; without MPTCP in the kernel the plain one is left.
        try:
            server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262 - protocol)
        except OSError:
            continue
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 16)
        server.bind(("0.0.0.0", port))
        server.listen(64)
        streams.append(server)
        break
datagrams = []
for port in (53, 9999):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", port))
    datagrams.append(server)
print("ready", flush=True)
clients = []
while True:
    for ready in select.select(streams + datagrams + clients, [], [])[0]:
        try:
            if ready in streams:
                clients.append(ready.accept()[0])
            elif ready in datagrams:
                words, sender = ready.recvfrom(2048)
                if ready is datagrams[0]:
                    words = words[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + words[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\x4d"
                ready.sendto(words, sender)
            else:
                words = ready.recv(2048)
                if words:
                    ready.send(words)
                else:
                    clients.remove(ready)
                    ready.close()
        except OSError:
            if ready in clients:
                clients.remove(ready)

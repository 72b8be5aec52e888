#!/usr/bin/env python3
"""An app behind the gateway: GET / says who it is, GET /ws echoes websocket frames, POST /upload checks what comes,
reading slowly enough that whoever relays must wait or hoard."""

import base64
import hashlib
import socket
import struct
import sys
import threading
import time

NAME = sys.argv[1]
server = socket.create_server(("0.0.0.0", 8188), backlog=256)
print("ready", flush=True)


def head_of(connection):
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(65536)
        if not more:
            return "", b""
        got += more
    head, rest = got.split(b"\r\n\r\n", 1)
    return head.decode("latin-1"), rest


def field(head, name):
    for line in head.split("\r\n"):
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return ""


def serve(connection):
    with connection:
        head, rest = head_of(connection)
        if head.startswith("GET /ws"):
            key = field(head, "sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            connection.sendall(
                f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
            )
            while True:
                # Short masked text frames: two bytes, four of mask, up to 125 of text.
                while len(rest) < 6 or len(rest) < 6 + (rest[1] & 127):
                    more = connection.recv(65536)
                    if not more:
                        return
                    rest += more
                size = rest[1] & 127
                mask, text, rest = rest[2:6], rest[6 : 6 + size], rest[6 + size :]
                connection.sendall(bytes([0x81, size]) + bytes(b ^ mask[i % 4] for i, b in enumerate(text)))
        if head.startswith("POST /upload"):
            left, number, answer = int(field(head, "content-length")) - len(rest), 0, ""
            while left > 0 or rest:
                while left > 0 and len(rest) < 1 << 20:
                    more = connection.recv(1 << 20)
                    if not more:
                        print("upload broke off", flush=True)
                        return
                    left -= len(more)
                    rest += more
                    # About 300 MB/s at most, below what loopback can send.
                    time.sleep(len(more) / 3e8)
                if rest[: 1 << 20] != struct.pack("<Q", number) * (1 << 17):
                    answer = f"piece {number} is wrong"
                    break
                rest = rest[1 << 20 :]
                number += 1
            answer = answer or f"{number} pieces as they were sent"
        else:
            answer = f"I am {NAME}"
        body = answer.encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

#!/usr/bin/env python3
"""A relay as nobody should write one: it takes all that the client sends before it passes any of it on."""

import re
import socket
import threading

server = socket.create_server(("0.0.0.0", 8188))


def serve(client):
    with client, socket.create_connection(("comfyui", 8188)) as app:
        got = bytearray()
        wanted = None
        while wanted is None or len(got) < wanted:
            more = client.recv(1 << 20)
            if not more:
                break
            got += more
            end = got.find(b"\r\n\r\n")
            if wanted is None and end >= 0:
                length = re.search(rb"(?i)content-length: *(\d+)", got[:end])
                wanted = end + 4 + (int(length[1]) if length else 0)
        app.sendall(got)
        while more := app.recv(65536):
            client.sendall(more)


while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

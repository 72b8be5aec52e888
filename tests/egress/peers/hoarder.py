#!/usr/bin/env python3
"""A relay as nobody should write one: it takes all that the client sends before it passes any of it on."""

import socket
import threading

server = socket.create_server(("0.0.0.0", 8188))


def serve(client):
    with client, socket.create_connection(("comfyui", 8188)) as app:
        got = bytearray()
        client.settimeout(1.0)
        try:
            while more := client.recv(1 << 20):
                got += more
        except socket.timeout:
            pass
        app.sendall(got)
        while more := app.recv(65536):
            client.sendall(more)


while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

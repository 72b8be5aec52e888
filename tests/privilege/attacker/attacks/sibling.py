"""A process beside the app, started by `docker exec` as the same user: a health probe, an operator's shell. Outside the lock."""

import os
import socket
import time

listener = socket.socket(socket.AF_UNIX)
listener.bind("\0takumi-test-sibling")
listener.listen(8)
by_path = socket.socket(socket.AF_UNIX)
by_path.bind("/tmp/sibling.socket")
by_path.listen(8)
with open("/tmp/sibling.new", "w") as file:
    file.write(str(os.getpid()))
os.rename("/tmp/sibling.new", "/tmp/sibling")
time.sleep(120)

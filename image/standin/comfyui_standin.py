#!/usr/bin/env python3
"""A stand-in for ComfyUI: its web addresses and its manner of dying, with no model behind them.

It answers ComfyUI's GET /, /prompt, /queue, /history, /system_stats and POST /prompt, /queue, /interrupt, works each
prompt for some seconds and writes a small text file where ComfyUI would write a picture. The websocket at /ws tells the
length of the queue, as ComfyUI's does. GET /identity is its own: what the kernel says about this process and about PID 1.

Signals are left as Python has them, as in ComfyUI: SIGTERM ends the process by the signal (143 to whoever waits),
SIGINT raises KeyboardInterrupt.

GET /v2/manager/reboot is ComfyUI-Manager's: with __COMFY_CLI_SESSION__=PATH it leaves PATH.reboot and ends with 0.
With --bad WORD it is as bad as nodes can be; see BAD.
"""

import argparse
import base64
import ctypes
import hashlib
import itertools
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = "a stand-in for ComfyUI"
VERSION = "standin-0.1"
MAX_BODY = 4 * 1024 * 1024
MAX_HISTORY = 1000
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WEBSOCKET_PING = 20
TEXT, PING = 1, 9
BAD = {
    "late": "works on for this long after an interrupt, as a node that does not look for one",
    "lock": "a prompt is one call in C that sleeps and keeps Python's lock: no endpoint answers meanwhile",
    "sum": "a prompt is one call in C that works (roughly so long) and keeps Python's lock",
    "handler": "SIGTERM has a handler in Python, which runs only between two instructions of Python",
    "loop": "a prompt is a loop in Python that takes no notice of an interrupt",
    "torch": "a prompt multiplies matrices with PyTorch on every core and takes no notice of an interrupt",
    "orphan": "each prompt leaves a process in a session of its own, that ignores SIGTERM and SIGHUP",
    "temp": "each prompt leaves half a file in temp",
    "abort": "SIGINT while a prompt runs ends in SIGABRT, as in the middle of a torch call",
    "loops": "asks for a reboot by itself as soon as it serves",
    "slow": "begins to listen only after this long",
}
HOLDS = {"lock", "loop", "sum", "torch"}
STATUS_FIELDS = (
    "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A stand-in for ComfyUI</title>
<style>body{font:16px/1.5 sans-serif;max-width:48em;margin:3em auto;padding:0 1em}
pre{background:#eee;padding:1em;overflow:auto}button{font:inherit}</style></head>
<body><h1>A stand-in for ComfyUI</h1>
<p>No pictures are made here. The page shows that an app runs behind <code>init</code> and what it holds.</p>
<p><button id="go">Queue a prompt of 3 seconds</button> <button id="stop">Interrupt</button></p>
<p>The websocket <span id="socket">is not open</span>.</p>
<h2>Queue</h2><pre id="queue"></pre><h2>What the kernel says of the app and of PID 1</h2><pre id="identity"></pre>
<script>
const show = async (path, id) => {
  const answer = await fetch(path);
  document.getElementById(id).textContent = JSON.stringify(await answer.json(), null, 2);
};
const post = (path, body) => fetch(path, {method: "POST", body: JSON.stringify(body)});
document.getElementById("go").onclick = () => post("/prompt", {prompt: {"1": {class_type: "Work", inputs: {seconds: 3}}}});
document.getElementById("stop").onclick = () => post("/interrupt", {});
show("/identity", "identity");
const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws");
socket.onmessage = (event) => {
  const left = JSON.parse(event.data).data.status.exec_info.queue_remaining;
  document.getElementById("socket").textContent = `is open and says: ${left} in the queue`;
};
socket.onclose = () => { document.getElementById("socket").textContent = "is closed"; };
setInterval(() => show("/queue", "queue"), 1000);
</script></body></html>
"""


class BadRequest(Exception):
    """What the client sent cannot be used."""


class Queue:
    """Prompts wait here for the one worker, in the shapes that ComfyUI's own /queue and /history use."""

    def __init__(self, options):
        self.output_directory = os.path.join(options.base_directory, "output")
        self.temp_directory = os.path.join(options.base_directory, "temp")
        self.seconds = options.seconds
        self.bad = options.bad
        self.changed = threading.Condition()
        self.pending = []
        self.running = None
        self.interrupted = False
        self.history = {}
        self.number = 0

    def put(self, prompt):
        if not isinstance(prompt, dict) or not prompt:
            raise BadRequest("prompt: expected a non-empty object of nodes")
        seconds = seconds_of(prompt, self.seconds)
        with self.changed:
            item = {"number": self.number, "id": str(uuid.uuid4()), "prompt": prompt, "seconds": seconds}
            self.number += 1
            self.pending.append(item)
            self.changed.notify_all()
        return {"prompt_id": item["id"], "number": item["number"], "node_errors": {}}

    def remaining(self):
        with self.changed:
            return len(self.pending) + (self.running is not None)

    def remaining_changed(self, known, patience):
        """Waits until the number is another than `known`, at most `patience` seconds, and returns it."""
        with self.changed:
            self.changed.wait_for(lambda: self.remaining() != known, timeout=patience)
            return self.remaining()

    def state(self):
        with self.changed:
            return {
                "queue_running": [row(self.running)] if self.running else [],
                "queue_pending": [row(item) for item in self.pending],
            }

    def change(self, wish):
        gone = wish.get("delete", [])
        if not isinstance(gone, list):
            raise BadRequest("delete: expected a list of prompt ids")
        with self.changed:
            if wish.get("clear"):
                self.pending.clear()
            self.pending = [item for item in self.pending if item["id"] not in gone]
            self.changed.notify_all()

    def interrupt(self):
        with self.changed:
            self.interrupted = True
            self.changed.notify_all()

    def finished(self):
        with self.changed:
            return dict(self.history)

    def work(self):
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.pending)
                self.running = self.pending.pop(0)
                self.interrupted = False
                item = self.running
            self.leave_behind()
            if HOLDS & self.bad.keys():
                self.hold(item["seconds"])
            with self.changed:
                if not HOLDS & self.bad.keys():
                    self.changed.wait_for(lambda: self.interrupted, timeout=item["seconds"])
                interrupted = self.interrupted
            if interrupted:
                log(f"interrupt seen by {item['id']}")
                time.sleep(self.bad.get("late", 0))
            log(f"{'interrupted' if interrupted else 'worked'}: {item['id']}")
            outputs = {} if interrupted else self.store(item)
            with self.changed:
                self.history[item["id"]] = {
                    "prompt": row(item),
                    "outputs": outputs,
                    "status": {
                        "status_str": "success" if outputs else "error",
                        "completed": bool(outputs),
                        "messages": [],
                    },
                }
                while len(self.history) > MAX_HISTORY:
                    del self.history[next(iter(self.history))]
                self.running = None
                self.changed.notify_all()

    def leave_behind(self):
        if "orphan" in self.bad:
            ignore = "import signal, time; signal.signal(15, 1); signal.signal(1, 1); time.sleep(3600)"
            subprocess.Popen([sys.executable, "-c", ignore, "standin-orphan"], start_new_session=True)
        if "temp" in self.bad:
            os.makedirs(self.temp_directory, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.temp_directory, prefix="half_", delete=False) as file:
                file.write(b"half")

    def hold(self, seconds):
        # The answer to POST /prompt goes out first.
        time.sleep(0.3)
        if "lock" in self.bad:
            # PyDLL keeps the lock during the call; CDLL would give it up.
            ctypes.PyDLL(None).sleep(int(max(seconds, 1)))
        if "sum" in self.bad:
            sum(itertools.repeat(1, int(seconds * 1e8)))
        end = time.monotonic() + seconds
        while "loop" in self.bad and time.monotonic() < end:
            pass
        if "torch" in self.bad:
            self.multiply(seconds)

    def multiply(self, seconds):
        """As a sampler does: one long call after the other, each without Python's lock."""
        import torch
        matrix = torch.rand(2000, 2000)
        log(f"PyTorch {torch.__version__} on {torch.get_num_threads()} threads")
        end, rounds = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            torch.linalg.qr(matrix @ matrix)
            rounds += 1
        log(f"multiplied {rounds} times")

    def store(self, item):
        name = f"standin_{item['id']}.txt"
        try:
            os.makedirs(self.output_directory, exist_ok=True)
            with open(os.path.join(self.output_directory, name), "w", encoding="utf-8") as file:
                file.write(f"{NAME} worked {item['seconds']} s on prompt {item['id']}\n")
        except OSError as error:
            log(f"cannot store {name}: {error}")
            return {}
        return {"1": {"text": [{"filename": name, "subfolder": "", "type": "output"}]}}


def row(item):
    return [item["number"], item["id"], item["prompt"], {}, ["1"]]


def seconds_of(prompt, default):
    """How long to work: the sum of the nodes' `seconds`, or the default where no node says."""
    asked = []
    for node in prompt.values():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        seconds = inputs.get("seconds") if isinstance(inputs, dict) else None
        if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds <= 3600:
            asked.append(seconds)
    return sum(asked) if asked else default


def kernel_view(pid):
    """The identity lines of /proc/PID/status, as the kernel prints them."""
    view = {"pid": pid}
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name in STATUS_FIELDS:
                    view[name] = value.strip()
    except OSError as error:
        view["error"] = str(error)
    return view


def system_stats():
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "system": {
            "os": sys.platform,
            "ram_total": pages,
            "ram_free": free,
            "comfyui_version": VERSION,
            "python_version": sys.version,
            "pytorch_version": "none",
            "embedded_python": False,
            "argv": sys.argv,
            "standin": NAME,
        },
        "devices": [],
    }


def handler_of(queue):
    class Handler(BaseHTTPRequestHandler):
        server_version = "comfyui-standin"
        sys_version = ""
        # A client that stops in the middle of its request must not hold a thread for ever.
        timeout = 30

        def do_GET(self):
            answers = {
                "/prompt": lambda: {"exec_info": {"queue_remaining": queue.remaining()}},
                "/queue": queue.state,
                "/history": queue.finished,
                "/system_stats": system_stats,
                "/identity": lambda: {"app": kernel_view(os.getpid()), "pid1": kernel_view(1)},
            }
            path = self.path.partition("?")[0]
            if path == "/v2/manager/reboot":
                reboot()
            elif path == "/ws" and self.headers.get("Upgrade", "").lower() == "websocket":
                self.websocket()
            elif path == "/":
                self.answer(200, PAGE.encode(), "text/html; charset=utf-8")
            elif path in answers:
                self.answer_json(200, answers[path]())
            else:
                self.answer_json(404, {"error": f"no such address: {path}"})

        def do_POST(self):
            path = self.path.partition("?")[0]
            try:
                body = self.body()
                if path == "/prompt":
                    self.answer_json(200, queue.put(body.get("prompt")))
                elif path == "/queue":
                    queue.change(body)
                    self.answer(200, b"", "text/plain")
                elif path == "/interrupt":
                    queue.interrupt()
                    self.answer(200, b"", "text/plain")
                else:
                    self.answer_json(404, {"error": f"no such address: {path}"})
            except BadRequest as error:
                self.answer_json(400, {"error": str(error), "node_errors": {}})

        def body(self):
            length = self.headers.get("Content-Length", "0")
            if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY:
                raise BadRequest(f"Content-Length: expected a number up to {MAX_BODY}")
            try:
                body = json.loads(self.rfile.read(int(length)) or b"{}")
            except ValueError as error:
                raise BadRequest(f"body is not JSON: {error}") from error
            if not isinstance(body, dict):
                raise BadRequest("body: expected an object")
            return body

        def websocket(self):
            """RFC 6455, as little as the page needs: status is sent, what the client says ends here."""
            key = self.headers.get("Sec-WebSocket-Key", "").encode()
            accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID, usedforsecurity=False).digest())
            self.close_connection = True
            self.wfile.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            remaining = None
            try:
                while True:
                    now = queue.remaining_changed(remaining, WEBSOCKET_PING)
                    if now == remaining:
                        # Whoever is gone is found by writing.
                        self.wfile.write(frame(PING, b""))
                        continue
                    remaining = now
                    status = {"status": {"exec_info": {"queue_remaining": remaining}}}
                    self.wfile.write(frame(TEXT, json.dumps({"type": "status", "data": status}).encode()))
            except OSError:
                pass

        def answer_json(self, code, value):
            self.answer(code, json.dumps(value).encode(), "application/json; charset=utf-8")

        def answer(self, code, content, kind):
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            """ComfyUI logs no request either."""

    return Handler


def reboot():
    """As ComfyUI-Manager does under its own command line tool; a thread cannot raise SystemExit in the main one."""
    session = os.environ.get("__COMFY_CLI_SESSION__")
    if session is None:
        log("no __COMFY_CLI_SESSION__: Manager would execute itself here")
        return
    with open(session + ".reboot", "w", encoding="utf-8"):
        pass
    log("Restarting...")
    os._exit(0)


def frame(kind, content):
    """A websocket frame from a server: final, not masked. Nothing here is longer than 125 bytes."""
    return bytes([0x80 | kind, len(content)]) + content


def log(line):
    print(line, flush=True)


def bad(text):
    word, _, seconds = text.partition(":")
    if word not in BAD:
        raise argparse.ArgumentTypeError(f"{word}: expected one of {', '.join(BAD)}")
    return word, float(seconds or 0)


def arguments():
    parser = argparse.ArgumentParser(description=NAME)
    parser.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS")
    parser.add_argument("--port", default=8188, type=int)
    parser.add_argument("--base-directory", default="/data", metavar="DIRECTORY")
    parser.add_argument("--seconds", default=1.0, type=float, help="how long a prompt works that does not say so itself")
    parser.add_argument("--bad", action="append", type=bad, default=[], metavar="WORD[:SECONDS]",
                        help="; ".join(f"{word}: {what}" for word, what in BAD.items()))
    # ComfyUI's own, which the image gives: there is no database, no browser and no GPU here.
    parser.add_argument("--database-url", metavar="URL")
    parser.add_argument("--disable-auto-launch", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    options.bad = dict(options.bad)
    return options


def main():
    options = arguments()
    queue = Queue(options)
    time.sleep(options.bad.get("slow", 0))
    threading.Thread(target=queue.work, daemon=True).start()
    server = ThreadingHTTPServer((options.listen, options.port), handler_of(queue))
    log(f"{NAME} ({VERSION}, Python {platform.python_version()}, pid {os.getpid()}, uid {os.getuid()})")
    if "handler" in options.bad:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if "abort" in options.bad:
        signal.signal(signal.SIGINT, lambda number, at: os.abort() if queue.running else signal.default_int_handler(number, at))
    log(f"To see the GUI go to: http://{options.listen}:{server.server_port}")
    if "loops" in options.bad:
        reboot()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        log("Stopped server")


if __name__ == "__main__":
    main()

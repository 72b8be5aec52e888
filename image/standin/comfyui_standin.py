#!/usr/bin/env python3
"""A stand-in for ComfyUI: its web addresses and its manner of dying, with no model behind them.

It answers ComfyUI's GET /, /prompt, /queue, /history, /system_stats and POST /prompt, /queue, /interrupt, works each
prompt for some seconds and writes a small text file where ComfyUI would write a picture. GET /identity is its own: what
the kernel says about this process and about PID 1.

Signals are left as Python has them, as in ComfyUI: SIGTERM ends the process by the signal (143 to whoever waits),
SIGINT raises KeyboardInterrupt.
"""

import argparse
import json
import os
import platform
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = "a stand-in for ComfyUI"
VERSION = "standin-0.1"
MAX_BODY = 4 * 1024 * 1024
MAX_HISTORY = 1000
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
setInterval(() => show("/queue", "queue"), 1000);
</script></body></html>
"""


class BadRequest(Exception):
    """What the client sent cannot be used."""


class Queue:
    """Prompts wait here for the one worker, in the shapes that ComfyUI's own /queue and /history use."""

    def __init__(self, output_directory, seconds):
        self.output_directory = output_directory
        self.seconds = seconds
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
                self.changed.wait_for(lambda: self.interrupted, timeout=item["seconds"])
                interrupted = self.interrupted
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
            if path == "/":
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


def log(line):
    print(line, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=NAME)
    parser.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS")
    parser.add_argument("--port", default=8188, type=int)
    parser.add_argument("--base-directory", default="/data", metavar="DIRECTORY")
    parser.add_argument("--seconds", default=1.0, type=float, help="how long a prompt works that does not say so itself")
    return parser.parse_args()


def main():
    options = arguments()
    queue = Queue(os.path.join(options.base_directory, "output"), options.seconds)
    threading.Thread(target=queue.work, daemon=True).start()
    server = ThreadingHTTPServer((options.listen, options.port), handler_of(queue))
    log(f"{NAME} ({VERSION}, Python {platform.python_version()}, pid {os.getpid()}, uid {os.getuid()})")
    log(f"To see the GUI go to: http://{options.listen}:{server.server_port}")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        log("Stopped server")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What the Web UI costs in a headless Chromium, fed by a stand-in for a JobManager with more work than this machine could run:
the page of a job of 300 vertices with 100 subtasks each, its drawer, and the list of 1,000 jobs, each changing every second; and how
soon a page of a real JobManager is painted. The stand-in's answers have the shapes of src/rest/flink/view/live.rs."""

import argparse
import base64
import collections
import http.server
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ASSETS = ROOT / "src/web/assets"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html; charset=utf-8", ".svg": "image/svg+xml"}
JOB = "0" * 31 + "1"
ROW = 20


# ---- the stand-in


def vertex_id(index):
    return f"{index:032x}"


class Job:
    """Some sources in a row, each at the head of a chain of vertices; every number changes with the time."""

    def __init__(self, vertices, parallelism):
        self.vertices, self.parallelism, self.started = vertices, parallelism, now_ms() - 3_600_000

    def plan(self):
        nodes = []
        for index in range(self.vertices):
            node = {"id": vertex_id(index), "parallelism": self.parallelism, "operator": "", "operator_strategy": "",
                    "description": f"operator {index} -&gt; map<br/>", "optimizer_properties": {}}
            if index >= ROW:
                node["inputs"] = [{"num": 0, "id": vertex_id(index - ROW), "ship_strategy": "HASH", "exchange": "pipelined_bounded"}]
            nodes.append(node)
        return {"plan": {"jid": JOB, "name": "large", "type": "STREAMING", "nodes": nodes}}

    def view(self):
        return {
            "jid": JOB, "name": "large", "state": "RUNNING", "type": "STREAMING", "start": self.started, "end": -1, "waiting": None,
            "failure": None, "verdicts": [], "restarts": 0, "failures": 0, "since": [["RUNNING", self.started]],
            "vertices": [self.vertex(index) for index in range(self.vertices)],
            "checkpoints": {"interval": 5000, "completed": 1, "failed": 0, "running": 0, "latest": None, "latest-failed": None},
        }

    def vertex(self, index):
        busy = random.randrange(1000)
        held = random.randrange(1000 - busy)
        seconds = (now_ms() - self.started) // 1000
        rate = random.randrange(900_000, 1_000_000)
        return {
            "id": vertex_id(index), "name": f"operator {index} -> map", "parallelism": self.parallelism, "status": "RUNNING",
            "tasks": {"RUNNING": self.parallelism}, "start": self.started, "end": -1, "records": [seconds * rate, seconds * rate],
            "bytes": [seconds * rate * 20, seconds * rate * 20], "rate": [rate, rate], "rated": True, "busy": [busy // 2, busy],
            "backpressured": [held // 2, held], "idle": [1000 - busy // 2 - held // 2, 1000], "input": [seconds * rate // 100, seconds * rate // 90],
            "hot": 0, "hot-key": None, "bad": 0, "watermark": now_ms() - random.randrange(5000), "held-back": None,
        }

    def subtasks(self, vertex):
        def subtask(index):
            metrics = {f"{way}-{what}": random.randrange(10**9) for way in ("read", "write") for what in ("records", "bytes")}
            return {"subtask": index, "status": "RUNNING", "attempt": 0, "endpoint": f"host-{index % 8}:6122", "start-time": self.started,
                    "end-time": -1, "duration": now_ms() - self.started, "metrics": metrics, "taskmanager-id": f"tm-{index % 8}", "status-duration": {}}
        return {"id": vertex, "name": "operator", "parallelism": self.parallelism, "now": now_ms(),
                "subtasks": [subtask(index) for index in range(self.parallelism)]}

    def backpressure(self):
        share = lambda index: {"subtask": index, "backpressure-level": "ok", "ratio": random.random() / 2, "busyRatio": random.random() / 2, "idleRatio": 0.1}
        return {"status": "ok", "backpressureLevel": "ok", "end-timestamp": now_ms(), "subtasks": [share(index) for index in range(self.parallelism)]}


def many_jobs(count):
    ended = ["FINISHED", "FAILED", "CANCELED"]
    jobs = []
    for index in range(count):
        live = index % 2 == 0
        jobs.append({"jid": f"{index:032x}", "name": f"job {index}", "state": "RUNNING" if live else ended[index % 3], "start": now_ms() - index * 60_000,
                     "end": -1 if live else now_ms() - index * 1000, "tasks": {"RUNNING": random.randrange(1, 100), "FINISHED": random.randrange(1, 100)}})
    overview = {"taskmanagers": 50, "slots-total": 2000, "slots-available": random.randrange(900), "jobs-running": count // 2,
                "jobs-finished": count // 6, "jobs-cancelled": count // 6, "jobs-failed": count // 6}
    return {"overview": overview, "jobs": jobs}


def now_ms():
    return int(time.time() * 1000)


class StandIn(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    job, jobs = None, 0

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.lstrip("/").split("?")[0]
        views = {f"live/jobs/{JOB}": self.job.view, "live/cluster": lambda: many_jobs(self.jobs)}
        vertex = re.fullmatch(rf"jobs/{JOB}/vertices/(\w+)(/backpressure)?", path)
        if path in views and "event-stream" in self.headers.get("accept", ""):
            self.events(views[path])
        elif path in views:
            self.answer(json.dumps({"now": now_ms(), "view": views[path]()}))
        elif path == f"jobs/{JOB}/plan":
            self.answer(json.dumps(self.job.plan()))
        elif vertex:
            self.answer(json.dumps(self.job.backpressure() if vertex[2] else self.job.subtasks(vertex[1])))
        elif path == "config":
            self.answer(json.dumps({"flink-revision": "flott stand-in"}))
        else:
            file = ASSETS / (path.removeprefix("assets/") or "jobmanager.html")
            if file.is_file():
                self.answer(file.read_bytes(), TYPES.get(file.suffix, "text/plain"))
            else:
                self.answer('{"errors":["not here"]}', code=404)

    def answer(self, body, kind="application/json", code=200):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(code)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-security-policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'")
        self.end_headers()
        self.wfile.write(body)

    def events(self, look):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(f"data:{json.dumps({'now': now_ms(), 'view': look()})}\n\n".encode())
                time.sleep(1)
        except OSError:
            pass  # Nobody looks any more.


# ---- the browser

OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync", "--window-size=1366,768", "--force-device-scale-factor=1"]


class Browser:
    """A window, by the WebDriver protocol."""

    def __init__(self):
        self.profile = tempfile.TemporaryDirectory(prefix="flott-browser-", ignore_cleanup_errors=True)
        try:
            self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        except FileNotFoundError:
            sys.exit("bench: chromedriver is not there; run scripts/install-browser.sh")
        for line in self.driver.stdout:
            if found := re.search(r"successfully on port (\d+)", line):
                self.port = found[1]
                break
        options = {"args": [*OPTIONS, f"--user-data-dir={self.profile.name}"]}
        self.session = ""
        self.session = "/" + self.call("POST", "", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})["sessionId"]

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/session{self.session}{path}", data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def script(self, body):
        return self.call("POST", "/execute/sync", {"script": body, "args": []})

    def until(self, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not self.script(f"return {condition}"):
            if time.monotonic() > deadline:
                sys.exit(f"bench: the page never came to {condition}: {self.script('return document.body.innerText')[:300]}")
            time.sleep(0.1)

    def picture(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def cpu_seconds(self):
        """Of all its processes."""
        children, spent = collections.defaultdict(list), {}
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue  # It has ended.
            children[int(fields[1])].append(int(stat.parent.name))
            spent[int(stat.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        # The driver itself is no part of what a person runs.
        total, open_ = 0, list(children[self.driver.pid])
        while open_:
            pid = open_.pop()
            total += spent[pid]
            open_ += children[pid]
        return total

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.profile.cleanup()


WATCH_TASKS = """
window.longest = 0;
new PerformanceObserver((list) => { for (const it of list.getEntries()) window.longest = Math.max(window.longest, it.duration); }).observe({ entryTypes: ['longtask'] });
"""
# Scrolls the tallest table from end to end, a step a frame, and keeps how long each frame took.
SCROLL = """
window.frames_ms = [];
const box = [...document.querySelectorAll('.table')].sort((a, b) => b.scrollHeight - a.scrollHeight)[0];
let last = performance.now(), step = 0;
const tick = (at) => {
  window.frames_ms.push(at - last);
  last = at;
  box.scrollTop = (step / 180) * box.scrollHeight;
  if (++step <= 180) requestAnimationFrame(tick); else window.scrolled = true;
};
requestAnimationFrame(tick);
"""


def report(name, value, unit, budget):
    verdict = "" if budget is None else f"{budget:>7g} {unit:2}  {'met' if value <= budget else 'MISSED'}"
    print(f"{name:64} {value:8.1f} {unit:2} {verdict}", flush=True)


def live_page(browser, name, url, ready, seconds, budget):
    """What a page costs that changes every second, and its longest task: what delays an answer to a click."""
    browser.open("about:blank")
    browser.open(url)
    browser.until(ready)
    time.sleep(2)
    browser.script(WATCH_TASKS)
    before, at = browser.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    share = (browser.cpu_seconds() - before) * 100 / (time.monotonic() - at)
    report(f"{name}: of a core in the browser", share, "%", budget)
    report(f"{name}: longest task", browser.script("return window.longest"), "ms", 100)


def first_paint(flott, runs):
    """First contentful paint of a real JobManager's page: a new browser each time, nothing cached."""
    with tempfile.TemporaryDirectory(prefix="flott-ui-") as directory:
        ready = pathlib.Path(directory) / "ready"
        options = {"rest.port": 0, "jobmanager.rpc.port": 0, "flott.storage.dir": f"{directory}/storage"}
        daemon = subprocess.Popen([flott, "jobmanager", *(word for it in options.items() for word in ("-D", "{}={}".format(*it))), "--ready-file", ready],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not ready.exists():
                time.sleep(0.02)
            address = re.search(r"127\.0\.0\.1:\d+", ready.read_text())[0]
            paints = []
            for _ in range(runs):
                browser = Browser()
                browser.open(f"http://{address}/")
                find = "performance.getEntriesByName('first-contentful-paint')"
                browser.until(f"{find}.length > 0")
                paints.append(browser.script(f"return {find}[0].startTime"))
                browser.close()
            report(f"first contentful paint of a JobManager's page, {runs} new browsers", statistics.median(paints), "ms", 300)
        finally:
            daemon.terminate()
            daemon.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vertices", type=int, default=300)
    parser.add_argument("--parallelism", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--flott", default=str(ROOT / "target/release/flott"))
    parser.add_argument("--pictures", help="directory to keep pictures of the pages in")
    args = parser.parse_args()
    StandIn.job, StandIn.jobs = Job(args.vertices, args.parallelism), args.jobs
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    size = f"{args.vertices} vertices of {args.parallelism}"
    browser = Browser()
    try:
        pages = [
            ("graph", size, f"#/jobs/{JOB}", f"document.querySelectorAll('.node').length === {args.vertices}", 20),
            ("drawer", f"{size}, one open", f"#/jobs/{JOB}/graph/{vertex_id(ROW)}", "document.querySelectorAll('.drawer tbody tr').length > 20", 20),
            ("jobs", f"list of {args.jobs} jobs", "#/", "document.querySelectorAll('.table').length === 2", 20),
        ]
        for picture, name, page, ready, budget in pages:
            live_page(browser, name, base + page, ready, args.seconds, budget)
            if args.pictures:
                os.makedirs(args.pictures, exist_ok=True)
                browser.picture(f"{args.pictures}/{picture}.png")
        browser.script(SCROLL)
        browser.until("window.scrolled", 60)
        frames = sorted(browser.script("return window.frames_ms"))
        report(f"list of {args.jobs} jobs, scrolled: 95 of 100 frames within", frames[len(frames) * 95 // 100], "ms", 50)
    finally:
        browser.close()
    if pathlib.Path(args.flott).exists():
        first_paint(args.flott, args.runs)


main()

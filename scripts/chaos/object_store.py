"""Checkpoints and savepoints in an object store, against a server that speaks S3's protocol and what can befall it and the job.

The store is moto's, from PyPI, in an environment below target/. A job of examples/audit.rs runs with its checkpoints there while its
TaskManager and its JobManager are killed, and while the store is gone or busy; its savepoints move it from there into a directory and
back, over state backends and parallelisms. Nothing may be lost or doubled, and nothing may be left in the store that nobody needs.

scripts/chaos/object_store.py [--target DIR] [--keep]
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from checker import Checker, Violation
from cluster import Cluster, Gone, kill, wait_for
from job import HEALTHY_WITHIN_S, MOST_SUBTASKS, Feeder, state_of

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ACCESS, SECRET = "audit-access", "sesame-open-secret"
BUCKET = "audit"


def with_moto():
    """The server's program, made where there is none; none if it is not to be had."""
    venv = ROOT / "target/object-store-venv"
    server = venv / "bin/moto_server"
    if not server.exists():
        pip = [venv / "bin/python3", "-m", "pip", "install", "--quiet", "moto[server]>=5.1,<6"]
        for command in [[sys.executable, "-m", "venv", venv], pip]:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                shutil.rmtree(venv, ignore_errors=True)
                print(f"object_store: no server to test against: {(done.stderr or done.stdout).strip()}", file=sys.stderr)
                return None
    return server


class Front:
    """What the job sees of the store: connections to the server, or none, or one that says it is busy."""

    BUSY = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

    def __init__(self, server_port):
        self.server_port = server_port
        self.lock, self.open, self.mode = threading.Lock(), set(), "pass"
        self.refused = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        if self.mode != "pass":
            self.refused += 1
            with client:
                if self.mode == "busy":
                    client.recv(1 << 16)
                    client.sendall(self.BUSY)
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.server_port))
        except OSError:
            client.close()
            return
        with self.lock:
            self.open |= {client, server}
        threading.Thread(target=self.forward, args=(client, server), daemon=True).start()
        self.forward(server, client)

    def forward(self, source, target):
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        with self.lock:
            self.open -= {source, target}

    def set(self, mode):
        """Changes what happens to connections, and breaks those that are open."""
        self.mode = mode
        with self.lock:
            for end in self.open:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class Store:
    """The server, and what lies in it."""

    def __init__(self, program, log):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [program, "-H", "127.0.0.1", "-p", str(self.port)]
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("the store to be ready", lambda: self.ask("PUT", f"/{BUCKET}") is not None)
        self.front = Front(self.port)

    def ask(self, method, path):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def keys(self, prefix):
        """What counts. A file without a manifest may come late of a checkpoint that was given up while its worker was still writing."""
        keys = re.findall("<Key>([^<]*)</Key>", self.ask("GET", f"/{BUCKET}?list-type=2&prefix={prefix}") or "")
        return [key for key in keys if key.endswith("/_metadata") or "/shared/" in key]

    def stop(self):
        self.child.kill()
        self.child.wait()


class Round:
    """The job on the cluster, from one savepoint to the next."""

    def __init__(self, cluster, store, audit, said):
        self.cluster, self.store, self.audit, self.said = cluster, store, audit, said

    def begin(self, checkpoints, backend, parallelism, savepoint=None, claim=None):
        options = ["-t", "yarn-per-job", "-d", "-p", str(parallelism), "--output", "json"]
        for define in (f"execution.checkpointing.dir={checkpoints}", f"state.backend.type={backend}",
                       f"s3.endpoint=http://127.0.0.1:{self.store.front.port}", "execution.checkpointing.interval=300ms",
                       "execution.checkpointing.timeout=60s", "restart-strategy.type=exponential-delay",
                       "restart-strategy.exponential-delay.initial-backoff=100ms",
                       "restart-strategy.exponential-delay.max-backoff=1s", "yarn.application-attempts=100",
                       "taskmanager.numberOfTaskSlots=4", "taskmanager.memory.process.size=300m"):
            options += ["-D", define]
        if savepoint:
            options += ["-s", savepoint]
        if claim:
            options += ["--claimMode", claim]
        inputs = ["--input", self.audit / "entries", "--versions", self.audit / "versions", "--output", self.audit / "output"]
        code, answer = self.cluster.run("run", *options, str(self.cluster.binaries / "examples/audit"), *map(str, inputs))
        if code != 0:
            raise Gone(f"the job cannot be submitted: {answer}")
        submitted = json.loads(answer[answer.index("{"):])
        self.application, self.job = submitted["application"], submitted["job"]

    def kill(self, kind):
        for pid in wait_for(f"a {kind} to kill", lambda: self.cluster.of_kind(kind)):
            kill(pid)

    def savepoints(self, target):
        if not target.startswith("s3://"):
            return {str(path) for path in pathlib.Path(target).glob("savepoint-*")}
        prefix = target.removeprefix(f"s3://{BUCKET}/") + "/"
        return {f"{target}/{key.removeprefix(prefix).split('/')[0]}" for key in self.store.keys(prefix)}

    def end(self, *words):
        before = self.savepoints(words[-1]) if words[:1] == ("-p",) else set()
        code, answer = self.cluster.run("stop", *words, self.job, timeout=HEALTHY_WITHIN_S)
        if code != 0 and "it has ended, and archived no job" in answer:
            # Its JobManager was gone before it could be asked what had become of the savepoint, which what follows goes on from.
            code, answer = 0, " ".join(self.savepoints(words[-1]) - before)
        if code != 0:
            raise Gone(f"the job does not stop: {answer}")
        wait_for("the application to finish", lambda: state_of(self.cluster, self.application) == "FINISHED", HEALTHY_WITHIN_S)
        found = re.search(r"\S*savepoint-\S+", answer)
        return found and found.group().rstrip(".")


def run(work, binaries, program, said):
    store = Store(program, open(work / "store.log", "wb"))
    os.environ.update(AWS_ACCESS_KEY_ID=ACCESS, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="us-east-1")
    (work / "cluster").mkdir()
    cluster = AwsCluster(work / "cluster", binaries, nodes=1)
    try:
        audit(work, cluster, store, said)
    finally:
        cluster.stop()
        store.stop()


class AwsCluster(Cluster):
    """Its nodes hand the keys on to their containers."""

    def defines(self, daemon):
        names = "AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY,AWS_REGION"
        return super().defines(daemon) + ([] if daemon == "rm" else [f"yarn.nodemanager.env-whitelist={names}"])


def audit(work, cluster, store, said):
    directory = work / "audit"
    directory.mkdir()
    checker = Checker(directory / "output")
    feeder = Feeder(directory, checker, every_s=0.2)
    job = Round(cluster, store, directory, said)
    remote, local = f"s3://{BUCKET}/checkpoints", str(work / "checkpoints")
    endpoint = ["-D", f"s3.endpoint=http://127.0.0.1:{store.front.port}"]
    feeder.start()

    job.begin(remote, "hashmap", 2)
    feeder.wait_visible()
    said("checkpoints in the store")
    job.kill("taskmanager")
    feeder.wait_visible()
    said("TaskManager killed, and the job goes on")
    job.kill("jobmanager")
    feeder.wait_visible()
    said("JobManager killed, and the job goes on")
    for mode in ("down", "busy"):
        refused = store.front.refused
        store.front.set(mode)
        wait_for(f"requests to a store that is {mode}", lambda: store.front.refused > refused + 3)
        time.sleep(2)
        store.front.set("pass")
        feeder.wait_visible()
        said(f"the store was {mode} for a while, and the job goes on")
    savepoint = job.end("-p", f"s3://{BUCKET}/savepoints")
    left = store.keys("checkpoints/")
    if left:
        raise Violation(f"the job has ended, and left in the store: {left}")
    said(f"stopped with {savepoint}; its checkpoints are gone")

    code, answer = cluster.run("savepoint", "inspect", *endpoint, savepoint)
    if code != 0 or "key groups" not in answer:
        raise Violation(f"the savepoint cannot be inspected: {answer}")
    job.begin(local, "rocksdb", 3, savepoint)
    feeder.wait_visible()
    second = job.end("-p", str(work / "savepoints"))
    said(f"restored on disk at parallelism 3, stopped with {second}")

    job.begin(remote, "rocksdb", 1, second)
    feeder.wait_visible()
    job.kill("worker")
    feeder.wait_visible()
    third = job.end("-p", f"s3://{BUCKET}/savepoints")
    job.begin(remote, "hashmap", 2, third, claim="CLAIM")
    feeder.wait_visible()
    said("restored in the store, a worker killed, and restored from there again, claimed")
    feeder.running = False
    feeder.join()
    feeder.wait_visible(ahead=0)
    job.end("--drain")
    checker.scan()
    checker.check_running()
    checker.check_ended(held_back_max=10 * MOST_SUBTASKS)
    code, answer = cluster.run("savepoint", *endpoint, "--dispose", savepoint)
    left = store.keys("")
    if code != 0 or left:
        raise Violation(f"disposed of ({answer.strip()}), and left in the store: {left}")
    said(f"{len(checker.numbers)} records, each counted once; no checkpoint is left in the store")
    shown = [path for path in work.rglob("*") if path.is_file() and path.suffix in (".log", ".out", ".err", ".json")]
    telling = [str(path) for path in shown if SECRET.encode() in path.read_bytes()]
    if telling:
        raise Violation(f"the secret key stands in {telling}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", default=str(ROOT / "target/debug"), help="where flott and examples/audit lie, built with the feature s3")
    parser.add_argument("--keep", action="store_true", help="leave the directory with all logs")
    options = parser.parse_args()
    program = with_moto()
    if program is None:
        sys.exit(1)
    work, begun = pathlib.Path(tempfile.mkdtemp(prefix="flott-object-store-")), time.monotonic()

    def said(words):
        print(f"{time.monotonic() - begun:6.1f} s  {words}", flush=True)

    try:
        run(work, options.target, program, said)
    except (Gone, Violation) as failure:
        print(f"object_store: {failure}\nlogs: {work}", file=sys.stderr)
        sys.exit(1)
    if not options.keep:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()

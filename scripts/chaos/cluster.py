"""A resource manager, three node managers behind a proxy of ours, and the processes they start."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from proxy import Proxy

PATIENCE = 60.0
MEBIBYTE = 1 << 20


class Gone(Exception):
    """A process or the job is not there, where it should be."""


def wait_for(what, condition, patience=PATIENCE, pause=0.02):
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value is not None and value is not False:
            return value
        if time.monotonic() > end:
            raise Gone(f"still waiting after {patience:.0f} s: {what}")
        time.sleep(pause)


def kill(pid, number=signal.SIGKILL):
    """Whether there was such a process."""
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


class Cluster:
    def __init__(self, directory, binaries, nodes=3):
        self.dir = pathlib.Path(directory)
        self.binaries = pathlib.Path(binaries).resolve()
        self.flott = str(self.binaries / "flott")
        self.mounted = []
        self.daemons = {}
        for name in ("rm", "storage", "output", *(f"nm-{index}" for index in range(nodes))):
            self.mount(name)
        self.port = "0"
        self.start("rm")
        self.port = self.address("rm").rsplit(":", 1)[1]
        self.proxy = Proxy(int(self.port))
        self.nodes = [f"nm-{index}" for index in range(nodes)]
        self.node_ports = dict.fromkeys(self.nodes, "0")
        for node in self.nodes:
            self.start(node)
            self.node_ports[node] = self.address(node).rsplit(":", 1)[1]

    def mount(self, name):
        """A file system of its own for a directory, so that it can be made full; where that is not allowed, the directory alone."""
        path = self.dir / name
        path.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3g", "flott-chaos", path], capture_output=True)
        if done.returncode == 0:
            self.mounted.append(name)

    def fill(self, name):
        """Leaves no room on a file system."""
        usage = os.statvfs(self.dir / name)
        used = (usage.f_blocks - usage.f_bfree) * usage.f_frsize
        self.resize(name, used // 1024 + 4)

    def empty(self, name):
        self.resize(name, 3 * MEBIBYTE)

    def resize(self, name, kibibytes):
        subprocess.run(["mount", "-o", f"remount,size={kibibytes}k", self.dir / name], check=True)

    def defines(self, daemon):
        if daemon == "rm":
            return [f"resourcemanager.port={self.port}", f"resourcemanager.state-dir={self.dir / 'rm' / 'state'}",
                    "resourcemanager.am.max-attempts=100000", "resourcemanager.node-expiry=8s",
                    "resourcemanager.am-expiry=8s"]
        return [f"resourcemanager.port={self.proxy.port}", f"nodemanager.port={self.node_ports[daemon]}",
                f"nodemanager.dir={self.dir / daemon / 'work'}", "nodemanager.memory=2g"]

    def start(self, daemon):
        """Starts a daemon on its directory and port, and waits until it is ready."""
        ready = self.dir / f"{daemon}.ready"
        ready.unlink(missing_ok=True)
        verb = "resourcemanager" if daemon == "rm" else "nodemanager"
        command = [self.flott, verb, "--ready-file", str(ready)]
        for define in self.defines(daemon):
            command += ["-D", define]
        with open(self.dir / f"{daemon}.log", "ab") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     start_new_session=True)
        self.daemons[daemon] = child

        def is_ready():
            if child.poll() is not None:
                tail = (self.dir / f"{daemon}.log").read_text(errors="replace")[-2000:]
                raise Gone(f"{daemon} ended with {child.returncode}:\n{tail}")
            return ready.exists() and ready.stat().st_size > 0

        wait_for(f"{daemon} to be ready", is_ready)

    def address(self, daemon):
        return json.loads((self.dir / f"{daemon}.ready").read_text())["address"]

    def kill_daemon(self, daemon):
        self.daemons[daemon].kill()
        self.daemons[daemon].wait()

    def command(self, *words):
        verbs = 2 if words[0] == "app" or words[1:2] == ("inspect",) else 1
        port, storage = f"resourcemanager.port={self.port}", f"flott.storage.dir={self.dir / 'storage'}"
        return [self.flott, *words[:verbs], "-D", port, "-D", storage, *words[verbs:]]

    def run(self, *words, timeout=60):
        """A command's exit code and output."""
        try:
            done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return None, f"no answer in {timeout} s"
        return done.returncode, done.stdout + done.stderr

    def processes(self):
        """(pid, kind) of each process below the daemons: jobmanager, taskmanager, worker, and the launcher of a container, a shell."""
        found = []
        marker, daemons = str(self.dir).encode(), {child.pid for child in self.daemons.values()}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) in daemons:
                continue
            try:
                command = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                ours = marker in command or marker in (entry / "environ").read_bytes()
            except OSError:
                continue
            if not ours or os.getpid() in (parent, int(entry.name)):
                continue
            words = command.replace(b"\0", b" ").decode(errors="replace")
            kind = re.search(r"^/bin/sh -c trap|\b(?:jobmanager|taskmanager)\b", words)
            kind = "worker" if kind is None else "launcher" if kind.start() == 0 else kind.group()
            found.append((int(entry.name), kind))
        return found

    def of_kind(self, kind):
        return [pid for pid, known in self.processes() if known == kind]

    def containers_of(self, node):
        """Processes whose working directory lies below a node's."""
        below = []
        for pid, _ in self.processes():
            try:
                if os.readlink(f"/proc/{pid}/cwd").startswith(str(self.dir / node)):
                    below.append(pid)
            except OSError:
                continue
        return below

    def keep_logs(self):
        """Saves what lies on file systems that go with the cluster."""
        for name in self.mounted:
            if name.startswith("nm-"):
                for path in (self.dir / name).rglob("*"):
                    if path.is_file() and path.suffix in (".log", ".out", ".err", "") and path.stat().st_size < 5_000_000:
                        place = self.dir / "kept" / path.relative_to(self.dir)
                        place.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(path, place)

    def stop(self):
        for child in self.daemons.values():
            child.kill()
            child.wait()
        for pid, _ in self.processes():
            kill(pid, signal.SIGCONT)
            kill(pid)
        for name in self.mounted:
            subprocess.run(["umount", "-l", self.dir / name], capture_output=True)

"""How much of the machine each process of a cluster holds, and each directory of flott's."""

import collections
import csv
import os
import pathlib
import threading
import time

QUANTITIES = ("rss", "threads", "descriptors", "disk", "cpu")
TICKS = os.sysconf("SC_CLK_TCK")


def disk_of(directory, apart=()):
    """Bytes of the files below a directory, without those below a directory of a name in `apart`."""
    total, waiting = 0, [directory]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                if not entry.is_dir(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                elif entry.name not in apart:
                    waiting.append(entry.path)
            except OSError:
                continue
    return total


def read(pid):
    """What a process holds, or None if it is gone. Its CPU time is in seconds since it started."""
    process = pathlib.Path("/proc", str(pid))
    try:
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
        if "VmRSS" not in status:
            return None
        words = (process / "stat").read_text().rsplit(")", 1)[1].split()
        return {
            "started": int(words[19]),
            "rss": int(status["VmRSS"].split()[0]) * 1024,
            "threads": int(status["Threads"]),
            "descriptors": len(os.listdir(process / "fd")),
            "cpu": (int(words[11]) + int(words[12])) / TICKS,
        }
    except (OSError, ValueError):
        return None


class Sampler(threading.Thread):
    """Notes every few seconds what each process and each directory holds, in memory and in a CSV file.

    `lives` maps (role, name) to (seconds since the start, {quantity: value}) in order of time. A process that is started again has a
    life of its own. Savepoints belong to whoever asked for them, and a node's cache of programs has a bound of its own and takes a step when
    the first container comes, so they are not counted."""

    def __init__(self, cluster, path, every_s):
        super().__init__(daemon=True)
        self.cluster, self.every_s = cluster, every_s
        self.began = time.monotonic()
        self.lives = collections.defaultdict(list)
        self.running = True
        self.file = open(path, "w", newline="")
        self.writer = csv.writer(self.file)
        self.writer.writerow(["seconds", "role", "name", *QUANTITIES])

    def elapsed(self):
        return time.monotonic() - self.began

    def run(self):
        while self.running:
            began = time.monotonic()
            self.sample()
            time.sleep(max(0.1, self.every_s - (time.monotonic() - began)))
        self.file.close()

    def sample(self):
        at = self.elapsed()
        for daemon, child in list(self.cluster.daemons.items()):
            self.process(at, "ResourceManager" if daemon == "rm" else "NodeManager", daemon, child.pid, None)
            self.note(at, "directory", daemon, {"disk": disk_of(self.cluster.dir / daemon, apart={"filecache"})})
        for pid, kind in self.cluster.processes():
            role = {"jobmanager": "JobManager", "taskmanager": "TaskManager"}.get(kind, kind)
            try:
                directory = os.readlink(f"/proc/{pid}/cwd")
            except OSError:
                continue
            self.process(at, role, role.lower(), pid, directory)
        self.note(at, "directory", "storage", {"disk": disk_of(self.cluster.dir / "storage", apart={"savepoints"})})
        self.file.flush()

    def process(self, at, role, name, pid, directory):
        held = read(pid)
        if held is None:
            return
        if directory is not None:
            held["disk"] = disk_of(directory)
        self.note(at, role, f"{name}-{pid}.{held.pop('started')}", held)

    def note(self, at, role, name, held):
        self.lives[role, name].append((at, held))
        self.writer.writerow([f"{at:.1f}", role, name, *(held.get(quantity, "") for quantity in QUANTITIES)])

"""What is done to the job and its cluster. Each fault is a function of a `Scene`; it returns when it has been done and undone."""

import os
import pathlib
import signal
import subprocess
import time

from cluster import kill, wait_for

PROCESSES = ["worker", "taskmanager", "jobmanager", "nodemanager", "resourcemanager"]
FAULTS = {}


def fault(function):
    FAULTS[function.__name__.replace("_", "-")] = function
    return function


class Scene:
    """The cluster, the job that runs in it, and the dice."""

    def __init__(self, cluster, application, job, dice, freeze_max, feeder):
        self.cluster, self.application, self.job, self.dice = cluster, application, job, dice
        self.freeze_max, self.feeder = freeze_max, feeder
        self.kills = 0
        self.parallelism = 2

    def pids(self, kind):
        """Of one process of a kind: which, and the daemon's name if it is one."""
        if kind == "resourcemanager":
            return self.cluster.daemons["rm"].pid, "rm"
        if kind == "nodemanager":
            node = self.dice.choice(self.cluster.nodes)
            return self.cluster.daemons[node].pid, node
        found = self.cluster.of_kind(kind)
        return (self.dice.choice(found), None) if found else (None, None)

    def kill(self, kind, pause=0.0):
        """kill -9; a daemon is started again after a pause."""
        pid, daemon = self.pids(kind)
        if daemon:
            self.cluster.kill_daemon(daemon)
            self.kills += 1
            time.sleep(pause)
            self.cluster.start(daemon)
        elif pid and kill(pid):
            self.kills += 1

    def freeze(self, kinds):
        frozen = [pid for pid, _ in map(self.pids, kinds) if pid and kill(pid, signal.SIGSTOP)]
        time.sleep(self.dice.uniform(min(5.0, self.freeze_max), self.freeze_max))
        for pid in frozen:
            kill(pid, signal.SIGCONT)

    def pause(self, most=3.0):
        time.sleep(self.dice.uniform(0.0, most))

    def client(self, *words):
        """Starts a command and does not wait for it."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.cluster.command(*words), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)

    def savepoint(self):
        directory = self.cluster.dir / "storage" / "savepoints"
        return self.client("savepoint", self.job, str(directory))

    def rescale(self):
        self.parallelism = self.dice.choice([one for one in (1, 2, 3, 4) if one != self.parallelism])
        return self.client("rescale", self.job, str(self.parallelism))

    def checkpoints(self):
        """Directories of the job's complete checkpoints, the latest last."""
        storage = pathlib.Path(self.cluster.dir / "storage")
        found = [path.parent for path in storage.rglob("chk-*/_metadata")]
        return sorted(found, key=lambda path: int(path.name.rsplit("-", 1)[1]))


def register(prefix, action):
    for kind in PROCESSES:
        def one(scene, kind=kind):
            action(scene, kind)
        FAULTS[f"{prefix}-{kind}"] = one


register("kill", lambda scene, kind: scene.kill(kind, scene.dice.uniform(0.0, 4.0)))
register("freeze", lambda scene, kind: scene.freeze([kind]))


@fault
def freeze_two(scene):
    scene.freeze(scene.dice.sample(PROCESSES, 2))


@fault
def kill_two(scene):
    for kind in scene.dice.sample(PROCESSES, 2):
        scene.kill(kind)


@fault
def kill_job_manager_and_resource_manager(scene):
    pid, _ = scene.pids("jobmanager")
    scene.cluster.kill_daemon("rm")
    scene.kills += 1 + bool(pid and kill(pid))
    scene.pause()
    scene.cluster.start("rm")


@fault
def crash_node(scene):
    """A machine: its node manager and all that runs there."""
    node = scene.dice.choice(scene.cluster.nodes)
    containers = scene.cluster.containers_of(node)
    scene.cluster.kill_daemon(node)
    scene.kills += 1 + sum(kill(pid) for pid in containers)
    scene.pause(12.0)
    scene.cluster.start(node)


@fault
def kill_all(scene):
    """The power of the whole cluster goes."""
    everything = scene.cluster.processes()
    for daemon in scene.cluster.daemons:
        scene.cluster.kill_daemon(daemon)
    scene.kills += len(scene.cluster.daemons) + sum(kill(pid) for pid, _ in everything)
    for daemon in scene.cluster.daemons:
        scene.cluster.start(daemon)


@fault
def kill_client(scene):
    client = scene.savepoint()
    scene.pause(0.3)
    client.kill()
    client.wait()
    scene.kills += 1


def during(begin, kind):
    def one(scene):
        client = begin(scene)
        scene.pause(1.0)
        if kind:
            scene.kill(kind)
        try:
            _, said = client.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            client.kill()
            _, said = client.communicate()
        if client.returncode != 0 and not kind:
            raise RuntimeError(f"{' '.join(client.args[1:2])}: {said}")
    return one


FAULTS["savepoint"] = during(Scene.savepoint, None)
FAULTS["savepoint-kill-worker"] = during(Scene.savepoint, "worker")
FAULTS["savepoint-kill-jobmanager"] = during(Scene.savepoint, "jobmanager")
FAULTS["rescale"] = during(Scene.rescale, None)
FAULTS["rescale-kill-worker"] = during(Scene.rescale, "worker")
FAULTS["rescale-kill-taskmanager"] = during(Scene.rescale, "taskmanager")
FAULTS["rescale-kill-jobmanager"] = during(Scene.rescale, "jobmanager")


def full(name):
    def one(scene):
        scene.cluster.fill(name)
        try:
            time.sleep(scene.dice.uniform(2.0, 8.0))
        finally:
            scene.cluster.empty(name)
        if name == "rm" and scene.cluster.daemons["rm"].poll() is not None:
            scene.cluster.start("rm")
        if name in scene.cluster.nodes and scene.cluster.daemons[name].poll() is not None:
            scene.cluster.start(name)
    return one


for place in ("storage", "output", "rm", "nm-1"):
    FAULTS[f"full-disk-{place}"] = full(place)


@fault
def reset_links(scene):
    scene.cluster.proxy.reset()


def network(to_server, to_client):
    def one(scene):
        proxy = scene.cluster.proxy
        proxy.to_server, proxy.to_client = to_server, to_client
        try:
            time.sleep(scene.dice.uniform(3.0, 15.0))
        finally:
            proxy.to_server = proxy.to_client = "pass"
    return one


FAULTS["cut-to-resourcemanager"] = network("drop", "pass")
FAULTS["cut-from-resourcemanager"] = network("pass", "drop")
FAULTS["cut-resourcemanager"] = network("drop", "drop")
FAULTS["slow-resourcemanager"] = network(1.0, 1.0)


def damaged(action):
    """The latest checkpoint's files are damaged when nothing was read since the one before, so that going back repeats nothing."""
    def one(scene):
        with scene.feeder.paused():
            scene.feeder.wait_visible(ahead=0)
            for _ in range(2):
                code, answer = scene.cluster.run("checkpoint", scene.job)
                if code != 0:
                    raise RuntimeError(f"no checkpoint: {answer}")
            files = [path for path in scene.checkpoints()[-1].iterdir() if path.name != "_metadata" and path.stat().st_size]
            action(scene.dice.choice(files))
            scene.kill("worker")
            wait_for("the job to have gone back", lambda: len(scene.cluster.of_kind("worker")) > 0)
    return one


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


FAULTS["checkpoint-truncated"] = damaged(lambda path: os.truncate(path, path.stat().st_size // 2))
FAULTS["checkpoint-flipped"] = damaged(flip)
FAULTS["checkpoint-deleted"] = damaged(lambda path: path.unlink())

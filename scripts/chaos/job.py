"""The job of examples/audit.rs on a cluster: its input, its submission, and what has become of it."""

import contextlib
import json
import threading
import time

from checker import Violation
from cluster import Gone, wait_for

KEYS = 50
FILE_EVERY_S = 0.4
ENTRIES_A_FILE = 200
HEALTHY_WITHIN_S = 120.0
MOST_SUBTASKS = 4


class Feeder(threading.Thread):
    """Writes files of records into the job's input directory, and looks at what becomes visible."""

    def __init__(self, directory, checker, every_s=FILE_EVERY_S):
        super().__init__(daemon=True)
        self.every_s = every_s
        self.entries, self.versions = directory / "entries", directory / "versions"
        self.entries.mkdir()
        self.versions.mkdir()
        self.checker = checker
        self.lock = threading.RLock()
        self.running = True
        self.failure = None
        self.number = 0

    def run(self):
        while self.running:
            try:
                with self.lock:
                    self.write()
                    self.checker.scan()
            except Violation as violation:
                self.failure = violation
                return
            time.sleep(self.every_s)

    def write(self):
        self.number += 1
        at_ms = int(time.time() * 1000)
        each = ENTRIES_A_FILE // KEYS
        numbers = range(self.number * each, (self.number + 1) * each)
        entries = [(key, number, at_ms + number % 7) for number in numbers for key in range(KEYS)]
        self.checker.feed(entries)
        self.publish(self.entries, "".join(f"{key} {number} {at}\n" for key, number, at in entries))
        if self.number % 8 == 0:
            self.checker.versions += 1
            self.publish(self.versions, f"{self.checker.versions}\n")

    def publish(self, directory, text):
        hidden = directory / f".{self.number:08}"
        hidden.write_text(text)
        hidden.rename(directory / f"{self.number:08}.txt")

    @contextlib.contextmanager
    def paused(self):
        with self.lock:
            yield

    def wait_visible(self, ahead=1, patience=HEALTHY_WITHIN_S):
        """Until the records of a file that is written from now on, or with `ahead=0` of the last one written, are in visible output."""
        with self.lock:
            number = (self.number + ahead + 1) * (ENTRIES_A_FILE // KEYS) - 1

        def visible():
            with self.lock:
                if self.failure:
                    raise self.failure
                self.checker.scan()
                return self.checker.latest >= number

        wait_for(f"record {number} to become visible", visible, patience, self.every_s / 20)


def submit(cluster, directory, output, checkpoints="1s"):
    options = ["-t", "yarn-per-job", "-d", "-p", "2", "--output", "json"]
    for define in (f"execution.checkpointing.interval={checkpoints}", "execution.checkpointing.num-retained=3",
                   "execution.checkpointing.timeout=30s", "restart-strategy.type=exponential-delay",
                   "restart-strategy.exponential-delay.initial-backoff=100ms",
                   "restart-strategy.exponential-delay.max-backoff=2s", "yarn.application-attempts=100000",
                   "taskmanager.numberOfTaskSlots=2", "taskmanager.memory.process.size=256m"):
        options += ["-D", define]
    program = ["--input", directory / "entries", "--versions", directory / "versions", "--output", output]
    code, answer = cluster.run("run", *options, str(cluster.binaries / "examples/audit"), *map(str, program))
    if code != 0:
        raise Gone(f"the job cannot be submitted: {answer}")
    submitted = json.loads(answer[answer.index("{"):])
    return submitted["application"], submitted["job"]


def state_of(cluster, application):
    code, answer = cluster.run("app", "status", "--output", "json", application)
    return json.loads(answer)["state"] if code == 0 else None


def drain(cluster, application, job, feeder):
    """Ends the input and the job; its output is complete then, and checked."""
    feeder.running = False
    feeder.join()
    feeder.wait_visible(ahead=0)  # What a source has not read when it is stopped is not lost, and not counted.
    code, answer = cluster.run("stop", "--drain", job, timeout=HEALTHY_WITHIN_S)
    if code != 0:
        raise Gone(f"the job does not stop: {answer}")
    wait_for("the application to finish", lambda: state_of(cluster, application) == "FINISHED", HEALTHY_WITHIN_S)
    feeder.checker.scan()
    feeder.checker.check_running()
    feeder.checker.check_ended(held_back_max=10 * MOST_SUBTASKS)

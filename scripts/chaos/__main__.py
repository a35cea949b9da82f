"""Runs examples/audit.rs on a cluster of its own, breaks things, and checks the output all the while. Ends with 0 if nothing was lost
or doubled and the job was well again after each fault."""

import argparse
import contextlib
import json
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

from checker import Checker, Violation
from cluster import Cluster, Gone, wait_for
from faults import FAULTS, Scene

KEYS = 50
FILE_EVERY_S = 0.4
ENTRIES_A_FILE = 200
HEALTHY_WITHIN_S = 120.0
MOST_SUBTASKS = 4


class Feeder(threading.Thread):
    """Writes files of records into the job's input directory, and looks at what becomes visible."""

    def __init__(self, directory, checker):
        super().__init__(daemon=True)
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
            time.sleep(FILE_EVERY_S)

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

        wait_for(f"record {number} to become visible", visible, patience)


def submit(cluster, directory, output):
    options = ["-t", "yarn-per-job", "-d", "-p", "2", "--output", "json"]
    for define in ("execution.checkpointing.interval=1s", "execution.checkpointing.num-retained=3",
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


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def report(times, scene, checker, started):
    minutes = (time.monotonic() - started) / 60
    every = [one for several in times.values() for one in several]
    print(f"\n{len(every)} faults of {len(times)} kinds in {minutes:.1f} min: {scene.kills} kills, {len(every)} recoveries")
    for kind, several in sorted(times.items()):
        print(f"  {kind:40} {len(several):3}   healthy again after {percentile(several, 0.5):5.1f} s, worst {max(several):5.1f} s")
    p50, p99 = percentile(every, 0.5), percentile(every, 0.99)
    print(f"time to healthy: p50 {p50:.1f} s, p99 {p99:.1f} s, max {max(every):.1f} s")
    print(f"{len(checker.given)} records, 0 lost, 0 doubled; {len(checker.windows['tumbling'])} + {len(checker.windows['sliding'])} windows, "
          f"{len(checker.timers)} timers, {sum(checker.late.values())} late")


def kinds(arguments):
    if not arguments.faults:
        return list(FAULTS)
    chosen = arguments.faults.split(",")
    unknown = [kind for kind in chosen if kind not in FAULTS]
    if unknown:
        sys.exit(f"no such fault: {', '.join(unknown)}; --list names them")
    return chosen


def next_fault(chosen, dice):
    """Each kind once, in random order, and again."""
    while True:
        yield from dice.sample(chosen, len(chosen))


def torment(arguments, directory):
    dice = random.Random(arguments.seed)
    cluster = Cluster(directory, arguments.target)
    checker = Checker(directory / "output")
    feeder = Feeder(directory, checker)
    times, done = {}, 0
    started = time.monotonic()
    try:
        application, job = submit(cluster, directory, directory / "output")
        scene = Scene(cluster, application, job, dice, arguments.freeze, feeder)
        feeder.start()
        feeder.wait_visible()
        chosen = [kind for kind in kinds(arguments) if cluster.mounted or not kind.startswith("full-disk")]
        for kind in next_fault(chosen, dice):
            if done >= arguments.count if arguments.count else time.monotonic() - started > arguments.minutes * 60:
                break
            print(f"[{time.monotonic() - started:7.1f}] {kind}", end="", flush=True)
            FAULTS[kind](scene)
            over = time.monotonic()
            feeder.wait_visible()
            took = time.monotonic() - over
            times.setdefault(kind, []).append(took)
            done += 1
            with feeder.lock:
                checker.check_running()
            print(f": healthy again after {took:.1f} s", flush=True)
        feeder.running = False
        feeder.join()
        feeder.wait_visible(ahead=0)  # What a source has not read when it is stopped is not lost, and not counted.
        code, answer = cluster.run("stop", "--drain", job, timeout=HEALTHY_WITHIN_S)
        if code != 0:
            raise Gone(f"the job does not stop: {answer}")
        wait_for("the application to finish", lambda: state_of(cluster, application) == "FINISHED", HEALTHY_WITHIN_S)
        checker.scan()
        checker.check_running()
        checker.check_ended(held_back_max=10 * MOST_SUBTASKS)
        report(times, scene, checker, started)
        return 0
    except (Violation, Gone, RuntimeError) as failure:
        print(f"\nFAILED: {failure}\nseed {arguments.seed}; logs and files: {directory}", flush=True)
        arguments.keep = True
        return 1
    finally:
        feeder.running = False
        if arguments.keep:
            keep_logs(cluster, directory)
        cluster.stop()


def keep_logs(cluster, directory):
    """What lies on file systems that go with the cluster."""
    for name in cluster.mounted:
        if name.startswith("nm-"):
            for path in (directory / name).rglob("*"):
                if path.is_file() and path.suffix in (".log", ".out", ".err", "") and path.stat().st_size < 5_000_000:
                    place = directory / "kept" / path.relative_to(directory)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, place)


def main():
    parser = argparse.ArgumentParser(prog="scripts/chaos.sh", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long faults go on (default 5)")
    parser.add_argument("--count", type=int, help="how many faults, whatever the time")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the dice")
    parser.add_argument("--faults", help="only these kinds, separated by commas")
    parser.add_argument("--freeze", type=float, default=20.0, help="the longest freeze in seconds (default 20)")
    parser.add_argument("--list", action="store_true", help="name the kinds of faults")
    parser.add_argument("--keep", action="store_true", help="leave logs and files")
    parser.add_argument("--debug", action="store_true", help="use debug builds")
    parser.add_argument("--target", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(FAULTS))
        return 0
    kinds(arguments)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="flott-chaos-"))
    print(f"seed {arguments.seed}, in {directory}", flush=True)
    code = torment(arguments, directory)
    if not arguments.keep:
        shutil.rmtree(directory, ignore_errors=True)
    return code


sys.exit(main())

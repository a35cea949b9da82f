"""Runs examples/audit.rs on a cluster of its own, breaks things, and checks the output all the while. Ends with 0 if nothing was lost
or doubled and the job was well again after each fault."""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import time

from checker import Checker, Violation
from cluster import Cluster, Gone
from faults import FAULTS, Scene
from job import Feeder, drain, submit


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
        drain(cluster, application, job, feeder)
        report(times, scene, checker, started)
        return 0
    except (Violation, Gone, RuntimeError) as failure:
        print(f"\nFAILED: {failure}\nseed {arguments.seed}; logs and files: {directory}", flush=True)
        arguments.keep = True
        return 1
    finally:
        feeder.running = False
        if arguments.keep:
            cluster.keep_logs()
        cluster.stop()


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

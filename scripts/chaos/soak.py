"""Lets the job of examples/audit.rs run for hours at a steady rate with a kill now and then, and notes what each process holds: memory,
threads, descriptors, disk. Ends with 0 if no record was lost or doubled and nothing grows."""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import time

import slopes
from checker import Checker, Violation
from cluster import Cluster, Gone
from faults import FAULTS, Scene
from job import Feeder, drain, submit
from plot import svg
from samples import QUANTITIES, Sampler

FILE_EVERY_S = 2.0  # A hundred records a second.
CHECKPOINTS = "10s"
KILLS = ["kill-worker", "kill-client", "kill-taskmanager", "savepoint-kill-worker", "kill-nodemanager", "kill-jobmanager", "crash-node",
         "kill-resourcemanager"]


def kills(dice):
    """Each kind once, in random order, and again."""
    while True:
        yield from dice.sample(KILLS, len(KILLS))


class Soak:
    def __init__(self, arguments, directory):
        self.arguments, self.directory = arguments, directory
        self.cluster = Cluster(directory, arguments.target)
        self.checker = Checker(directory / "output")
        self.feeder = Feeder(directory, self.checker, FILE_EVERY_S)
        self.sampler = Sampler(self.cluster, arguments.out / "samples.csv", arguments.sample_every)
        self.marks = []

    def run(self):
        output = self.directory / "output"
        application, job = submit(self.cluster, self.directory, output, CHECKPOINTS)
        scene = Scene(self.cluster, application, job, random.Random(self.arguments.seed), 10.0, self.feeder)
        self.feeder.start()
        self.sampler.start()
        self.feeder.wait_visible()
        end = self.arguments.hours * 3600
        for kind in kills(scene.dice):
            if not self.quiet(min(self.sampler.elapsed() + self.arguments.kill_every, end)):
                break
            self.marks.append((self.sampler.elapsed() / 3600, kind))
            print(f"[{self.sampler.elapsed():7.1f}] {kind}", end="", flush=True)
            FAULTS[kind](scene)
            over = time.monotonic()
            self.feeder.wait_visible()
            print(f": healthy again after {time.monotonic() - over:.1f} s", flush=True)
            with self.feeder.lock:
                self.checker.check_running()
            self.draw()
        self.sampler.running = False
        self.sampler.join()
        drain(self.cluster, application, job, self.feeder)
        print(f"{scene.kills} kills, {len(self.checker.given)} records, 0 lost, 0 doubled")

    def quiet(self, until):
        """Waits, and says whether the end has not come yet."""
        while self.sampler.elapsed() < until:
            if self.feeder.failure:
                raise self.feeder.failure
            time.sleep(1.0)
        return until < self.arguments.hours * 3600

    def draw(self):
        """Writes a plot for each quantity, and the table. Whether nothing grows."""
        lives = {life: list(samples) for life, samples in list(self.sampler.lives.items())}
        for quantity in QUANTITIES:
            unit, name = slopes.UNITS[quantity]
            curves = [(named if role == "directory" else role, [(at / 3600, held[quantity] / unit) for at, held in samples if quantity in held])
                      for (role, named), samples in lives.items()]
            title = f"{quantity} in {name}" if name else quantity
            (self.arguments.out / f"{quantity}.svg").write_text(svg(title, [one for one in curves if one[1]], self.marks))
        table, steady = slopes.report(lives, self.arguments.warm_up * 60)
        (self.arguments.out / "slopes.txt").write_text(table)
        return table, steady


def soak(arguments, directory):
    run = Soak(arguments, directory)
    try:
        run.run()
        table, steady = run.draw()
        print(table)
        print("nothing grows" if steady else "GROWS: see above")
        return 0 if steady else 1
    except (Violation, Gone, RuntimeError) as failure:
        print(f"\nFAILED: {failure}\nseed {arguments.seed}; logs and files: {directory}", flush=True)
        arguments.keep = True
        run.draw()
        return 1
    finally:
        run.feeder.running = run.sampler.running = False
        if arguments.keep:
            run.cluster.keep_logs()
        run.cluster.stop()


def main():
    parser = argparse.ArgumentParser(prog="scripts/soak.sh", description=__doc__)
    parser.add_argument("--hours", type=float, required=True, help="how long")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the order of kills and of their victims")
    parser.add_argument("--kill-every", type=float, default=300.0, metavar="SECONDS", help="between one kill and the next (default 300)")
    parser.add_argument("--sample-every", type=float, default=5.0, metavar="SECONDS", help="between samples (default 5)")
    parser.add_argument("--warm-up", type=float, default=3.0, metavar="MINUTES", help="of a process that do not count (default 3)")
    parser.add_argument("--out", type=pathlib.Path, help="where samples.csv, slopes.txt and the plots go (default target/soak)")
    parser.add_argument("--keep", action="store_true", help="leave logs and files")
    parser.add_argument("--target", type=pathlib.Path, help="a directory with flott and examples/audit, instead of building them")
    arguments = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parents[2]
    arguments.target = arguments.target or root / "target" / "release"
    arguments.out = arguments.out or root / "target" / "soak"
    arguments.out.mkdir(parents=True, exist_ok=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="flott-soak-"))
    print(f"seed {arguments.seed}, in {directory}; plots in {arguments.out}", flush=True)
    code = soak(arguments, directory)
    if not arguments.keep:
        shutil.rmtree(directory, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Runs a command and prints what it cost as `wall_s<TAB>cpu_s<TAB>peak_mb`.

    measure.py run [--stdout FILE] -- COMMAND [ARG...]
    measure.py cluster --start SHELL --run SHELL --stop SHELL [--log FILE]
    measure.py start --until-slots N --url URL --start SHELL [--log FILE]     (prints wall_s only)

CPU seconds are user + system of the command and all its descendants. `cluster` makes this process the reaper of orphans, so
daemons that detach themselves are counted too: wall time is that of --run; CPU is everything from the moment --start returned until
the last process was gone. Peak memory is the largest sum, over the processes alive at one moment, of their high-water marks.
"""

import argparse
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.request

SAMPLE_S = 0.02
LEFTOVER_DEADLINE_S = 10.0
TICKS = os.sysconf("SC_CLK_TCK")


def stat_fields(pid):
    """The fields of /proc/PID/stat behind the name (state is the first), or None once it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return None


def descendants(root):
    """Living processes below `root`, by pid, with their stat fields."""
    stats = {int(name): stat_fields(name) for name in os.listdir("/proc") if name.isdigit()}
    children = {}
    for pid, fields in stats.items():
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
    found, waiting = {}, [root]
    while waiting:
        for pid in children.get(waiting.pop(), []):
            if stats[pid][0] != "Z":
                found[pid] = stats[pid]
                waiting.append(pid)
    return found


def high_water_mb(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


class PeakMemory(threading.Thread):
    """Samples the memory of everything below this process."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak_mb = 0.0
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(SAMPLE_S):
            self.peak_mb = max(self.peak_mb, sum(high_water_mb(pid) for pid in descendants(os.getpid())))

    def stop(self):
        self.stopped.set()
        self.join()
        return self.peak_mb


def reaped_cpu_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def tree_cpu_s():
    """What living descendants, and the children they have waited for, used so far; plus what was reaped here."""
    living = sum(sum(int(ticks) for ticks in fields[11:15]) for fields in descendants(os.getpid()).values())
    return reaped_cpu_s() + living / TICKS


def report(wall_s, cpu_s, peak_mb):
    print(f"{wall_s:.4f}\t{cpu_s:.4f}\t{peak_mb:.1f}")


def fail(what, code, log):
    said = ""
    if log:
        with open(log, errors="replace") as lines:
            said = ": " + next((line.strip() for line in reversed(lines.readlines()) if line.strip()), "nothing in its log")
    sys.exit(f"{what} ended with {code}{said}")


def run(options):
    if options.command[:1] == ["--"]:
        options.command = options.command[1:]
    memory = PeakMemory()
    memory.start()
    out = open(options.stdout, "wb") if options.stdout else subprocess.DEVNULL
    own_mb = high_water_mb(os.getpid())
    began = time.monotonic()
    code = subprocess.call(options.command, stdout=out)
    wall_s = time.monotonic() - began
    # One process alone is exact from the kernel; sampling adds those that ran side by side. The kernel's figure includes the
    # moment before exec, when the child was a copy of this interpreter: up to that size it says nothing.
    alone_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    if alone_mb <= 1.1 * own_mb:
        alone_mb = 0.0
    if code != 0:
        fail(options.command[0], code, None)
    report(wall_s, reaped_cpu_s(), max(memory.stop(), alone_mb))


def become_reaper():
    pr_set_child_subreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0) != 0:
        sys.exit("prctl(PR_SET_CHILD_SUBREAPER) is refused here, so a cluster's CPU time cannot be summed up")


def shell(command, log):
    # The daemons inherit the log, so it must not be a pipe somebody waits on.
    return subprocess.Popen(["bash", "-c", command], stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def reap_all(deadline_s):
    """Waits for every descendant; those left at the deadline are named and killed (they are ours)."""
    ends = time.monotonic() + deadline_s
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        if time.monotonic() > ends:
            for pid in descendants(os.getpid()):
                print(f"left over after stop: pid {pid}", file=sys.stderr)
                os.kill(pid, signal.SIGKILL)
            ends = float("inf")
        time.sleep(0.02)


def cluster(options):
    become_reaper()
    log = open(options.log or os.devnull, "ab")
    try:
        code = shell(options.start, log).wait()
        if code != 0:
            fail("starting the cluster", code, options.log)
        memory = PeakMemory()
        memory.start()
        before_s, began = tree_cpu_s(), time.monotonic()
        code = shell(options.run, log).wait()
        wall_s = time.monotonic() - began
        peak_mb = memory.stop()
    finally:
        shell(options.stop, log).wait()
        reap_all(LEFTOVER_DEADLINE_S)
    if code != 0:
        fail("the job", code, options.log)
    report(wall_s, reaped_cpu_s() - before_s, peak_mb)


def start(options):
    """Time from calling the start script until the REST interface counts enough free slots."""
    log = open(options.log or os.devnull, "ab")
    began = time.monotonic()
    starter = shell(options.start, log)
    while True:
        try:
            with urllib.request.urlopen(options.url, timeout=1) as answer:
                if json.load(answer).get("slots-available", 0) >= options.until_slots:
                    break
        except (OSError, ValueError):
            pass
        if starter.poll() not in (None, 0):
            fail("starting the cluster", starter.returncode, options.log)
        if time.monotonic() - began > 30:
            sys.exit(f"no {options.until_slots} free slots at {options.url} after 30 s (see {options.log})")
        time.sleep(0.002)
    print(f"{time.monotonic() - began:.4f}")
    starter.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(required=True)
    one = modes.add_parser("run")
    one.add_argument("--stdout")
    one.add_argument("command", nargs=argparse.REMAINDER)
    one.set_defaults(act=run)
    many = modes.add_parser("cluster")
    for name in ("--start", "--run", "--stop"):
        many.add_argument(name, required=True)
    many.set_defaults(act=cluster)
    ready = modes.add_parser("start")
    ready.add_argument("--until-slots", type=int, required=True)
    ready.add_argument("--url", required=True)
    ready.add_argument("--start", required=True)
    ready.set_defaults(act=start)
    for mode in (many, ready):
        mode.add_argument("--log")
    options = parser.parse_args()
    options.act(options)


if __name__ == "__main__":
    main()

"""What the job of examples/audit.rs has been given, and whether its visible output is consistent with that. Shares nothing with flott."""

import collections
import pathlib

OUTPUTS = ["records", "timers", "tumbling", "sliding", "late", "lists"]


class Violation(Exception):
    """A record lost, doubled or made up."""


class Checker:
    def __init__(self, output):
        self.output = pathlib.Path(output)
        self.sizes = {}
        self.given = {}  # (key, number) -> milliseconds
        self.versions = 0
        self.numbers = {}  # (key, number) -> count
        self.counts = collections.defaultdict(dict)  # key -> count -> version
        self.lists = set()
        self.late = collections.Counter()  # (key, start)
        self.windows = {name: {} for name in ("tumbling", "sliding")}  # (key, start) -> count
        self.timers = collections.Counter()  # (key, second) -> count
        self.latest = 0  # the greatest number seen in records

    def feed(self, entries):
        for key, number, at_ms in entries:
            self.given[key, number] = at_ms

    def scan(self):
        """Takes note of files that have become visible since; raises Violation at the first contradiction."""
        for name in OUTPUTS:
            directory = self.output / name
            files = sorted(directory.iterdir()) if directory.is_dir() else []
            for file in files:
                if file.name.startswith((".", "_")) or str(file) in self.sizes or not file.is_file():
                    continue
                data = file.read_bytes()
                self.sizes[str(file)] = len(data)
                if data and not data.endswith(b"\n"):
                    raise Violation(f"{file} is visible and does not end in a whole line")
                take = getattr(self, f"take_{name}")
                for line in data.decode().splitlines():
                    take(file, *map(int, line.split()))

    def known(self, file, key, number):
        if (key, number) not in self.given:
            raise Violation(f"{file} has record {key} {number}, which was never written")

    def take_records(self, file, key, number, count, version):
        self.known(file, key, number)
        if (key, number) in self.numbers:
            raise Violation(f"{file} has record {key} {number} once more")
        if count in self.counts[key]:
            raise Violation(f"{file} has count {count} of key {key} once more")
        self.numbers[key, number] = count
        self.counts[key][count] = version
        self.latest = max(self.latest, number)

    def take_lists(self, file, key, number):
        self.known(file, key, number)
        if (key, number) in self.lists:
            raise Violation(f"{file} has record {key} {number} once more")
        self.lists.add((key, number))

    def take_late(self, file, key, number, at_ms):
        if self.given.get((key, number)) != at_ms:
            raise Violation(f"{file} has record {key} {number} {at_ms}, which was never written")
        self.late[key, at_ms // 1000 * 1000] += 1

    def take_window(self, name, file, key, start, count):
        if (key, start) in self.windows[name]:
            raise Violation(f"{file} has window {key} {start} once more")
        self.windows[name][key, start] = count

    def take_tumbling(self, file, key, start, count):
        self.take_window("tumbling", file, key, start, count)

    def take_sliding(self, file, key, start, count):
        self.take_window("sliding", file, key, start, count)

    def take_timers(self, _file, key, second, count):
        self.timers[key, second] += count

    def check_running(self):
        """What holds at every moment."""
        seconds = self.seconds()
        for (key, second), count in self.timers.items():
            if count > seconds[key, second]:
                raise Violation(f"timers of key {key}, second {second}: {count} records of {seconds[key, second]}")
        for (key, start), count in self.windows["tumbling"].items():
            if count > seconds[key, start // 1000]:
                raise Violation(f"window {key} {start} has {count} records of {seconds[key, start // 1000]}")
        for file, size in self.sizes.items():
            path = pathlib.Path(file)
            if not path.exists() or path.stat().st_size != size:
                raise Violation(f"{file} was visible with {size} bytes, and is changed or gone")

    def seconds(self):
        seconds = collections.Counter()
        for (key, _), at_ms in self.given.items():
            seconds[key, at_ms // 1000] += 1
        return seconds

    def check_ended(self, held_back_max):
        """What holds once the job was drained."""
        missing = self.given.keys() - self.numbers.keys()
        if missing:
            raise Violation(f"{len(missing)} of {len(self.given)} records are lost, the first is {min(missing)}")
        for key, counts in self.counts.items():
            if set(counts) != set(range(1, len(counts) + 1)):
                raise Violation(f"the counts of key {key} are not 1 to {len(counts)}")
            versions = [counts[count] for count in sorted(counts)]
            if versions != sorted(versions) or versions[-1] > self.versions:
                raise Violation(f"the broadcast version of key {key} has fallen")
        if len(self.given) - len(self.lists) > held_back_max:
            raise Violation(f"operator lists lost {len(self.given) - len(self.lists)} records")
        seconds = self.seconds()
        if self.timers != seconds:
            wrong = next(at for at in seconds if self.timers[at] != seconds[at])
            raise Violation(f"timers of {wrong}: {self.timers[wrong]} records of {seconds[wrong]}")
        for (key, second), count in seconds.items():
            at = (key, second * 1000)
            there = self.windows["tumbling"].get(at, 0) + self.late[at]
            if there != count:
                raise Violation(f"window {at} and what was late for it have {there} records of {count}")
        sliding = collections.Counter()
        for (key, second), count in seconds.items():
            for start in (second * 1000, second * 1000 - 1000):
                sliding[key, start] += count
        if not self.late and self.windows["sliding"] != dict(sliding):
            raise Violation("the sliding windows are not those of the records")

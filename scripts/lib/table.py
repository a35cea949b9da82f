#!/usr/bin/env python3
"""Prints the word count table: table.py MEASURED.tsv SKIPPED.tsv ROWS BYTES WORDS BASELINE

MEASURED has lines `name<TAB>wall_s<TAB>cpu_s<TAB>peak_mb`, one per run; SKIPPED has `name<TAB>reason`; ROWS is the order of
names, separated by `|`; BASELINE names the row that ratios are taken to.
"""

import collections
import statistics
import sys


def rows_of(path):
    with open(path) as lines:
        return [line.rstrip("\n").split("\t") for line in lines]


def main():
    measured_path, skipped_path, names, size, words, baseline = sys.argv[1:7]
    size, words = int(size), int(words)
    runs = collections.defaultdict(list)
    for name, *numbers in rows_of(measured_path):
        runs[name].append([float(number) for number in numbers])
    skipped = dict(rows_of(skipped_path))
    median = {name: [statistics.median(column) for column in zip(*costs)] for name, costs in runs.items()}
    base_cpu = median[baseline][1] if baseline in median else None

    width = max(len(name) for name in names.split("|")) + 2
    print(f"{'':{width}}{'wall s':>9}{'CPU s':>9}{'MB/s':>9}{'ns/word':>9}{'peak MB':>9}{'ratio':>8}{'runs':>6}")
    for name in names.split("|"):
        if name in median:
            wall, cpu, peak = median[name]
            ratio = f"{cpu / base_cpu:.2f}" if base_cpu else "-"
            speed, per_word = size / 1e6 / wall, cpu * 1e9 / max(words, 1)
            print(f"{name:{width}}{wall:9.2f}{cpu:9.2f}{speed:9.0f}{per_word:9.1f}{peak:9.0f}{ratio:>8}{len(runs[name]):6}")
        elif name in skipped:
            print(f"{name:{width}}  skipped: {skipped[name]}")
    print(f"MB/s by wall time, ns/word by CPU time, ratio of CPU s to '{baseline}'; medians.")


if __name__ == "__main__":
    main()

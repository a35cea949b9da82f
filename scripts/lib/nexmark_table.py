#!/usr/bin/env python3
"""Prints the table of `scripts/bench.sh nexmark`: nexmark_table.py MEASURED.tsv EVENTS

MEASURED has lines `query<TAB>json|generator<TAB>wall_s<TAB>cpu_s<TAB>peak_mb`, one per run; the query `none` reads alone.
"""

import collections
import statistics
import sys

# From JSON, what Flink 2.3 does, warm, in thousand events per core-second, and how often that is to be beaten: DESIGN section 11.
FLINK = dict(q0=305, q1=388, q2=397, q3=330, q4=125, q5=144, q7=75, q8=229, q9=86, q11=213, q12e=368, q15=282, q16=131, q17=235,
             q18=189, q19=130, q20=108)
STATELESS, WINDOWS = {"q0", "q1", "q2"}, {"q5", "q7", "q8", "q11", "q12e"}
# From the generator, less what that takes alone, in thousand events per core-second.
BUDGET = dict(q0=2000, q1=2000, q2=2000, q5=500, q7=500, q8=500, q11=500, q4=200, q9=200, q20=200)


def verdict(name, rate, want):
    return "" if want is None else f"{name} {want:,.0f} {'met' if rate >= want else 'MISSED'}"


def main():
    path, events = sys.argv[1], int(sys.argv[2])
    runs = collections.defaultdict(list)
    with open(path) as lines:
        for line in lines:
            query, source, *costs = line.split()
            runs[query, source].append([float(cost) for cost in costs])
    median = {at: [statistics.median(column) for column in zip(*costs)] for at, costs in runs.items()}
    cpu = {at: costs[1] for at, costs in median.items()}
    rate = lambda seconds: events / seconds / 1000
    print(f"{'':6}{'from JSON':>40}   {'from the generator':>50}")
    print(f"{'':6}{'CPU s':>9}{'k ev/core-s':>13}{'less parsing':>13}{'MB':>6}   {'CPU s':>9}{'less generator':>16}{'k ev/core-s of that':>21}{'MB':>6}")
    for query in dict.fromkeys(query for query, _ in runs):
        json, made = cpu[query, "json"], cpu[query, "generator"]
        alone = made - cpu["none", "generator"]
        own = rate(alone) if alone > 0.005 * made else float("inf")
        wanted = FLINK.get(query) and FLINK[query] * (3 if query in STATELESS else 5 if query in WINDOWS else 4)
        words = [verdict("JSON", rate(json), wanted), verdict("generator", own, BUDGET.get(query))]
        print(f"{query:6}{json:9.2f}{rate(json):13,.0f}{json - cpu['none', 'json']:13.2f}{median[query, 'json'][2]:6.0f}   "
              f"{made:9.2f}{alone:16.2f}{own:21,.0f}{median[query, 'generator'][2]:6.0f}  {'; '.join(filter(None, words))}")


if __name__ == "__main__":
    main()

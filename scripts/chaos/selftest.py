"""The checker finds what it is for: each mistake planted in right output is told."""

import pathlib
import sys
import tempfile

import slopes
from checker import OUTPUTS, Checker, Violation

ENTRIES = [(key, number, number * 400) for number in range(20) for key in range(3)]


def right():
    """Lines by output, of a run in which nothing went wrong."""
    lines = {name: [] for name in OUTPUTS}
    for key, number, at_ms in ENTRIES:
        lines["records"].append(f"{key} {number} {number + 1} {number // 8}")
        lines["lists"].append(f"{key} {number}")
    seconds, sliding = {}, {}
    for key, _, at_ms in ENTRIES:
        second = at_ms // 1000
        seconds[key, second] = seconds.get((key, second), 0) + 1
        for start in (second, second - 1):
            sliding[key, start] = sliding.get((key, start), 0) + 1
    lines["timers"] = [f"{key} {second} {count}" for (key, second), count in seconds.items()]
    lines["tumbling"] = [f"{key} {second * 1000} {count}" for (key, second), count in seconds.items()]
    lines["sliding"] = [f"{key} {second * 1000} {count}" for (key, second), count in sliding.items()]
    return lines


def told(lines, ending="\n"):
    """What the checker has against these lines; None if nothing."""
    with tempfile.TemporaryDirectory() as directory:
        for name, of_name in lines.items():
            place = pathlib.Path(directory, name)
            place.mkdir()
            (place / "part-0-0").write_text("".join(f"{line}\n" for line in of_name)[: None if ending else -1])
        checker = Checker(directory)
        checker.versions = 9
        checker.feed(ENTRIES)
        try:
            checker.scan()
            checker.check_running()
            checker.check_ended(held_back_max=0)
        except Violation as violation:
            return str(violation)
    return None


def changed(name, change):
    lines = right()
    lines[name] = change(list(lines[name]))
    return lines


MISTAKES = {
    "once more": [changed(name, lambda lines: [*lines, lines[0]]) for name in ("records", "lists", "tumbling", "sliding")],
    "are lost": [changed("records", lambda lines: lines[:-1])],
    "lists lost": [changed("lists", lambda lines: lines[1:])],
    "never written": [changed("records", lambda lines: [*lines, "7 7 1 0"]), changed("late", lambda _: ["0 0 7"])],
    "are not 1 to": [changed("records", lambda lines: [lines[0].replace(" 1 0", " 99 0"), *lines[1:]])],
    "has fallen": [changed("records", lambda lines: [*lines[:-1], "2 19 20 0"])],
    "timers of": [changed("timers", lambda lines: lines[1:]), changed("timers", lambda lines: [*lines, lines[0]])],
    "what was late": [changed("tumbling", lambda lines: lines[1:])],
    "sliding windows": [changed("sliding", lambda lines: lines[1:])],
}

failures = [] if told(right()) is None else [f"right output is refused: {told(right())}"]
for words, cases in MISTAKES.items():
    failures += [f"not told: {words}; but {told(lines)}" for lines in cases if words not in str(told(lines))]
if "whole line" not in str(told(right(), ending="")):
    failures.append("a torn line is not told")


def lives(growth_a_hour):
    """Three lives of a worker of twenty minutes, each beginning higher than it settles, with noise."""
    return {("worker", f"worker-{life}"): [
        (life * 1200 + at, {"rss": (20 << 20) + int(growth_a_hour * at / 3600) + (at * 7919 % 13 << 14) - (1 << 22) * (at < 60)})
        for at in range(0, 1200, 5)] for life in range(3)}


for growth, steady in ((0, True), (2 << 20, True), (8 << 20, False)):
    if slopes.report(lives(growth), 180)[1] != steady:
        failures.append(f"memory that grows by {growth} bytes an hour is {'' if not steady else 'not '}called steady")
print("\n".join(failures) or f"the checker finds {sum(map(len, MISTAKES.values())) + 1} planted mistakes, and memory that grows is told from memory that does not")
sys.exit(bool(failures))

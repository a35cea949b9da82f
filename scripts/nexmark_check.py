#!/usr/bin/env python3
"""Compares the answers of examples/nexmark with those of DuckDB, over copies of the same events in other orders and parts, in both
modes and at parallelism 1 to 4. Where DuckDB is not to be had (an environment below target/ is made for it), with one another."""

import argparse
import collections
import concurrent.futures
import glob
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SQL = ROOT / "scripts/lib/nexmark_queries.sql"
MODES = ["streaming", "batch"]
PARALLELISM = [1, 2, 3, 4]


def with_duckdb():
    """Imports duckdb; where there is none, goes on in an environment below target/ that has it. None where it is not to be had."""
    try:
        import duckdb

        return duckdb
    except ImportError:
        pass
    venv = ROOT / "target/nexmark-venv"
    python = venv / "bin/python3"
    if os.environ.get("NEXMARK_CHECK_VENV"):
        return None
    if not python.exists() or subprocess.run([python, "-c", "import duckdb"], capture_output=True).returncode:
        for command in [[sys.executable, "-m", "venv", venv], [python, "-m", "pip", "install", "--quiet", "duckdb>=1.2"]]:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                shutil.rmtree(venv, ignore_errors=True)
                reason = "".join((done.stderr or done.stdout).strip().splitlines()[-1:])
                print(f"nexmark_check: there is no duckdb ({reason}); answers are compared with one another only", file=sys.stderr)
                return None
    os.execve(python, [str(python), *sys.argv], {**os.environ, "NEXMARK_CHECK_VENV": "1"})


def queries():
    """Name, key columns and SQL of each query."""
    found = {}
    for part in re.split(r"^-- (?=q)", SQL.read_text(), flags=re.M)[1:]:
        head, sql = part.split("\n", 1)
        name, _, key = head.partition(" key ")
        found[name] = (key.split(), sql.strip())
    return found


# ---- events and their copies


def time_of(line):
    event = json.loads(line)
    return event[["person", "auction", "bid"][event["event_type"]]]["dateTime"]


ODD = ['"quoted"', "two\nlines", "tab\tand \\ back", "Zoë Ångström", "名前", "\U0001f4b6", "", "a/b&channel_id=x", "null", "\u2028"]


def with_odd_texts(lines):
    """Some texts become such as are hard to read and write."""
    chance = random.Random(3)
    for line in lines:
        if chance.random() < 0.03:
            event = json.loads(line)
            thing = event[["person", "auction", "bid"][event["event_type"]]]
            for field in chance.sample([key for key, value in thing.items() if isinstance(value, str)], 2):
                if field not in ("dateTime", "expires"):
                    thing[field] = chance.choice(ODD)
            line = json.dumps(event, ensure_ascii=chance.random() < 0.5)
        yield line


def shuffled(lines):
    """Each at most a second (of event time) from where it was."""
    chance = random.Random(5)
    second = lambda text: sum(x * y for x, y in zip(map(float, text[11:].split(":")), (3600, 60, 1)))
    moments = [(second(time_of(line)) + chance.random(), line) for line in lines]
    return [line for _, line in sorted(moments, key=lambda pair: pair[0])]


def write_copies(lines, work):
    """Writes the events, and copies of them; what to read, by name."""
    def put(name, *parts):
        directory = work / name
        directory.mkdir()
        for number, part in enumerate(parts):
            (directory / f"part-{number}.json").write_text("".join(line + "\n" for line in part), encoding="utf-8")
        return directory

    chance = random.Random(7)
    thirds = [[], [], []]
    for line in lines:
        thirds[chance.randrange(3)].append(line)
    early = [[], [], []]
    for at, line in enumerate(lines):
        early[2 if at < len(lines) * 2 // 5 and chance.random() < 0.5 else 0].append(line)
    third = -(-len(lines) // 3)
    copies = {
        "plain": put("plain", lines) / "part-0.json",
        "shuffled": put("shuffled", shuffled(lines)) / "part-0.json",
        # A line each to one of three; two of the three, one of which ends early; one behind the other.
        "parts": put("parts", *thirds),
        "uneven": put("uneven", *early) / "*.json",
        "behind": put("behind", lines[2 * third :], lines[:third], lines[third : 2 * third]),
    }
    # Hidden files are not read.
    (copies["parts"] / ".hidden").write_text("no event\n")
    return copies


# ---- answers


def canonical(value):
    return float(f"{value:.10g}") if isinstance(value, float) else value


class Answer:
    """Rows, as often as each is there."""

    def __init__(self, columns, rows):
        self.columns = columns
        self.rows = collections.Counter(tuple(map(canonical, row)) for row in rows)

    def difference(self, other):
        if self.rows and other.rows and self.columns != other.columns:
            return f"columns {self.columns} instead of {other.columns}"
        surplus, missing = self.rows - other.rows, other.rows - self.rows
        if not surplus and not missing:
            return None
        shown = lambda rows: "; ".join(map(str, itertools.islice(rows, 2))) or "none"
        return f"{surplus.total()} rows too many ({shown(surplus)}), {missing.total()} missing ({shown(missing)})"


def expected(duckdb, sql, file):
    connection = duckdb.connect()
    text = "VARCHAR"
    number = "BIGINT"
    things = {
        "person": dict(id=number, name=text, emailAddress=text, creditCard=text, city=text, state=text, dateTime=text, extra=text),
        "auction": dict(id=number, itemName=text, description=text, initialBid=number, reserve=number, dateTime=text, expires=text,
                        seller=number, category=number, extra=text),
        "bid": dict(auction=number, bidder=number, price=number, channel=text, url=text, dateTime=text, extra=text),
    }
    struct = lambda fields: ", ".join(f'"{field}" {kind}' for field, kind in fields.items())
    structs = ", ".join(f"{thing}: 'STRUCT({struct(fields)})'" for thing, fields in things.items())
    connection.execute(
        f"CREATE TABLE events AS FROM read_json('{file}', format='newline_delimited', columns={{event_type: 'INT', {structs}}})"
    )
    for number, (thing, fields) in enumerate(things.items()):
        replaced = ", ".join(f"strptime({f}, '%Y-%m-%d %H:%M:%S.%g') AS {f}" for f in ("dateTime", "expires") if f in fields)
        connection.execute(
            f"CREATE TABLE {thing} AS SELECT * REPLACE ({replaced}) FROM (SELECT unnest({thing}) FROM events WHERE event_type = {number})"
        )
    answers = {}
    for name, (_, query) in sql.items():
        found = connection.execute(query)
        columns = [column[0] for column in found.description]
        text = lambda value: value.isoformat(" ", "milliseconds") if hasattr(value, "isoformat") else value
        answers[name] = Answer(columns, [[text(value) for value in row] for row in found.fetchall()])
    return answers


def read_answer(name, key, directory):
    """The rows that part files hold in the end."""
    columns, rows, by_key = [], [], {}
    for part in sorted(glob.glob(f"{glob.escape(str(directory))}/part-*")):
        for line in open(part, encoding="utf-8"):
            row = json.loads(line)
            op = row.pop("op", None)
            columns = list(row)
            values = list(row.values())
            if not key:
                assert op is None, f"{name}: a row with an op"
                rows.append(values)
                continue
            at = tuple(row[column] for column in key)
            if op in ("+I", "+U"):
                assert (at in by_key) == (op == "+U"), f"{name}: {op} for {at}"
                by_key[at] = values
            elif op == "-U":
                # Replaced, by the next: the row that is taken back is the one that was told.
                assert by_key[at] == values, f"{name}: -U {values}, which was {by_key[at]}"
            else:
                raise AssertionError(f"{name}: op {op}")
    if name == "q12":
        # Windows of the machine's clock are where they happen to be.
        counts = collections.Counter()
        for bidder, count, *_ in rows:
            counts[bidder] += count
        columns, rows = columns[:2], [list(pair) for pair in counts.items()]
    return Answer(columns, rows + list(by_key.values()))


def run(program, name, key, source, parallelism, mode, work):
    out = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=work)) / "answer"
    command = [program, "--query", name, "--input", source, "--output", out, "--parallelism", parallelism, "--execution-mode", mode]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"exit {done.returncode}: {done.stderr.strip()[-400:]}")
    answer = read_answer(name, key, out)
    shutil.rmtree(out.parent)
    return answer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=ROOT / "target/debug/examples/nexmark", help="the example (default: the debug build)")
    parser.add_argument("--events", type=int, default=20_000, help="how many (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=400, help="events a second of event time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the events (default: %(default)s)")
    parser.add_argument("--only", default=".", metavar="PATTERN", help="queries whose name matches this regular expression in full")
    parser.add_argument("--fast", action="store_true", help="a sample of all runs: each query on each copy once, about")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default: %(default)s)")
    args = parser.parse_args()

    duckdb = with_duckdb()
    sql = {name: query for name, query in queries().items() if args.only == "." or re.fullmatch(args.only, name)}
    if not sql:
        sys.exit(f"nexmark_check: no query matches {args.only}; there are {' '.join(queries())}")
    work = pathlib.Path(tempfile.mkdtemp(prefix="nexmark-check-"))
    try:
        generate = [args.program, "--generate", args.events, "--seed", args.seed, "--rate", args.rate, "--out", "-"]
        made = subprocess.run(list(map(str, generate)), capture_output=True, text=True, check=True).stdout
        lines = list(with_odd_texts(made.splitlines()))
        sources = {"events": write_copies(lines, work)}
        for name, few in [("empty", []), ("one event", [line for line in lines if '"event_type": 2' in line or '"event_type":2' in line][:1])]:
            file = work / f"{name}.json"
            file.write_text("".join(line + "\n" for line in few), encoding="utf-8")
            sources[name] = {name: file}

        cases = []
        chance = random.Random(args.seed)
        for (kind, copies), name in itertools.product(sources.items(), sql):
            every = list(itertools.product(copies.items(), PARALLELISM, MODES))
            if args.fast:
                every = [(copy, chance.choice(PARALLELISM), chance.choice(MODES)) for copy in copies.items()]
                every = chance.sample(every, 3 if kind == "events" else 1)
            cases += [(kind, name, *case) for case in every]

        if duckdb:
            answers = {kind: expected(duckdb, sql, next(iter(copies.values()))) for kind, copies in sources.items()}
        else:
            first = lambda name, copies: run(args.program, name, sql[name][0], next(iter(copies.values())), 1, "batch", work)
            answers = {kind: {name: first(name, copies) for name in sql} for kind, copies in sources.items()}

        def check(case):
            kind, name, (copy, source), parallelism, mode = case
            try:
                answer = run(args.program, name, sql[name][0], source, parallelism, mode, work)
                return case, answer.difference(answers[kind][name])
            except AssertionError as error:
                return case, str(error)

        wrong = 0
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for (kind, name, (copy, _), parallelism, mode), difference in pool.map(check, cases):
                if difference:
                    wrong += 1
                    print(f"{name} of {copy}, parallelism {parallelism}, {mode}: {difference}", flush=True)
        rows = sum(answer.rows.total() for answer in answers["events"].values())
        whom = "DuckDB" if duckdb else "batch mode with one subtask"
        print(f"nexmark: {len(cases) - wrong} of {len(cases)} runs of {len(sql)} queries answer as {whom} does ({rows} rows)")
        sys.exit(1 if wrong else 0)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()

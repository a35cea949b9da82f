#!/usr/bin/env bash
# Benchmarks of flott beside its peers. See --help.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
LIB="$ROOT/scripts/lib"
PEERS="$ROOT/benches/peers/wordcount"
PYTHON="${PYTHON:-python3}"

usage() {
  cat <<'HELP'
usage: scripts/bench.sh wordcount FILE [--runs N] [--parallelism P] [--only PATTERN]
       scripts/bench.sh generate SIZE FILE [--distinct N] [--seed N]
       scripts/bench.sh nexmark [--events N] [--file FILE] [--runs N] [--parallelism P] [--only PATTERN] [--no-build]
       scripts/bench.sh budgets [--runs N]
       scripts/bench.sh disk [--keys N] [--memory MB] [--seconds N] [--only "PEER …"]
       scripts/bench.sh engine [--text FILE] [--only PATTERN] [--long] [--no-build]
       scripts/bench.sh state [--megabytes N] [--barriers N] [--rounds N] [--events N] [--seconds N] [--only PATTERN] [--no-build]
       scripts/bench.sh ui [--vertices N] [--parallelism P] [--jobs N] [--seconds S] [--runs N] [--pictures DIR] [--no-build]

wordcount  counts the words of FILE (white space separates, case is kept) with flott in one process, flott per-job on a cluster
           of its own, coreutils, DuckDB, the single-purpose counter and a plain one of benches/peers/wordcount; checks that
           all counts are equal and prints medians of N runs (3), taken in turn. P is the parallelism of all that have one (2).
           coreutils runs once: it is slow, and there to check the counts.
           --only: rows whose name matches this extended regular expression (the single-purpose counter always runs).
generate   writes Zipf text of SIZE (such as 1g or 500m), a million distinct words, the same for a seed everywhere.
nexmark    core-seconds of each Nexmark query, in one process with a sink that discards: from a JSON file, reading and parsing alone
           beside, and from the generator, which alone stands beside too. Medians of N runs (1).
           --events: how many (10 million); --file: a JSON file of so many, instead of one that is made; --only: queries whose name
           matches; P is 2.
budgets    time to start a cluster, to submit a one-element job, and idle memory, beside DESIGN's budgets.
disk       a sum a key where the state (10 million keys) is ten times its memory (43 MB), uniform and Zipf, the edge of what fits, beside
           RocksDB (Debian's librocksdb-dev), fjall and redb at the same work; 20 seconds a row.
engine     what the engine's parts take beside their budgets: keyed sum, chains, large records, many subtasks and vertices, word
           counts, two workers over TCP, latency beside a raw TCP pair, an idle worker, size and build time of a job.
           --text: the file to count (default: 300 MB are made); --only: parts whose name matches (keyed_sum keys chain large_records
           parallelism vertices words two_workers latency idle timers windows metrics size build_time); --long: the keyed sum runs a minute or more;
           --no-build: what target/release has is measured.
state      what exactly-once costs beside its budgets: how long a barrier holds a task up with 1024 MB of state (20 barriers, with a
           histogram of what batches take while the state is written), restoring that, the keyed sum with checkpoints (a minute or
           more every 5 s; 20 rounds of 200 million events without, every 10 s and every 1 s in turn), and latency while one checkpoint
           follows another (20 seconds, three in turn).
           --only: parts whose name matches (barrier sum cost latency).
ui         what the Web UI costs in a headless Chromium (scripts/install-browser.sh): a job of N vertices (300) of P subtasks (100)
           and a list of N jobs (1000), each changing every second for S seconds (20), fed by a stand-in for a JobManager; and how soon
           the page of a real one is painted, the median of N new browsers (5).

What cannot run says why in its row. Needs bash, cargo, python3.
Environment: PYTHON (an interpreter which has duckdb, where wanted), FLOTT_BENCH_ARGS (more -D key=value for flott's
cluster and clients), TMPDIR (results and sort's temporary files go there: twice FILE's size).
HELP
}

fail() { echo "bench: $*" >&2; exit 1; }

# Builds flott's programs; on failure leaves the reason in WHY_NOT.
build_flott() {
  local example="$1" log="$WORK/build.log"
  if [[ ! -f "$ROOT/examples/$example.rs" && ! -f "$ROOT/examples/$example/main.rs" ]]; then
    WHY_NOT="examples/$example.rs does not exist"
    return 1
  fi
  (cd "$ROOT" && cargo build --release --quiet --bin flott --example "$example") 2>"$log" && return 0
  WHY_NOT="flott does not build: $(grep -m1 '^error' "$log" || tail -n1 "$log")"
  return 1
}

build_peers() {
  cargo build --release --quiet --manifest-path "$PEERS/Cargo.toml" || fail "the peers do not build"
  PEER_BIN="$PEERS/target/release"
}

# Prints $1 free ports, different from one another.
free_ports() {
  "$PYTHON" -c '
import socket, sys
taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(server.getsockname()[1] for server in taken))' "$1"
}

make_work_dir() {
  WORK="$(mktemp -d "${TMPDIR:-/tmp}/flott-bench.XXXXXX")"
  trap 'clean_up' EXIT
}

clean_up() {
  local code=$?
  # A cluster that an error left behind; stopping twice does no harm.
  [[ -z "${STOP_COMMAND:-}" ]] || bash -c "$STOP_COMMAND" >/dev/null 2>&1 || true
  if ((code == 0)); then rm -rf "$WORK"; else echo "bench: logs are kept in $WORK" >&2; fi
}

need_value() { [[ $# -ge 2 ]] || fail "$1 wants a value"; }

case "${1:-}" in
  -h | --help | help) usage; exit 0 ;;
  wordcount | nexmark | budgets | engine | state | disk | generate | ui) COMMAND="$1"; shift ;;
  '') usage >&2; exit 2 ;;
  *) usage >&2; fail "unknown command $1" ;;
esac
for word in "$@"; do
  if [[ "$word" == -h || "$word" == --help ]]; then usage; exit 0; fi
done

case "$COMMAND" in
  wordcount | nexmark | budgets | engine | state | disk)
    # shellcheck source=/dev/null
    source "$LIB/bench_$COMMAND.sh"
    "bench_$COMMAND" "$@"
    ;;
  ui)
    make_work_dir
    if [[ "${*: -1}" == --no-build ]]; then
      set -- "${@:1:$#-1}"
    else
      (cd "$ROOT" && cargo build --release --quiet --bin flott) || fail "flott does not build"
    fi
    "$PYTHON" "$LIB/bench_ui.py" "$@"
    ;;
  generate)
    [[ $# -ge 2 ]] || fail "generate wants SIZE and FILE"
    size="$1" out="$2"
    shift 2
    build_peers
    "$PEER_BIN/generate" --bytes "$size" --out "$out" "$@"
    ;;
esac

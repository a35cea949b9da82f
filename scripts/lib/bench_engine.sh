# The engine's budgets of `scripts/bench.sh engine`: throughput, latency, memory, size; sourced by it.
# shellcheck shell=bash

bench_engine() {
  local long=0 text='' only='.' build=1
  while (($#)); do
    case "$1" in
      --long) long=1; shift ;;
      --text) need_value "$@"; text="$(realpath "$2")"; shift 2 ;;
      --only) need_value "$@"; only="$2"; shift 2 ;;
      --no-build) build=0; shift ;;
      *) fail "unknown option $1" ;;
    esac
  done
  make_work_dir
  if ((build)); then
    build_flott wordcount || fail "$WHY_NOT"
  fi
  find_engine "$build"
  FLOTT="$ROOT/target/release/flott"
  TEXT="$text" LONG="$long"
  printf '%-58s %10s      %10s %10s  %s\n' '' measured must aim verdict
  local part
  for part in keyed_sum keys chain large_records parallelism vertices words two_workers latency idle timers windows metrics size build_time; do
    [[ "$part" =~ $only ]] || continue
    "engine_$part" || echo "$part: failed; see $WORK/engine.log, whose last lines are:" "$(tail -n 3 "$WORK/engine.log")"
  done
}

# find_engine BUILD: sets ENGINE to benches/engine.rs built for release, unless it is set.
find_engine() {
  if (($1)); then
    (cd "$ROOT" && cargo build --release --quiet --bench engine) || fail "benches/engine.rs does not build"
  fi
  ENGINE="${ENGINE:-$(find "$ROOT/target/release/deps" -name 'engine-*' -executable -type f -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -n1 | cut -d' ' -f2)}"
  [[ -x "$ENGINE" ]] || fail "there is no benches/engine.rs built for release"
}

# budget NAME VALUE UNIT at-most|at-least MUST [AIM]
budget() {
  awk -v name="$1" -v value="$2" -v unit="$3" -v sense="$4" -v must="$5" -v aim="${6:-$5}" 'BEGIN {
    sign = sense == "at-least" ? -1 : 1
    word = value == "" ? "not measured" : sign * value <= sign * aim ? "aim met" : sign * value <= sign * must ? "must met" : "MISSED"
    printf "%-58s %10.2f %-4s %10g %10g  %s\n", name, value, unit, must, aim, word
  }'
}

# engine ARG...: runs a workload in one process; sets RATE (M records/s), CPU_NS (a record), SECONDS_TAKEN, CPU_S and PEAK_MB.
engine() {
  local line
  line="$("$ENGINE" "$@" 2>>"$WORK/engine.log" | tee -a "$WORK/engine.log")" || return 1
  RATE="$(sed -n 's/.*: \([0-9.]*\) M records\/s.*/\1/p' <<<"$line")"
  CPU_NS="$(sed -n 's/.* \([0-9.]*\) ns of CPU.*/\1/p' <<<"$line")"
  SECONDS_TAKEN="$(sed -n 's/.* \([0-9.]*\) s, [0-9.]* CPU s.*/\1/p' <<<"$line")"
  CPU_S="$(sed -n 's/.* \([0-9.]*\) CPU s.*/\1/p' <<<"$line")"
  PEAK_MB="$(sed -n 's/.* \([0-9.]*\) MB at most.*/\1/p' <<<"$line")"
}

calc() { awk "BEGIN { x = $1; if (x == int(x)) printf \"%.0f\n\", x; else print x }"; }

engine_keyed_sum() {
  local events=60000000
  ((LONG == 0)) || events=900000000
  engine keyed-sum --events "$events" --keys 1000000 || return 1
  budget "keyed sum, 10^6 keys, parallelism 2, $SECONDS_TAKEN s" "$RATE" M/s at-least 6 12
  budget 'its memory' "$PEAK_MB" MB at-most 150
}

engine_keys() {
  local keys first='' before='' step=1
  for keys in 1000 10000 100000 1000000 10000000; do
    engine keyed-sum --events 40000000 --keys "$keys" || return 1
    first="${first:-$CPU_NS}" before="${before:-$CPU_NS}"
    step="$(calc "($CPU_NS / $before > $step) ? $CPU_NS / $before : $step")"
    before="$CPU_NS"
  done
  budget 'keys from 10^3 to 10^7: more CPU a record' "$(calc "$CPU_NS - $first")" ns at-most 150
  budget 'keys from 10^3 to 10^7: the largest step' "$step" times at-most 2
  engine keyed-sum --events 20000000 --keys 1000 --parallelism 1 || return 1
  local alone="$RATE"
  engine keyed-sum --events 20000000 --keys 1000 --hot 99 || return 1
  budget '99 % on one key, to the rate of one core' "$(calc "$RATE / $alone")" times at-least 0.9
}

engine_chain() {
  engine chain --events 100000000 --maps 10 --parallelism 1 || return 1
  local few="$CPU_NS"
  engine chain --events 100000000 --maps 50 --parallelism 1 || return 1
  budget 'one more map on numbers in a chain' "$(calc "($CPU_NS - $few) / 40")" ns at-most 2
  engine texts --events 20000000 --maps 10 --parallelism 1 || return 1
  few="$CPU_NS"
  engine texts --events 20000000 --maps 50 --parallelism 1 || return 1
  budget 'one more map on (text, number), for comparison' "$(calc "($CPU_NS - $few) / 40")" ns at-most 10
}

engine_large_records() {
  engine large-records --events 5000 || return 1
  budget '50 maps on records of 1 MiB and an exchange: GB/s' "$(calc "5000 * 1.048576e-3 / $SECONDS_TAKEN")" GB/s at-least 1
  budget 'its memory' "$PEAK_MB" MB at-most 150
}

engine_parallelism() {
  engine keyed-sum --events 40000000 --keys 100000 || return 1
  # By CPU time, which other work on the machine does not change as it does wall time: the cores are busy throughout.
  local two="$CPU_NS"
  engine keyed-sum --events 40000000 --keys 100000 --parallelism 32 || return 1
  budget 'throughput at parallelism 32 to that at 2' "$(calc "$two / $CPU_NS")" times at-least 0.8
  engine keyed-sum --events 40000000 --keys 100000 --parallelism 128 || return 1
  budget 'throughput at parallelism 128 to that at 2' "$(calc "$two / $CPU_NS")" times at-least 0.6
  budget 'its memory' "$PEAK_MB" MB at-most 512
}

engine_vertices() {
  engine vertices --events 1000000 --vertices 100 --parallelism 20 || return 1
  budget '100 vertices of 20 subtasks, start to end' "$SECONDS_TAKEN" s at-most 60 10
  budget 'its memory' "$PEAK_MB" MB at-most 1024
}

# The text to count: what was given, or 300 MB.
need_text() {
  [[ -z "$TEXT" ]] || return 0
  build_peers
  TEXT="$WORK/text"
  "$PEER_BIN/generate" --bytes 300m --out "$TEXT" 2>>"$WORK/engine.log"
}

engine_words() {
  need_text || return 1
  local gb
  gb="$(calc "$(stat -Lc %s "$TEXT") / 1e9")"
  engine word-count --input "$TEXT" || return 1
  local pairs="$CPU_S"
  budget 'batch word count, 1 GB' "$(calc "$pairs / $gb")" s at-most 14 10
  engine word-count --input "$TEXT" --structs || return 1
  budget 'the same over structs of the user, to pairs' "$(calc "$CPU_S / $pairs")" times at-most 2
  engine word-count --input "$TEXT" --streaming || return 1
  budget 'streaming word count, every word exchanged, 1 GB' "$(calc "$CPU_S / $gb")" s at-most 25 12
}

# with_cluster TASK_MANAGERS SLOTS COMMAND...: runs COMMAND with a standalone cluster around, whose JobManager is at JM.
with_cluster() {
  local task_managers="$1" slots="$2" code=0 ports
  shift 2
  export FLOTT_CONF_DIR="$WORK/conf" FLOTT_PID_DIR="$WORK/pids" FLOTT_LOG_DIR="$WORK/logs"
  mkdir -p "$FLOTT_CONF_DIR" "$FLOTT_PID_DIR" "$FLOTT_LOG_DIR"
  cp -r "$ROOT/conf/." "$FLOTT_CONF_DIR/"
  for ((; task_managers > 0; task_managers--)); do echo localhost; done >"$FLOTT_CONF_DIR/workers"
  read -ra ports < <(free_ports 2)
  JM="127.0.0.1:${ports[0]}"
  STOP_COMMAND="$ROOT/scripts/stop-cluster.sh"
  "$ROOT/scripts/start-cluster.sh" -D rest.port="${ports[0]}" -D jobmanager.rpc.port="${ports[1]}" \
    -D taskmanager.numberOfTaskSlots="$slots" -D flott.storage.dir="$WORK/storage" >>"$WORK/engine.log" 2>&1 </dev/null || code=1
  ((code != 0)) || "$@" || code=1
  $STOP_COMMAND >>"$WORK/engine.log" 2>&1 || true
  STOP_COMMAND=''
  return "$code"
}

# CPU seconds of the cluster's processes so far, with those of workers that have ended.
cluster_cpu_s() {
  local file
  for file in "$FLOTT_PID_DIR"/*.pid; do sed 's/.*) //' "/proc/$(<"$file")/stat"; done |
    awk '{ ticks += $12 + $13 + $14 + $15 } END { print ticks / 100 }'
}

# Runs the streaming word count on the cluster; sets COUNTED_S to the CPU seconds it took there.
count_on_cluster() {
  local before
  before="$(cluster_cpu_s)"
  "$FLOTT" run -m "$JM" -p 2 "$ROOT/target/release/examples/wordcount" --input "$TEXT" --keep-case --execution-mode streaming \
    --no-local-aggregation --output "$WORK/counts" >>"$WORK/engine.log" 2>&1 || return 1
  # The TaskManager has waited for its worker a moment after the job's end.
  sleep 1
  COUNTED_S="$(calc "$(cluster_cpu_s) - $before")"
  rm -rf "$WORK/counts"
}

engine_two_workers() {
  need_text || return 1
  with_cluster 1 2 count_on_cluster || return 1
  local one="$COUNTED_S"
  with_cluster 2 1 count_on_cluster || return 1
  budget 'streaming word count, two workers over TCP, to one' "$(calc "$COUNTED_S / $one")" times at-most 1.5
}

# latency_job RATE SECONDS: sets P99 and P9999 in milliseconds, and RATE to the records a second there were, in millions.
latency_job() {
  local answer
  answer="$("$FLOTT" run -m "$JM" --output json "$ENGINE" latency --rate "$1" --seconds "$2" 2>>"$WORK/engine.log")" || return 1
  read -r P99 P9999 RATE < <("$PYTHON" - "$answer" <<'PY'
import json, sys
job = json.loads(sys.argv[1])
taken = next(each["value"] for each in job["accumulators"] if each["name"] == "latency")
taken = sorted(tuple(map(int, pair.split("="))) for pair in taken.strip("{}").split(", "))
count = sum(times for _, times in taken)
def at(share):
    left = count * share
    for ns, times in taken:
        left -= times
        if left < 0:
            return ns / 1e6
    return taken[-1][0] / 1e6
print(at(0.99), at(0.9999), count / job["duration"] / 1000)
PY
  )
}

engine_latency() { with_cluster 2 1 latency_of_two_workers; }

latency_of_two_workers() {
  latency_job 100000000 1 || return 1
  local half
  half="$(calc "int($RATE * 1e6 / 2)")"
  local raw raw_p9999
  raw="$("$ENGINE" raw-pair --rate 10000 --seconds 20 | tee -a "$WORK/engine.log")" || return 1
  raw_p9999="$(sed -n 's/.*p99.99 \([0-9.]*\) ms.*/\1/p' <<<"$raw")"
  latency_job 10000 20 || return 1
  budget 'two workers, 10,000 records/s: p99' "$P99" ms at-most 5
  budget "the same, p99.99 ($P9999 ms) to a raw TCP pair's ($raw_p9999)" "$(calc "$P9999 / $raw_p9999")" times at-most 4
  latency_job "$half" 10 || return 1
  budget "two workers, half the maximum ($half records/s): p99" "$P99" ms at-most 10
}

engine_idle() { with_cluster 1 2 idle_worker; }

idle_worker() {
  local job pid
  job="$("$FLOTT" run -d -m "$JM" -p 2 "$ENGINE" idle 2>>"$WORK/engine.log" | sed -n 's/.*JobID //p')"
  sleep 4
  # The worker is the TaskManager's only child.
  pid="$(pgrep -P "$(<"$FLOTT_PID_DIR/taskmanager-0.pid")" | head -n1)"
  budget 'a worker with 2 idle subtasks' "$(awk '/^VmRSS:/ { print $2 / 1024 }' "/proc/$pid/status")" MB at-most 15
  "$FLOTT" cancel -m "$JM" "$job" >>"$WORK/engine.log" 2>&1
}

engine_timers() {
  engine timers --events 20000000 --after 0 || return 1
  local none="$CPU_NS"
  engine timers --events 20000000 --after 2000 || return 1
  budget 'a timer set and fired, 2 million at a time' "$(calc "($CPU_NS - $none) / 1000")" us at-most 1
}

engine_windows() {
  engine windows --events 20000000 --panes 5 || return 1
  local few="$CPU_NS"
  engine windows --events 20000000 --panes 300 || return 1
  budget 'sliding windows, 300 panes to 5: CPU a record' "$(calc "$CPU_NS / $few")" times at-most 1.5
  engine windows --events 4000000 --keys 1000 --panes 0 || return 1
  few="$PEAK_MB"
  engine windows --events 4000000 --keys 2000000 --panes 0 || return 1
  budget 'an open window, beside its sum of 8 bytes' "$(calc "($PEAK_MB - $few) * 1048576 / 1.73e6 - 8")" B at-most 200
}

# Instructions, not seconds: they are the same in every run, whatever else the machine does.
engine_metrics() {
  command -v valgrind >/dev/null || { echo 'metrics: valgrind is not installed'; return 0; }
  valgrind --tool=callgrind --callgrind-out-file="$WORK/callgrind" "$ENGINE" keyed-sum --events 4000000 --keys 100000 \
    >>"$WORK/engine.log" 2>&1 || return 1
  budget "metrics' share of a keyed sum's instructions" "$(callgrind_annotate --inclusive=yes --threshold=100 "$WORK/callgrind" |
    awk '/PROGRAM TOTALS/ { gsub(",", "", $1); total = $1 }
         /HotKeys::see|Counters::publish|Running::count_flow|Spent::add/ { gsub(",", "", $1); spent += $1 }
         END { if (total) print 100 * spent / total }')" % at-most 1
}

engine_size() {
  strip -o "$WORK/stripped" "$ROOT/target/release/examples/wordcount" || return 1
  budget 'a stripped release job' "$(calc "$(stat -c %s "$WORK/stripped") / 1e6")" MB at-most 12
}

engine_build_time() {
  "$ROOT/scripts/shape-build-time.sh"
}

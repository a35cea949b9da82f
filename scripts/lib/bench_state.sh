# What exactly-once costs, of `scripts/bench.sh state`: barriers, restore, throughput and latency with checkpoints; sourced by it.
# shellcheck shell=bash

# shellcheck source=/dev/null
source "$LIB/bench_engine.sh"

bench_state() {
  local megabytes=1024 barriers=20 rounds=20 events=200000000 seconds=20 only='.' build=1
  while (($#)); do
    case "$1" in
      --megabytes) need_value "$@"; megabytes="$2"; shift 2 ;;
      --barriers) need_value "$@"; barriers="$2"; shift 2 ;;
      --rounds) need_value "$@"; rounds="$2"; shift 2 ;;
      --events) need_value "$@"; events="$2"; shift 2 ;;
      --seconds) need_value "$@"; seconds="$2"; shift 2 ;;
      --only) need_value "$@"; only="$2"; shift 2 ;;
      --no-build) build=0; shift ;;
      *) fail "unknown option $1" ;;
    esac
  done
  make_work_dir
  find_engine "$build"
  # Checkpoints go where temporary files go: to a directory of this run.
  export TMPDIR="$WORK"
  MEGABYTES="$megabytes" BARRIERS="$barriers" ROUNDS="$rounds" EVENTS="$events" LATENCY_SECONDS="$seconds"
  printf '%-58s %10s      %10s %10s  %s\n' '' measured must aim verdict
  local part
  for part in barrier sum cost latency; do
    [[ "$part" =~ $only ]] || continue
    "state_$part" || echo "$part: failed; see $WORK/engine.log, whose last lines are:" "$(tail -n 3 "$WORK/engine.log")"
  done
  local failed
  failed="$(grep -c 'checkpoint .* failed' "$WORK/engine.log" || true)"
  ((failed == 0)) || echo "checkpoints that failed: $failed; see $WORK/engine.log"
}

# figure LABEL PERCENTILE FILE: milliseconds of a line of percentiles.
figure() { sed -n "s/^$1 of .*$2 \([0-9.]*\) ms.*/\1/p" "$3"; }

median() { sort -g | awk '{ all[NR] = $1 } END { print NR % 2 ? all[(NR + 1) / 2] : (all[NR / 2] + all[NR / 2 + 1]) / 2 }'; }

state_barrier() {
  local out="$WORK/barrier.txt"
  "$ENGINE" barrier --megabytes "$MEGABYTES" --barriers "$BARRIERS" --directory "$WORK/files" >"$out" 2>>"$WORK/engine.log" || return 1
  cat "$out" >>"$WORK/engine.log"
  local of
  of="$(sed -n 's/^state of \([0-9]*\) keys, \([0-9]*\) MB/\1 keys, \2 MB/p' "$out")"
  budget "barrier holds the thread, p99; $of" "$(figure 'barrier: hold of the thread' p99 "$out")" ms at-most 50
  budget 'that and the longest batch until the file is there, p99' \
    "$(figure 'barrier: hold and the longest batch until the file is there' p99 "$out")" ms at-most 50
  sed -n 's/^barrier: \(.*\)/  \1/p' "$out"
  grep '^  up to' "$out"
  budget 'restore on one core' "$(sed -n 's/^restore of .*: \([0-9.]*\) M entries\/s.*/\1/p' "$out")" M/s at-least 5
}

# How many events a run that lasts a minute has, from the rate of a short one.
state_sum() {
  engine keyed-sum --events "$((EVENTS / 4))" --keys 1000000 || return 1
  engine keyed-sum --events "$(calc "int($EVENTS > 50000000 ? $RATE * 1e6 * 75 : $EVENTS)")" --keys 1000000 --checkpoints 5000 || return 1
  budget "keyed sum, 10^6 keys, checkpoints every 5 s, $SECONDS_TAKEN s" "$RATE" M/s at-least 6 12
  budget 'its memory' "$PEAK_MB" MB at-most 150
}

# Rounds of one run each, in turn: what the machine does meanwhile meets all alike.
state_cost() {
  local round interval rates="$WORK/rates.txt" first
  : >"$rates"
  for ((round = 0; round < ROUNDS; round++)); do
    for interval in 0 10000 1000; do
      engine keyed-sum --events "$EVENTS" --keys 1000000 --checkpoints "$interval" || return 1
      [[ "$interval" == 0 ]] && first="$RATE"
      echo "$interval $(calc "100 * (1 - $RATE / $first)") $SECONDS_TAKEN" >>"$rates"
    done
  done
  local lasted
  lasted="$(awk '$1 == 0 { print $3 }' "$rates" | median)"
  cost() { awk -v interval="$1" '$1 == interval { print $2 }' "$rates" | median; }
  budget "cost of a checkpoint every 10 s, median of $ROUNDS of $lasted s" "$(cost 10000)" % at-most 5
  budget 'cost of a checkpoint every 1 s' "$(cost 1000)" % at-most 15
}

# While one checkpoint follows another, so that most records come during one.
state_latency() {
  local round interval out="$WORK/latency.txt" each="$WORK/latencies.txt"
  : >"$each"
  for ((round = 0; round < 3; round++)); do
    for interval in 0 20; do
      "$ENGINE" latency --rate 100000 --seconds "$LATENCY_SECONDS" --keys 1000000 --checkpoints "$interval" \
        >"$out" 2>>"$WORK/engine.log" || return 1
      cat "$out" >>"$WORK/engine.log"
      echo "$interval $(figure latency p99 "$out")" >>"$each"
    done
  done
  local without during
  without="$(awk '$1 == 0 { print $2 }' "$each" | median)" during="$(awk '$1 == 20 { print $2 }' "$each" | median)"
  budget "p99 latency during checkpoints ($during ms), to without ($without ms)" "$(calc "$during / $without")" times at-most 2
}

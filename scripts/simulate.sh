#!/usr/bin/env bash
# Runs many seeds of the simulated cluster on all cores. Of each seed that fails it finds the fewest faults with which it still does, and
# prints the command that shows them.
# scripts/simulate.sh [--seeds N] [--seed S] [--minutes M] [--eventful] [--target DIR]
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=10000 first=1 minutes=0 target=
export EVENTFUL=
while (($#)); do
  case "$1" in
    --seeds | --seed | --minutes | --target)
      [[ $# -ge 2 ]] || { echo "$1 needs a value" >&2; exit 2; }
      case "$1" in --seeds) seeds=$2 ;; --seed) first=$2 ;; --minutes) minutes=$2 ;; --target) target=$2 ;; esac
      shift 2
      ;;
    --eventful) EVENTFUL=--eventful; shift ;;
    -h | --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
    *) echo "unknown option $1; --help shows what there is" >&2; exit 2 ;;
  esac
done
for number in "$seeds" "$first" "$minutes"; do
  [[ $number =~ ^[0-9]+$ ]] || { echo "$number is not a whole number" >&2; exit 2; }
done
if [[ -z $target ]]; then
  cargo build --quiet --release --bin flott
  target=target/release
fi
export FLOTT="$target/flott" WORK OVER=0
((minutes == 0)) || OVER=$(($(date +%s) + minutes * 60))
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# Seeds from $1 on, $2 of them. What fails is minimised, and the rest go on.
part() {
  local seed=$1 end=$(($1 + $2)) said failed
  while ((seed < end)); do
    ((OVER == 0 || $(date +%s) < OVER)) || return 0
    if said=$("$FLOTT" simulate --quiet --minimise $EVENTFUL --seed "$seed" --seeds $((end - seed))); then
      echo "$said" >"$WORK/passed-$seed"
      return 0
    fi
    failed=$(sed -n 's/^see all of it: flott simulate --seed \([0-9]*\).*/\1/p' <<<"$said")
    [[ -n $failed ]] || { echo "seeds $seed to $((end - 1)): $said" | tee "$WORK/failed-$seed"; return 0; }
    grep -E '^(seed |see all)' <<<"$said" | tee "$WORK/failed-$failed"
    seed=$((failed + 1))
  done
}
export -f part

size=$(((seeds + 63) / 64)) # Parts enough to keep all cores busy to the end, and to stop soon when time is over.
((size <= 200)) || size=200
for ((from = first; from < first + seeds; from += size)); do
  echo "$from $((from + size <= first + seeds ? size : first + seeds - from))"
done | xargs -P "$(nproc)" -L 1 bash -c 'part "$0" "$1"'

failed=$(find "$WORK" -name 'failed-*' | wc -l)
passed=$(cat "$WORK"/passed-* 2>/dev/null | awk '{ sum += $1 } END { print sum + 0 }')
cat "$WORK"/passed-* 2>/dev/null | awk -v passed="$passed" '
  { for (i = 1; i <= NF; i++) { gsub(/[,;]/, "", $i)
      if ($i == "kills") kills += $(i + 1); if ($i == "checkpoints") checkpoints += $(i + 1)
      if ($i == "simulated") simulated += $(i - 2) } }
  END { printf "%d seeds passed: %d s simulated, %d checkpoints, %d kills\n", passed, simulated, checkpoints, kills }'
((failed == 0)) || { echo "$failed failed"; exit 1; }

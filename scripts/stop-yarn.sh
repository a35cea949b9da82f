#!/usr/bin/env bash
# Stops what start-yarn.sh started: node managers with their containers, then the resource manager. State and logs stay.
set -euo pipefail
. "$(dirname "$0")/lib/daemons.sh"

dir=${FLOTT_DIR:-/tmp/flott-${USER:-$(id -un)}/yarn}
while [ $# -gt 0 ]; do
  case $1 in
    --dir) dir=$2; shift 2 ;;
    -h|--help) echo "Usage: scripts/stop-yarn.sh [--dir DIR]"; exit 0 ;;
    *) echo "unknown argument: $1" >&2; exit 1 ;;
  esac
done

pids=$dir/pids stopped=0 jobs=()
for file in "$pids"/nodemanager-*.pid; do
  [ -f "$file" ] || continue
  stop_daemon "$(basename "$file" .pid)" "$pids" &
  jobs+=($!)
done
for job in "${jobs[@]}"; do if wait "$job"; then stopped=$((stopped + 1)); fi; done
if stop_daemon resourcemanager "$pids"; then stopped=$((stopped + 1)); fi
if [ "$stopped" -eq 0 ]; then echo "no daemon to stop under $dir"; else echo "stopped $stopped daemons under $dir"; fi

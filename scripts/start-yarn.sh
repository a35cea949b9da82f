#!/usr/bin/env bash
# Starts a resource manager and node managers on this machine. Started again on the same directory they recover.
set -euo pipefail
. "$(dirname "$0")/lib/daemons.sh"

usage() {
  cat <<'TXT'
Usage: scripts/start-yarn.sh [--nodes N] [--dir DIR] [-D key=value]...

Starts a resource manager and N node managers (default 2) on this machine, waits until they are ready and prints
their addresses. Everything they keep lies under DIR (default /tmp/flott-$USER/yarn): state, logs, pids.

  -D key=value   configuration for every daemon, e.g. -D resourcemanager.port=9088 -D nodemanager.port=9042
                 (the i-th node manager takes that port + i)
TXT
}

nodes=2 dir=${FLOTT_DIR:-/tmp/flott-${USER:-$(id -un)}/yarn} rm_port=8088 nm_port=8042 memory=
defines=()
while [ $# -gt 0 ]; do
  case $1 in
    --nodes) nodes=$2; shift 2 ;;
    --dir) dir=$2; shift 2 ;;
    -D) define=$2; shift 2
        case $define in
          nodemanager.port=*) nm_port=${define#*=} ;;
          nodemanager.memory=*) memory=${define#*=} ;;
          resourcemanager.port=*) rm_port=${define#*=}; defines+=(-D "$define") ;;
          *) defines+=(-D "$define") ;;
        esac ;;
    -h|--help) usage; exit 0 ;;
    *) echo "unknown argument: $1" >&2; usage >&2; exit 1 ;;
  esac
done
case $nodes in ''|*[!0-9]*|0) echo "--nodes takes a number from 1, not '$nodes'" >&2; exit 1 ;; esac

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
pids=$dir/pids logs=$dir/logs
if pid=$(pid_of "$pids/resourcemanager.pid"); then
  echo "a resource manager (pid $pid) already runs on $dir; stop it with: scripts/stop-yarn.sh --dir $dir" >&2
  exit 1
fi

# What fails half-way is taken down again.
trap 'status=$?; if [ $status -ne 0 ]; then "$(dirname "$0")/stop-yarn.sh" --dir "$dir" >/dev/null 2>&1 || true; fi' EXIT

start_daemon resourcemanager "$pids" "$logs" resourcemanager -D resourcemanager.state-dir="$dir/resourcemanager" "${defines[@]}"
wait_ready resourcemanager "$pids" "$logs" 20
address=$(ready_address resourcemanager "$pids")
rm_port=${address##*:}
# The nodes share this machine's memory.
: "${memory:=$(($(total_memory_mb) / nodes))m}"
for ((i = 0; i < nodes; i++)); do
  port=$nm_port; [ "$nm_port" = 0 ] || port=$((nm_port + i))
  start_daemon "nodemanager-$i" "$pids" "$logs" nodemanager "${defines[@]}" -D resourcemanager.port="$rm_port" \
    -D nodemanager.dir="$dir/nodemanager-$i" -D nodemanager.port="$port" -D nodemanager.memory="$memory"
done
for ((i = 0; i < nodes; i++)); do wait_ready "nodemanager-$i" "$pids" "$logs" 20; done

echo "resource manager  http://$address"
for ((i = 0; i < nodes; i++)); do echo "node manager $i    http://$(ready_address "nodemanager-$i" "$pids")"; done
echo "logs              $logs"
echo "stop with         scripts/stop-yarn.sh --dir $dir"

#!/usr/bin/env bash
# Starts a standalone cluster: a job manager here, and a task manager for each line of conf/workers.
set -euo pipefail
. "$(dirname "$0")/lib/daemons.sh"

usage() {
  cat <<'TXT'
Usage: scripts/start-cluster.sh [-D key=value]...

Starts a job manager on this machine and one task manager for each line of conf/workers (localhost lines run here, others
over ssh), waits until they are ready and prints the addresses.

  FLOTT_CONF_DIR  directory with flott.yaml and workers (default: conf/ of this checkout)
  FLOTT_PID_DIR   pids (default /tmp/flott-$USER/pids)
  FLOTT_LOG_DIR   logs (default /tmp/flott-$USER/logs)
TXT
}

defines=()
while [ $# -gt 0 ]; do
  case $1 in
    -D) defines+=(-D "$2"); shift 2 ;;
    -h|--help) usage; exit 0 ;;
    *) echo "unknown argument: $1" >&2; usage >&2; exit 1 ;;
  esac
done

base=/tmp/flott-${USER:-$(id -un)}
pids=${FLOTT_PID_DIR:-$base/pids} logs=${FLOTT_LOG_DIR:-$base/logs}
export FLOTT_CONF_DIR=${FLOTT_CONF_DIR:-$(repo_root)/conf}
if pid=$(pid_of "$pids/jobmanager.pid"); then
  echo "a job manager (pid $pid) already runs here; stop it with: scripts/stop-cluster.sh" >&2
  exit 1
fi
trap 'status=$?; if [ $status -ne 0 ]; then "$(dirname "$0")/stop-cluster.sh" >/dev/null 2>&1 || true; fi' EXIT

echo "Starting cluster."
start_daemon jobmanager "$pids" "$logs" jobmanager "${defines[@]}"
wait_ready jobmanager "$pids" "$logs" 20
address=$(ready_address jobmanager "$pids")
links=$(ready_links jobmanager "$pids")
echo "Starting jobmanager daemon on host $(uname -n)."

i=0 local_daemons=()
while read -r host; do
  case $host in ''|'#'*) continue ;; esac
  if [ "$host" = localhost ] || [ "$host" = 127.0.0.1 ]; then
    start_daemon "taskmanager-$i" "$pids" "$logs" taskmanager "${defines[@]}" -D jobmanager.rpc.address="${links%:*}" -D jobmanager.rpc.port="${links##*:}"
    local_daemons+=("taskmanager-$i")
  else
    # The other machine has this checkout, or an installation with the same path, and the same configuration.
    ssh -o BatchMode=yes "$host" "FLOTT_CONF_DIR='$FLOTT_CONF_DIR' '$(repo_root)/scripts/taskmanager.sh' start ${defines[*]@Q}" </dev/null
  fi
  echo "Starting taskmanager daemon on host $host."
  i=$((i + 1))
done <"$FLOTT_CONF_DIR/workers"
for name in "${local_daemons[@]}"; do wait_ready "$name" "$pids" "$logs" 20; done

echo "job manager  http://$address"
echo "logs         $logs"
echo "stop with    scripts/stop-cluster.sh"

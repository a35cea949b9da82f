#!/usr/bin/env bash
# Stops what start-cluster.sh started: task managers with their workers, then the job manager.
set -euo pipefail
. "$(dirname "$0")/lib/daemons.sh"

case ${1:-} in
  '') ;;
  -h|--help) echo "Usage: scripts/stop-cluster.sh"; exit 0 ;;
  *) echo "unknown argument: $1" >&2; exit 1 ;;
esac

pids=${FLOTT_PID_DIR:-/tmp/flott-${USER:-$(id -un)}/pids}
conf=${FLOTT_CONF_DIR:-$(repo_root)/conf}
for file in "$pids"/taskmanager-*.pid; do
  [ -f "$file" ] || continue
  name=$(basename "$file" .pid)
  if pid=$(pid_of "$file"); then echo "Stopping taskmanager daemon (pid: $pid) on host $(uname -n)."; fi
  stop_daemon "$name" "$pids" || true
done
if [ -f "$conf/workers" ]; then
  while read -r host; do
    case $host in ''|'#'*|localhost|127.0.0.1) continue ;; esac
    ssh -o BatchMode=yes "$host" "'$(repo_root)/scripts/taskmanager.sh' stop-all" </dev/null || true
  done <"$conf/workers"
fi
if pid=$(pid_of "$pids/jobmanager.pid"); then
  echo "Stopping jobmanager daemon (pid: $pid) on host $(uname -n)."
  stop_daemon jobmanager "$pids"
else
  rm -f "$pids/jobmanager.pid"
  echo "No jobmanager daemon to stop on host $(uname -n)."
fi

#!/usr/bin/env bash
# Starts or stops task managers on this machine; several may run on one host.
set -euo pipefail
. "$(dirname "$0")/lib/daemons.sh"

usage() { echo "Usage: taskmanager.sh (start|start-foreground) [-D key=value]... | stop | stop-all"; }

base=/tmp/flott-${USER:-$(id -un)}
pids=${FLOTT_PID_DIR:-$base/pids} logs=${FLOTT_LOG_DIR:-$base/logs}
export FLOTT_CONF_DIR=${FLOTT_CONF_DIR:-$(repo_root)/conf}
verb=${1:-}
[ $# -eq 0 ] || shift
case $verb in
  start)
    i=0
    while pid_of "$pids/taskmanager-$i.pid" >/dev/null; do i=$((i + 1)); done
    [ "$i" -eq 0 ] || echo "[INFO] $i instance(s) of taskmanager are already running on $(uname -n)."
    start_daemon "taskmanager-$i" "$pids" "$logs" taskmanager "$@"
    wait_ready "taskmanager-$i" "$pids" "$logs" 20
    echo "Starting taskmanager daemon on host $(uname -n)." ;;
  start-foreground) exec "$(find_flott)" taskmanager "$@" ;;
  stop|stop-all)
    found=0
    for file in $(ls -t "$pids"/taskmanager-*.pid 2>/dev/null); do
      if pid=$(pid_of "$file"); then
        echo "Stopping taskmanager daemon (pid: $pid) on host $(uname -n)."
        found=1
      fi
      stop_daemon "$(basename "$file" .pid)" "$pids" || true
      if [ "$verb" = stop ] && [ "$found" = 1 ]; then break; fi
    done
    [ "$found" = 1 ] || echo "No taskmanager daemon to stop on host $(uname -n)." ;;
  *) usage; exit 1 ;;
esac

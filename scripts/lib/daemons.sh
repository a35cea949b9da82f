# Starting and stopping daemons for the scripts beside; sourced, not run.
# A daemon is ready when it has written its ready file; it is stopped by TERM, and KILL after ten seconds.

repo_root() { cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd; }

# The flott binary: $FLOTT, else the newest build, else the one on PATH.
find_flott() {
  local root; root=$(repo_root)
  if [ -n "${FLOTT:-}" ]; then echo "$FLOTT"; return; fi
  local candidate
  for candidate in "$root/target/release/flott" "$root/target/debug/flott"; do
    if [ -x "$candidate" ]; then echo "$candidate"; return; fi
  done
  if command -v flott >/dev/null 2>&1; then command -v flott; return; fi
  echo "no flott binary: build it first with: cargo build --release" >&2
  return 1
}

# is_alive PID: whether it runs. One that has ended counts as gone before its parent has noticed: a container's init may take
# seconds for that, or for ever.
is_alive() {
  local stat
  [ -n "${1:-}" ] && kill -0 "$1" 2>/dev/null || return 1
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  case ${stat##*) } in Z*|X*) return 1 ;; esac
}

# pid_of PIDFILE: prints the pid if that process lives.
pid_of() {
  local pid
  [ -f "$1" ] || return 1
  pid=$(cat "$1")
  is_alive "$pid" && echo "$pid"
}

# start_daemon NAME PID_DIR LOG_DIR FLOTT_ARGS…: starts it in the background; does not wait.
start_daemon() {
  local name=$1 pids=$2 logs=$3; shift 3
  local flott; flott=$(find_flott) || return 1
  mkdir -p "$pids" "$logs"
  rm -f "$pids/$name.ready"
  # A session of its own: a Ctrl-C at the terminal is for the script, not for the daemon.
  setsid "$flott" "$@" --ready-file "$pids/$name.ready" >>"$logs/$name.out" 2>"$logs/$name.err" </dev/null &
  echo $! >"$pids/$name.pid"
}

# wait_ready NAME PID_DIR LOG_DIR SECONDS: waits for the ready file; a daemon that dies meanwhile is reported by its own words.
wait_ready() {
  local name=$1 pids=$2 logs=$3 limit=$4 pid waited=0
  pid=$(cat "$pids/$name.pid")
  until [ -f "$pids/$name.ready" ]; do
    if ! is_alive "$pid"; then
      echo "$name did not start:" >&2
      tail -n 5 "$logs/$name.err" | sed 's/^/  /' >&2
      rm -f "$pids/$name.pid"
      return 1
    fi
    if [ "$waited" -ge $((limit * 50)) ]; then
      echo "$name is not ready after $limit s; its log: $logs/$name.err" >&2
      return 1
    fi
    sleep 0.02
    waited=$((waited + 1))
  done
}

# ready_address NAME PID_DIR: the address in the ready file.
ready_address() { sed -n 's/.*"address":"\([^"]*\)".*/\1/p' "$2/$1.ready"; }

# ready_links NAME PID_DIR: the address of its links.
ready_links() { sed -n 's/.*"links":"\([^"]*\)".*/\1/p' "$2/$1.ready"; }

# stop_daemon NAME PID_DIR: TERM, KILL after ten seconds; fails if there was none.
stop_daemon() {
  local name=$1 pids=$2 pid waited=0
  if ! pid=$(pid_of "$pids/$name.pid"); then
    rm -f "$pids/$name.pid" "$pids/$name.ready"
    return 1
  fi
  kill -TERM "$pid" 2>/dev/null || true
  while is_alive "$pid"; do
    if [ "$waited" -ge 500 ]; then
      echo "$name (pid $pid) did not stop within 10 s and was killed" >&2
      kill -KILL "$pid" 2>/dev/null || true
      break
    fi
    sleep 0.02
    waited=$((waited + 1))
  done
  rm -f "$pids/$name.pid" "$pids/$name.ready"
}

# total_memory_mb: memory of this machine in MiB.
total_memory_mb() { awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo; }

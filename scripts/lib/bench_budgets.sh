# The budgets of `scripts/bench.sh budgets`: start, submit, idle memory; sourced by it.
# shellcheck shell=bash

bench_budgets() {
  local runs=5
  while (($#)); do
    case "$1" in
      --runs) need_value "$@"; runs="$2"; shift 2 ;;
      *) fail "unknown option $1" ;;
    esac
  done
  make_work_dir
  printf '%-52s %10s %10s %10s  %s\n' '' measured must aim verdict
  if ! build_flott wordcount; then
    echo "nothing was measured: $WHY_NOT"
    return
  fi
  echo word >"$WORK/one.txt"
  FLOTT="$ROOT/target/release/flott"
  ONE_ELEMENT="$ROOT/target/release/examples/wordcount --input $WORK/one.txt --execution-mode batch"
  budgets_standalone "$runs"
  budgets_yarn "$runs"
}

# verdict NAME UNIT MUST AIM [VALUE...]: prints the median of the values beside its budget.
verdict() {
  "$PYTHON" - "$@" <<'PY'
import statistics, sys
name, unit, must, aim, *values = sys.argv[1:]
must, aim = float(must), float(aim)
if not values:
    print(f"{name:52} {'-':>10} {must:>7g} {unit:2} {aim:>7g} {unit:2}  not measured")
    sys.exit()
value = statistics.median(map(float, values))
word = "aim met" if value <= aim else "must met" if value <= must else "MISSED"
spread = f" ({len(values)} runs, {min(map(float, values)):.1f} to {max(map(float, values)):.1f})" if len(values) > 1 else ""
print(f"{name:52} {value:7.1f} {unit:2} {must:>7g} {unit:2} {aim:>7g} {unit:2}  {word}{spread}")
PY
}

# Milliseconds of wall time that a command takes; its output goes to the log.
wall_ms() {
  local costs
  costs="$("$PYTHON" "$LIB/measure.py" run -- "$@" 2>>"$WORK/budgets.log")" || return 1
  awk '{ printf "%.1f\n", $1 * 1000 }' <<<"$costs"
}

# memory PIDS_DIR DAEMON: the resident MB of each daemon whose pid file begins so.
memory() {
  local file
  for file in "$1/$2"*.pid; do
    [[ -r "$file" ]] || continue
    awk '/^VmRSS:/ { printf "%.1f\n", $2 / 1024 }' "/proc/$(<"$file")/status"
  done
}

# One JobManager and two TaskManagers of one slot.
budgets_standalone() {
  local runs="$1" run ports port options values=() submits=() value jm tm
  local start="$ROOT/scripts/start-cluster.sh" stop="$ROOT/scripts/stop-cluster.sh" log="$WORK/budgets.log"
  if [[ ! -x "$start" ]]; then
    echo "start of a standalone cluster: skipped, scripts/start-cluster.sh does not exist"
    return
  fi
  export FLOTT_CONF_DIR="$WORK/conf" FLOTT_PID_DIR="$WORK/pids" FLOTT_LOG_DIR="$WORK/logs"
  mkdir -p "$FLOTT_CONF_DIR" "$FLOTT_PID_DIR" "$FLOTT_LOG_DIR"
  [[ ! -d "$ROOT/conf" ]] || cp -r "$ROOT/conf/." "$FLOTT_CONF_DIR/"
  printf 'localhost\nlocalhost\n' >"$FLOTT_CONF_DIR/workers"
  for ((run = 1; run <= runs; run++)); do
    read -ra ports < <(free_ports 2)
    port="${ports[0]}"
    options="-D rest.port=$port -D jobmanager.rpc.port=${ports[1]} -D taskmanager.numberOfTaskSlots=1 ${FLOTT_BENCH_ARGS:-}"
    STOP_COMMAND="$stop"
    value="$("$PYTHON" "$LIB/measure.py" start --until-slots 2 --url "http://127.0.0.1:$port/overview" \
      --start "$start $options" --log "$log")" || { echo "start of a standalone cluster: failed, see $log"; cat "$log" >&2; return; }
    values+=("$(awk '{ print $1 * 1000 }' <<<"$value")")
    if ((run == runs)); then
      # Memory first: a cluster that has run no job is idle in the budget's sense.
      sleep 2
      mapfile -t jm < <(memory "$FLOTT_PID_DIR" jobmanager)
      mapfile -t tm < <(memory "$FLOTT_PID_DIR" taskmanager)
      # One job unmeasured: the program is uploaded once.
      # shellcheck disable=SC2086
      for ((submit = 0; submit <= runs; submit++)); do
        value="$(wall_ms "$FLOTT" run -m "127.0.0.1:$port" $ONE_ELEMENT)" || { echo "submit to a session: failed, see below"; tail -n 3 "$log"; break; }
        ((submit == 0)) || submits+=("$value")
      done
    fi
    bash -c "$STOP_COMMAND" >>"$log" 2>&1 || echo "stop-cluster.sh failed" >&2
    STOP_COMMAND=''
  done
  verdict 'start a cluster until 2 slots are free' ms 500 100 "${values[@]}"
  verdict 'submit one element to a session until it ended' ms 150 30 "${submits[@]}"
  verdict 'idle memory, JobManager' MB 20 10 "${jm[@]}"
  verdict 'idle memory, TaskManager' MB 10 5 "${tm[@]}"
}

# One ResourceManager and one NodeManager.
budgets_yarn() {
  local runs="$1" run ports options dir="$WORK/yarn" log="$WORK/budgets.log" submits=() value
  local start="$ROOT/scripts/start-yarn.sh" rm nm rm_used nm_used
  if [[ ! -x "$start" ]]; then
    echo "per-job submission: skipped, scripts/start-yarn.sh does not exist"
    return
  fi
  read -ra ports < <(free_ports 2)
  options="-D resourcemanager.port=${ports[0]} -D nodemanager.port=${ports[1]} ${FLOTT_BENCH_ARGS:-}"
  STOP_COMMAND="$ROOT/scripts/stop-yarn.sh --dir $dir"
  # shellcheck disable=SC2086
  "$start" --nodes 1 --dir "$dir" $options >>"$log" 2>&1 </dev/null || { echo "start-yarn.sh failed:"; tail -n 3 "$log"; return; }
  sleep 2
  mapfile -t rm < <(memory "$dir/pids" resourcemanager)
  mapfile -t nm < <(memory "$dir/pids" nodemanager)
  for ((run = 0; run <= runs; run++)); do
    # shellcheck disable=SC2086
    value="$(wall_ms "$FLOTT" run -t yarn-per-job $options $ONE_ELEMENT)" || { echo "per-job submission: failed, see below"; tail -n 3 "$log"; break; }
    ((run == 0)) || submits+=("$value")
  done
  # What the allocator gives back, it gives back a moment later.
  sleep 2
  mapfile -t rm_used < <(memory "$dir/pids" resourcemanager)
  mapfile -t nm_used < <(memory "$dir/pids" nodemanager)
  bash -c "$STOP_COMMAND" >>"$log" 2>&1 || echo "stop-yarn.sh failed" >&2
  STOP_COMMAND=''
  verdict 'submit one element per-job until it ended' ms 500 150 "${submits[@]}"
  verdict 'idle memory, ResourceManager' MB 30 15 "${rm[@]}"
  verdict 'idle memory, NodeManager' MB 15 7.5 "${nm[@]}"
  verdict "idle again after $((runs + 1)) jobs, ResourceManager" MB 30 15 "${rm_used[@]}"
  verdict "idle again after $((runs + 1)) jobs, NodeManager" MB 15 7.5 "${nm_used[@]}"
}

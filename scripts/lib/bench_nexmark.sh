# The Nexmark queries of `scripts/bench.sh nexmark`; sourced by it.
# shellcheck shell=bash

bench_nexmark() {
  local events=10000000 runs=1 parallelism=2 only='' file='' build=yes
  while (($#)); do
    case "$1" in
      --events) need_value "$@"; events="$2"; shift 2 ;;
      --file) need_value "$@"; file="$2"; shift 2 ;;
      --runs) need_value "$@"; runs="$2"; shift 2 ;;
      --parallelism) need_value "$@"; parallelism="$2"; shift 2 ;;
      --only) need_value "$@"; only="$2"; shift 2 ;;
      --no-build) build=no; shift ;;
      *) fail "unknown option $1" ;;
    esac
  done
  make_work_dir
  [[ "$build" == no ]] || build_flott nexmark || fail "$WHY_NOT"
  local program="$ROOT/target/release/examples/nexmark"
  [[ -x "$program" ]] || fail "$program is not there; leave --no-build away"
  if [[ -z "$file" ]]; then
    file="$WORK/events.json"
    echo "making $events events" >&2
    "$program" --generate "$events" --out "$file"
  fi
  local run query from input costs queries
  # `none` reads and drops.
  queries="none $("$program" --help | sed -n 's/^  \(q[0-9]*[a-z]*\) .*/\1/p' | grep -Ex "${only:-.*}" | tr '\n' ' ')"
  for ((run = 1; run <= runs; run++)); do
    for query in $queries; do
      for from in json generator; do
        input="$file"
        [[ "$from" == json ]] || input="generator:$events"
        echo "run $run: $query from $from" >&2
        costs="$("$PYTHON" "$LIB/measure.py" run -- "$program" --query "$query" --input "$input" --output discard \
          --parallelism "$parallelism" 2>"$WORK/row.err")" || fail "$query: $(tail -n1 "$WORK/row.err")"
        printf '%s\t%s\t%s\n' "$query" "$from" "$costs" >>"$WORK/measured.tsv"
      done
    done
  done
  echo "$events events, $(stat -Lc %s "$file") bytes of JSON, parallelism $parallelism, $(nproc) cores, nothing written"
  "$PYTHON" "$LIB/nexmark_table.py" "$WORK/measured.tsv" "$events"
}

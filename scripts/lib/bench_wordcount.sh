# The word count of `scripts/bench.sh wordcount`; sourced by it.
# shellcheck shell=bash

SINGLE='single-purpose'

bench_wordcount() {
  local runs=3 only='' file=''
  PARALLELISM=2
  while (($#)); do
    case "$1" in
      --runs) need_value "$@"; runs="$2"; shift 2 ;;
      --parallelism) need_value "$@"; PARALLELISM="$2"; shift 2 ;;
      --only) need_value "$@"; only="$2"; shift 2 ;;
      -*) fail "unknown option $1" ;;
      *) [[ -z "$file" ]] || fail "one FILE is wanted"; file="$1"; shift ;;
    esac
  done
  [[ -n "$file" ]] || fail "wordcount wants a FILE (scripts/bench.sh generate 1g FILE makes one)"
  [[ -r "$file" ]] || fail "cannot read $file"
  INPUT="$(realpath "$file")"
  make_work_dir
  build_peers

  # name | function; the function writes the counts and prints one line of costs, or sets WHY_NOT and returns 1.
  local rows=(
    'flott local|row_flott_local'
    'flott per-job|row_flott_per_job'
    'tr | sort | uniq -c|row_coreutils'
    'DuckDB|row_duckdb'
    "$SINGLE|row_single_purpose"
    'plain|row_plain'
  )
  : >"$WORK/measured.tsv" >"$WORK/skipped.tsv" >"$WORK/sums.tsv"
  local run row name names=()
  for ((run = 1; run <= runs; run++)); do
    for row in "${rows[@]}"; do
      name="${row%|*}"
      [[ "$name" == "$SINGLE" || -z "$only" || "$name" =~ $only ]] || continue
      ((run > 1)) || names+=("${name//|/\/}")
      run_row "${name//|/\/}" "${row##*|}" "$run"
    done
  done
  check_sums
  local words
  words="$(sed -n 's/.*total=\([0-9]*\).*/\1/p' "$WORK/sums.tsv" | head -n1)"
  echo "$INPUT: $(stat -Lc %s "$INPUT") bytes, $(head -n1 "$WORK/sums.tsv" | cut -f2)"
  echo "parallelism $PARALLELISM, $(nproc) cores; all rows agree on the counts"
  "$PYTHON" "$LIB/table.py" "$WORK/measured.tsv" "$WORK/skipped.tsv" "$(IFS='|'; echo "${names[*]}")" \
    "$(stat -Lc %s "$INPUT")" "${words:-0}" "$SINGLE"
}

# run_row NAME FUNCTION RUN: measures once; sums the counts up in the first run. A row that could not run is not tried again.
run_row() {
  local name="$1" function="$2" run="$3" costs="$WORK/costs"
  if grep -q "^$name"$'\t' "$WORK/skipped.tsv"; then return; fi
  if [[ "$function" == row_coreutils ]] && ((run > 1)); then return; fi
  echo "run $run: $name" >&2
  OUT="$WORK/out"
  rm -rf "$OUT"
  WHY_NOT='' SUM_OPTIONS=()
  if ! "$function" >"$costs" 2>"$WORK/row.err"; then
    [[ -n "$WHY_NOT" ]] || WHY_NOT="$(tail -n1 "$WORK/row.err")"
    printf '%s\t%s\n' "$name" "${WHY_NOT:-failed without a word}" >>"$WORK/skipped.tsv"
    return
  fi
  # Warnings, such as processes left over after a cluster was stopped.
  cat "$WORK/row.err" >&2
  printf '%s\t%s\n' "$name" "$(cat "$costs")" >>"$WORK/measured.tsv"
  if ((run == 1)); then
    local parts
    # Part files only: hidden ones are unfinished.
    mapfile -d '' -t parts < <(find "$OUT" -type f -not -name '.*' -not -name '_*' -print0)
    ((${#parts[@]})) || fail "$name wrote no result"
    printf '%s\t%s\n' "$name" "$("$PEER_BIN/checksum" "${SUM_OPTIONS[@]}" "${parts[@]}")" >>"$WORK/sums.tsv"
  fi
  rm -rf "$OUT"
}

check_sums() {
  if (($(cut -f2 "$WORK/sums.tsv" | sort -u | wc -l) > 1)); then
    column -t -s $'\t' "$WORK/sums.tsv" >&2
    fail "the counts differ"
  fi
}

measure() { "$PYTHON" "$LIB/measure.py" "$@"; }

flott_program() {
  echo "$ROOT/target/release/examples/wordcount --input $(printf %q "$INPUT") --keep-case --output $(printf %q "$OUT")" \
    "--execution-mode batch --parallelism $PARALLELISM"
}

row_flott_local() {
  build_flott wordcount || return 1
  measure run -- bash -c "exec $(flott_program)"
}

row_flott_per_job() {
  build_flott wordcount || return 1
  if [[ ! -x "$ROOT/scripts/start-yarn.sh" ]]; then
    WHY_NOT='scripts/start-yarn.sh does not exist'
    return 1
  fi
  local dir="$WORK/yarn" ports
  read -ra ports < <(free_ports 2)
  local options="-D resourcemanager.port=${ports[0]} -D nodemanager.port=${ports[1]} ${FLOTT_BENCH_ARGS:-}"
  STOP_COMMAND="$ROOT/scripts/stop-yarn.sh --dir $dir"
  measure cluster --log "$WORK/per-job.log" \
    --start "$ROOT/scripts/start-yarn.sh --nodes 1 --dir $dir $options" \
    --run "$ROOT/target/release/flott run -t yarn-per-job -p $PARALLELISM $options $(flott_program)" \
    --stop "$STOP_COMMAND"
  local code=$?
  STOP_COMMAND=''
  rm -rf "$dir"
  return "$code"
}

row_coreutils() {
  SUM_OPTIONS=(--count-first)
  LC_ALL=C measure run --stdout "$OUT" -- bash -c \
    'set -o pipefail; tr -s "[:space:]" "\n" <"$1" | sort -T "$2" | uniq -c' bash "$INPUT" "$WORK"
}

row_duckdb() {
  local sql="$WORK/duckdb.sql" runner=()
  if command -v duckdb >/dev/null; then
    runner=(duckdb -bail -f "$sql")
  elif "$PYTHON" -c 'import duckdb' 2>/dev/null; then
    runner=("$PYTHON" "$LIB/duckdb_wordcount.py" --run "$sql")
  else
    WHY_NOT='no duckdb here: python3 -m venv V && V/bin/pip install duckdb, then PYTHON=V/bin/python3 scripts/bench.sh …'
    return 1
  fi
  [[ -f "$sql" ]] || "$PYTHON" "$LIB/duckdb_wordcount.py" --sql "$INPUT" "$OUT" "$PARALLELISM" >"$sql" || return 1
  measure run -- "${runner[@]}"
}

row_single_purpose() {
  measure run -- "$PEER_BIN/single_purpose" --keep-case --threads "$PARALLELISM" --out "$OUT" "$INPUT"
}

row_plain() {
  measure run -- "$PEER_BIN/plain" --keep-case --out "$OUT" "$INPUT"
}

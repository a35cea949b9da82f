#!/usr/bin/env bash
# Points Flink's own dashboard and command line at flott, and looks whether they are content.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/daemons.sh

usage() {
  cat <<'TXT'
Usage: scripts/flink-clients.sh [--only dashboard|cli] [--version V]

Fetches Flink's official distribution (PyPI's apache-flink-libraries, 300 MB, kept in target/flink), starts a standalone
cluster of flott with a running, a finished and a failed job, and then
  dashboard   opens every page of Flink's dashboard in a headless Chromium; fails at an error in the console, an uncaught
              exception, a notification of an error, a refused request, or a page without its headings
  cli         runs Flink's own `flink list`, `savepoint`, `stop` and `cancel` against it, and looks at what they print
Needs chromium and node (20 or later) for the first, java (11 or 17) for the second, python3 with pip for both.
Uses target/debug/flott, or $FLOTT.
TXT
}

only='' version=2.1.0
while [ $# -gt 0 ]; do
  case $1 in
    --only) only=$2; shift 2 ;;
    --version) version=$2; shift 2 ;;
    -h|--help) usage; exit 0 ;;
    *) echo "unknown argument: $1" >&2; usage >&2; exit 1 ;;
  esac
done

step() { printf '\n==> %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

flott=${FLOTT:-$PWD/target/debug/flott}
examples=$(dirname "$flott")/examples
[ -x "$flott" ] && [ -x "$examples/wordcount" ] || fail "no $flott; run cargo build --bins --examples first"

step "Flink $version"
home=$PWD/target/flink
archive=$home/apache_flink_libraries-$version.tar.gz
mkdir -p "$home"
[ -f "$archive" ] || python3 -m pip download -q --no-deps --no-binary :all: -d "$home" "apache-flink-libraries==$version"
if [ ! -f "$home/$version/complete" ]; then
  mkdir -p "$home/$version"
  tar xzf "$archive" -C "$home/$version" --strip-components=3 "apache_flink_libraries-$version/deps/lib"
  python3 -m zipfile -e "$home/$version/flink-dist-$version.jar" "$home/$version/dist"
  touch "$home/$version/complete"
fi
web=$home/$version/dist/web
[ -f "$web/index.html" ] || fail "no dashboard in flink-dist-$version.jar"

dir=$(mktemp -d "${TMPDIR:-/tmp}/flott-flink-clients-XXXXXX")
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap finish EXIT

# daemon NAME ARGUMENT...: starts one and waits until it says that it is ready.
daemon() {
  local name=$1
  shift
  FLOTT_LOG_DIR=$dir "$flott" "$@" --ready-file "$dir/$name.ready" >"$dir/$name.out" 2>"$dir/$name.err" &
  pids+=($!)
  for _ in $(seq 200); do [ -s "$dir/$name.ready" ] && return; sleep 0.1; done
  cat "$dir/$name.err" >&2
  fail "$name is not ready"
}
field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }
get() { python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())' "http://$address$1"; }
# until_state JOB STATE
until_state() {
  for _ in $(seq 300); do
    case $(get "/jobs/$1/status") in *"\"$2\""*) return ;; esac
    sleep 0.1
  done
  fail "job $1 is not $2: $(get "/jobs/$1/status")"
}

step "A cluster with three jobs"
daemon jobmanager jobmanager -D rest.port=0 -D jobmanager.rpc.port=0 -D "flott.storage.dir=$dir/storage" \
  -D "execution.checkpointing.savepoint-dir=$dir/savepoints"
address=$(field "$dir/jobmanager.ready" address)
links=$(field "$dir/jobmanager.ready" links)
daemon taskmanager taskmanager -D "jobmanager.rpc.address=${links%:*}" -D "jobmanager.rpc.port=${links##*:}" \
  -D taskmanager.numberOfTaskSlots=4 -D "io.tmp.dirs=$dir/tmp" -D "env.log.dir=$dir"
mkdir "$dir/in"
printf 'to be or not to be\n' >"$dir/in/one.txt"
submit() { "$flott" run -d -m "$address" --output json "$@" | python3 -c 'import json, sys; print(json.load(sys.stdin)["job"])'; }
running=$(submit -p 2 -D execution.checkpointing.interval=1s "$examples/wordcount" --input "$dir/in" --watch --output "$dir/out")
finished=$(submit "$examples/wordcount" --input "$dir/in" --output "$dir/counts")
failed=$(submit "$examples/faulty" panic-in-map)
until_state "$running" RUNNING
until_state "$finished" FINISHED
until_state "$failed" FAILED
sleep 2.5 # A completed checkpoint, and rates, which come with the second report.

if [ -z "$only" ] || [ "$only" = dashboard ]; then
  step "The dashboard"
  node --experimental-websocket scripts/lib/flink_dashboard.mjs "$web" "$address" "$running" "$finished" "$failed"
fi

if [ -z "$only" ] || [ "$only" = cli ]; then
  step "The command line"
  mkdir "$dir/conf"
  printf 'rest.address: %s\nrest.port: %s\nclient.timeout: 30 s\n' "${address%:*}" "${address##*:}" >"$dir/conf/config.yaml"
  flink() {
    FLINK_CONF_DIR=$dir/conf timeout 100 java -cp "$home/$version/*" org.apache.flink.client.cli.CliFrontend "$@" \
      2>"$dir/cli.err" | tee "$dir/cli.out" || { cat "$dir/cli.err" >&2; fail "flink $*"; }
  }
  said() { grep -q -- "$1" "$dir/cli.out" || fail "it does not say: $1"; }
  flink list -a -m "$address"
  said "$running : wordcount (RUNNING)"
  said "$finished : wordcount (FINISHED)"
  said "$failed : faulty (FAILED)"
  flink savepoint -m "$address" "$running" "$dir/savepoints"
  said 'Savepoint completed. Path: '
  if FLINK_CONF_DIR=$dir/conf timeout 100 java -cp "$home/$version/*" org.apache.flink.client.cli.CliFrontend \
    savepoint -m "$address" "$running" /proc/no-savepoints >"$dir/cli.out" 2>&1; then
    fail "a savepoint below /proc"
  fi
  said '/proc/no-savepoints'
  grep -m 1 -- /proc/no-savepoints "$dir/cli.out"
  flink stop -m "$address" -p "$dir/savepoints" "$running"
  said 'Savepoint completed. Path: '
  until_state "$running" FINISHED
  running=$(submit "$examples/wordcount" --input "$dir/in" --watch --output "$dir/out-2")
  until_state "$running" RUNNING
  flink cancel -m "$address" "$running"
  said "Cancelled job $running."
  until_state "$running" CANCELED
fi
step "Flink's clients are content"

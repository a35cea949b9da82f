#!/usr/bin/env bash
# From nothing to a batch and a streaming word count on a cluster of this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/daemons.sh

usage() {
  cat <<'TXT'
Usage: scripts/quickstart.sh [--keep] [--dir DIR]

Builds flott, starts a resource manager and two node managers on loopback, counts the words of a bundled text in a
cluster of the job's own (per-job mode), then counts words from a socket in windows of two seconds, and stops everything.

  --keep      leave the cluster up
  --dir DIR   where the cluster keeps its state, logs and results (default: quickstart/)
TXT
}

keep=no dir=$PWD/quickstart
while [ $# -gt 0 ]; do
  case $1 in
    --keep) keep=yes; shift ;;
    --dir) dir=$2; shift 2 ;;
    -h|--help) usage; exit 0 ;;
    *) echo "unknown argument: $1" >&2; usage >&2; exit 1 ;;
  esac
done

step() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }

step "Building flott and the example jobs"
cargo build --release --bin flott --example wordcount --example socket_window_wordcount --example line_server
export FLOTT=$PWD/target/release/flott
examples=$PWD/target/release/examples
text=$(ls "$PWD"/examples/data/*.txt | head -n 1)

lines_pid=
finish() {
  [ -z "$lines_pid" ] || kill "$lines_pid" 2>/dev/null || true
  if [ "$keep" = yes ] && [ "${1:-0}" = 0 ]; then return; fi
  step "Stopping the cluster"
  scripts/stop-yarn.sh --dir "$dir/cluster"
}
trap 'finish $?' EXIT

step "Starting a resource manager and two node managers"
scripts/stop-yarn.sh --dir "$dir/cluster" >/dev/null
scripts/start-yarn.sh --nodes 2 --dir "$dir/cluster"

step "Batch: counting the words of $(basename "$text"), $(($(wc -c <"$text") / 1000)) kB, in a cluster of the job's own"
output=$dir/counts
rm -rf "$output"
"$FLOTT" run -t yarn-per-job -p 2 "$examples/wordcount" --input "$text" --output "$output"
echo "The ten most frequent words, of $(cat "$output"/part-* | wc -l):"
sort -k2,2nr "$output"/part-* | head -n 10 | sed 's/^/  /' || true

step "Streaming: counting words from a socket in windows of two seconds"
"$examples/line_server" --file "$text" --port 0 --rate 2000 >"$dir/lines.out" &
lines_pid=$!
until grep -q serving "$dir/lines.out" 2>/dev/null; do sleep 0.05; done
port=$(sed 's/.*://' "$dir/lines.out")
submitted=$("$FLOTT" run -t yarn-per-job -d --output json "$examples/socket_window_wordcount" --hostname 127.0.0.1 --port "$port" --window 2s)
application=$(sed -n 's/.*"application": *"\([^"]*\)".*/\1/p' <<<"$submitted")
job=$(sed -n 's/.*"job": *"\([^"]*\)".*/\1/p' <<<"$submitted")
echo "job $job runs in $application; its windows as they close:"
# Three windows' worth of what the job prints: the counts of a common word.
seen=0 deadline=$((SECONDS + 30))
while [ "$seen" -lt 3 ] && [ "$SECONDS" -lt "$deadline" ]; do
  sleep 0.5
  now=$("$FLOTT" app logs "$application" --file stdout 2>/dev/null | grep -c '^(the,' || true)
  if [ "$now" -gt "$seen" ]; then
    "$FLOTT" app logs "$application" --file stdout | grep '^(the,' | tail -n "+$((seen + 1))" | sed 's/^/  /'
    seen=$now
  fi
done
if [ "$seen" -lt 3 ]; then echo "only $seen windows closed within 30 s; see: $FLOTT app logs $application" >&2; exit 1; fi
"$FLOTT" cancel "$job"
deadline=$((SECONDS + 20))
until "$FLOTT" app status "$application" --output json | grep -q '"state": "\(FINISHED\|FAILED\|KILLED\)"'; do
  if [ "$SECONDS" -ge "$deadline" ]; then echo "$application does not end; see: $FLOTT app logs $application" >&2; exit 1; fi
  sleep 0.1
done

step "Done"
"$FLOTT" app list --all
if [ "$keep" = yes ]; then
  cat <<TXT
The cluster stays up. Look around:
  http://127.0.0.1:8088/ws/v1/cluster/apps      applications
  $FLOTT node list
  $FLOTT run -t yarn-per-job $examples/wordcount --input $text
Stop it with:
  scripts/stop-yarn.sh --dir $dir/cluster
TXT
fi

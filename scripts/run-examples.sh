#!/usr/bin/env bash
# Runs every example once and compares its result with what coreutils say: jobs in-process, the application master on a cluster.
set -euo pipefail
cd "$(dirname "$0")/.."
examples=${EXAMPLES:-target/debug/examples}
work=$(mktemp -d)
lines_pid=
trap '[ -z "$lines_pid" ] || kill "$lines_pid" 2>/dev/null || true; scripts/stop-yarn.sh --dir "$work/yarn" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

# A sample in plain ASCII: coreutils and the job then agree on what white space and lower case are.
head -c 300000 "$(ls examples/data/*.txt | head -n 1)" | LC_ALL=C tr -cd '\11\12\15\40-\176' >"$work/sample.txt"
LC_ALL=C tr 'A-Z' 'a-z' <"$work/sample.txt" | LC_ALL=C tr -s '[:space:]' '\n' | sed '/^$/d' | LC_ALL=C sort | LC_ALL=C uniq -c |
  awk '{print $2, $1}' | LC_ALL=C sort >"$work/expected"

for mode in batch streaming; do
  for parallelism in 1 2; do
    "$examples/wordcount" --input "$work/sample.txt" --output "$work/$mode-$parallelism" --execution-mode "$mode" --parallelism "$parallelism" >/dev/null
    cat "$work/$mode-$parallelism"/part-* | LC_ALL=C sort | cmp - "$work/expected"
    echo "wordcount, $mode, parallelism $parallelism: $(wc -l <"$work/expected") words as coreutils count them"
  done
done

"$examples/line_server" --file "$work/sample.txt" --port 0 --rate 20000 --lines 2000 >"$work/lines.out" &
lines_pid=$!
until grep -q serving "$work/lines.out" 2>/dev/null; do sleep 0.02; done
"$examples/socket_window_wordcount" --hostname 127.0.0.1 --port "$(sed 's/.*://' "$work/lines.out")" --window 100ms >"$work/windows.out"
head -n 2000 "$work/sample.txt" | wc -w >"$work/words"
awk -F'[(,)]' '/^\(/ {total += $(NF - 1)} END {print total + 0}' "$work/windows.out" | cmp - "$work/words"
echo "socket_window_wordcount: $(cat "$work/words") words in windows"

"$examples/custom_connector" --ledger "$work/ledger" --balances "$work/balances" --parallelism 2
test "$(ls -A "$work/balances" | wc -l)" -eq 100
for account in $(seq 0 99); do echo "$((account * 500500))" | cmp - "$work/balances/$account"; done
echo "custom_connector: 100 balances, and nothing staged is left"

# Each large amount directly behind a tiny one of its account.
awk 'BEGIN {for (i = 0; i < 20000; i++) {x = (x * 1103515245 + 12345) % 2147483648; k = int(x / 65536)
  print k % 97 "," (k % 5 == 0 ? 0.5 : k % 3 == 0 ? 600 + k % 100 : 50)}}' >"$work/transactions"
awk -F, '{if (tiny[$1] && $2 > 500) print "(" $1 "," $2 ".0)"; tiny[$1] = $2 < 1}' "$work/transactions" | LC_ALL=C sort >"$work/alerts"
[ "$(wc -l <"$work/alerts")" -gt 100 ]
for mode in batch streaming; do
  for parallelism in 1 2; do
    "$examples/fraud_detection" --input "$work/transactions" --execution-mode "$mode" --parallelism "$parallelism" |
      grep '^(' | LC_ALL=C sort | cmp - "$work/alerts"
    echo "fraud_detection, $mode, parallelism $parallelism: $(wc -l <"$work/alerts") alerts as awk raises them"
  done
done

FLOTT=${FLOTT:-target/debug/flott} scripts/start-yarn.sh --nodes 2 --dir "$work/yarn" -D resourcemanager.port=0 -D nodemanager.port=0 >"$work/yarn.out"
"$examples/distributed_shell" --resource-manager "$(sed -n 's|^resource manager *http://||p' "$work/yarn.out")" --containers 4 \
  --output "$work/runs" -- '[ $RUN != 2 ] || [ $TRY -gt 1 ] || exit 1; echo $((55 - RUN * (RUN - 1) / 2))' >/dev/null
for run in 0 1 2 3; do seq "$run" 10 | awk '{sum += $1} END {print sum}' | cmp - "$work/runs/run-$run.txt"; done
scripts/stop-yarn.sh --dir "$work/yarn" >/dev/null
echo "distributed_shell: 4 runs on 2 nodes, one of them at the second try"

#!/usr/bin/env bash
# Everything a reviewer would run, in one target directory: formatting, lints, docs, tests, doc tests, examples, simulation.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never} RUSTDOCFLAGS="-D warnings ${RUSTDOCFLAGS:-}"

# Object stores are no part of a default build: that is linted, and everything else done with them.
features=(--features s3)

step() { printf '\n==> %s\n' "$*"; }

step "scripts parse"
for script in scripts/*.sh scripts/lib/*.sh .ci/run; do bash -n "$script"; done
step "formatting"
cargo fmt --check
step "lints"
cargo clippy --workspace --all-targets -- -D warnings
cargo clippy --workspace --all-targets "${features[@]}" -- -D warnings
step "documentation"
cargo doc --no-deps --lib "${features[@]}"
step "examples and binary"
cargo build --bins --examples "${features[@]}"
step "simulation: 200 seeds"
target/debug/flott simulate --seed 1 --seeds 200 --quiet
step "examples run"
scripts/run-examples.sh
step "Nexmark answers as DuckDB does"
"${PYTHON:-python3}" scripts/nexmark_check.py --fast
step "chaos: at least 30 kills of real processes, and nothing lost or doubled"
"${PYTHON:-python3}" scripts/chaos/selftest.py
"${PYTHON:-python3}" scripts/chaos --target target/debug --seed 7 --count 22 --freeze 6 --faults \
  kill-worker,kill-taskmanager,kill-jobmanager,kill-nodemanager,kill-resourcemanager,kill-two,kill-all,crash-node,rescale-kill-worker,savepoint-kill-jobmanager,freeze-worker
step "checkpoints in an object store: its server and the job's processes killed, and nothing lost, doubled or left"
"${PYTHON:-python3}" scripts/chaos/object_store.py
step "tests and doc tests"
cargo test "${features[@]}"

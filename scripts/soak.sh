#!/usr/bin/env bash
# Lets a job run for hours with a kill now and then, and tells whether any process of the cluster grows: memory, threads, descriptors, disk.
# scripts/soak.sh --hours N [--seed S] [--kill-every SECONDS] [--out DIR] [--target DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
case " $* " in *" --target "* | *" --help "* | *" -h "*) ;; *) cargo build --quiet --release --bin flott --example audit ;; esac
exec nice -n 5 "${PYTHON:-python3}" scripts/chaos/soak.py "$@"

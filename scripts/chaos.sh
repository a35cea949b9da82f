#!/usr/bin/env bash
# Does to a running job what can be done to it, and proves from its output that every record counted exactly once.
# scripts/chaos.sh [--minutes N] [--seed S] [--faults KIND,KIND…] [--list] [--debug] [--keep]
set -euo pipefail
cd "$(dirname "$0")/.."
profile=release flags=(--release)
for argument in "$@"; do [ "$argument" != --debug ] || profile=debug flags=(); done
case " $* " in *" --list "* | *" --help "* | *" -h "*) ;; *) cargo build --quiet "${flags[@]}" --bin flott --example audit ;; esac
exec "${PYTHON:-python3}" scripts/chaos --target "target/$profile" "$@"

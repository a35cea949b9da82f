#!/usr/bin/env bash
# Prints how long a job program of five chains of six operators takes to build once flott itself is built: what a user waits for.
# usage: scripts/shape-build-time.sh [debug] [release]     (default: both)
set -euo pipefail
cd "$(dirname "$0")/.."

program=examples/shape_chains.rs
trap 'rm -f "$program"' EXIT

write_program() { # $1 changes the program, as an edit would
    cat > "$program" <<RUST
//! Five chains of six operators over different types. Written and removed by scripts/shape-build-time.sh.
use flott::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    customer: String,
    product: String,
    note: String,
}

fn order(i: u64) -> Order {
    Order { customer: format!("c{}", i % 97), product: format!("p{}", i % 11), note: format!("{i} $1") }
}

fn main() -> Result<(), flott::Error> {
    let env = StreamExecutionEnvironment::new();
    let numbers = env.from_sequence(0, 9_999);
    // One: numbers.
    numbers.map(|n| n * 3).filter(|n| n % 2 == 0).key_by(|n| n % 100).sum(|n| n).map(|(k, v)| k + v).discard();
    // Two: pairs.
    let pairs = numbers.map(|n| (Str::from(format!("w{}", n % 50)), n)).filter(|pair| pair.1 > 3);
    pairs.key_by(|pair| pair.0.clone()).max(|pair| pair.1).filter(|pair| pair.1 > 9).map(|pair| pair.0).discard();
    // Three: words.
    let words = numbers.map(|n| format!("to be {n} or not")).flat_map(|line, out: &mut Collector<'_, Str>| {
        out.extend(line.split_whitespace().map(Str::from));
    });
    words.key_by(|word| word.clone()).count().filter(|pair| pair.1 > 1).map(|pair| (pair.1, pair.0)).discard();
    // Four: structs.
    let orders = numbers.map(order).filter(|order| !order.note.is_empty()).map(|mut order| {
        order.note.make_ascii_uppercase();
        order
    });
    orders.key_by(|order| order.customer.clone()).reduce(|a, b| if a.note > b.note { a } else { b }).map(|o| o.product).discard();
    // Five: pairs of keys.
    let sales = orders.map(|o| (o.customer, o.product, o.note.len() as u64)).rebalance().filter(|sale| sale.2 > 2);
    sales.key_by(|sale| (sale.0.clone(), sale.1.clone())).sum(|sale| sale.2).map(|(key, sum)| (key.1, sum)).discard();
    env.execute("five chains")?;
    Ok(())
}
RUST
}

milliseconds() { date +%s%3N; }

for profile in "${@:-debug release}"; do for mode in $profile; do
    flags=(); [ "$mode" = release ] && flags=(--release)
    cargo build --quiet --lib "${flags[@]}"
    write_program first
    start=$(milliseconds); cargo build --quiet --example shape_chains "${flags[@]}"; first=$(($(milliseconds) - start))
    write_program changed
    start=$(milliseconds); cargo build --quiet --example shape_chains "${flags[@]}"; again=$(($(milliseconds) - start))
    cargo run --quiet --example shape_chains "${flags[@]}" > /dev/null
    printf '%-8s first build %6d ms   after a change %6d ms\n' "$mode" "$first" "$again"
done; done

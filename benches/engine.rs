//! The engine's budgets, one job a process: ordinary programs on the public API, for `scripts/bench.sh engine` to time.
//!
//! ```text
//! cargo bench --bench engine -- keyed-sum --events 60000000 --keys 1000000 --parallelism 2
//! ```
//!
//! Each prints one line: what was done, how fast, at what cost of CPU time and memory. They can be submitted to a cluster as
//! any program can; what a latency job finds is then printed by its sink's task.

#![allow(missing_docs, unreachable_pub)]

#[path = "engine/barrier.rs"]
mod barrier;
#[path = "engine/event_time.rs"]
mod event_time;
#[path = "engine/latency.rs"]
mod latency;
#[path = "engine/raw_pair.rs"]
mod raw_pair;
#[path = "engine/usage.rs"]
mod usage;
#[path = "engine/words.rs"]
mod words;

use flott::connectors::DataGeneratorSource;
use flott::prelude::*;
use serde::{Deserialize, Serialize};
use usage::Usage;

/// One of the engine's budgets.
#[derive(clap::Parser)]
struct Args {
    #[command(subcommand)]
    workload: Workload,
    /// Given by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Clone, clap::Args)]
struct Size {
    /// Records in all.
    #[arg(long, default_value_t = 20_000_000)]
    events: u64,
    /// Subtasks of each operator.
    #[arg(long, default_value_t = 2)]
    parallelism: u32,
}

#[derive(Clone, clap::Subcommand)]
enum Workload {
    /// A rolling sum by key over generated records: the new sum with each record.
    KeyedSum {
        #[command(flatten)]
        size: Size,
        /// Different keys.
        #[arg(long, default_value_t = 1_000_000)]
        keys: u64,
        /// Of a hundred records, how many have one and the same key.
        #[arg(long, default_value_t = 0)]
        hot: u64,
        /// Milliseconds between checkpoints; 0: none. They go below the temporary directory.
        #[arg(long, default_value_t = 0)]
        checkpoints: u64,
    },
    /// A chain of maps on numbers.
    Chain {
        #[command(flatten)]
        size: Size,
        /// How many.
        #[arg(long, default_value_t = 10)]
        maps: u32,
    },
    /// A chain of maps on pairs of a short text and a number.
    Texts {
        #[command(flatten)]
        size: Size,
        /// How many.
        #[arg(long, default_value_t = 10)]
        maps: u32,
    },
    /// A chain of maps on records of some size.
    LargeRecords {
        #[command(flatten)]
        size: Size,
        #[arg(long, default_value_t = 50)]
        maps: u32,
        #[arg(long, default_value_t = 1 << 20)]
        bytes: usize,
    },
    /// Many vertices in a row, each with all its subtasks.
    Vertices {
        #[command(flatten)]
        size: Size,
        #[arg(long, default_value_t = 100)]
        vertices: u32,
    },
    /// The time from when a record is due at its source to when it is at the sink, across one exchange.
    Latency(latency::Latency),
    /// The same from one thread to another over a bare TCP connection: what this machine allows.
    RawPair(raw_pair::RawPair),
    /// What a barrier costs a task with much state, and what restoring that costs.
    Barrier(barrier::Barrier),
    /// Event-time timers.
    Timers(event_time::Timers),
    /// Sums in event-time windows.
    Windows(event_time::Windows),
    /// The words of a file, as pairs or as structs.
    WordCount(words::WordCount),
    /// Nothing, until it is cancelled: two vertices, for their memory.
    Idle,
}

fn main() -> Result<(), flott::Error> {
    let args: Args = flott::parse();
    let env = StreamExecutionEnvironment::new();
    env.set_execution_mode(ExecutionMode::Streaming);
    match args.workload {
        Workload::KeyedSum { size, keys, hot, checkpoints } => {
            with_checkpoints(&env, checkpoints);
            keyed_sum(&env, &size, keys, hot)
        }
        Workload::Chain { size, maps } => chain(&env, &size, maps),
        Workload::Texts { size, maps } => texts(&env, &size, maps),
        Workload::LargeRecords { size, maps, bytes } => large_records(&env, &size, maps, bytes),
        Workload::Vertices { size, vertices } => in_a_row(&env, &size, vertices),
        Workload::Latency(latency) => latency.run(&env),
        Workload::RawPair(pair) => pair.run(),
        Workload::Barrier(barrier) => barrier.run(),
        Workload::Timers(timers) => timers.run(&env),
        Workload::Windows(windows) => windows.run(&env),
        Workload::WordCount(words) => words.run(&env),
        Workload::Idle => idle(&env),
    }
}

fn with_checkpoints(env: &StreamExecutionEnvironment, interval_ms: u64) {
    if interval_ms > 0 {
        env.enable_checkpointing(std::time::Duration::from_millis(interval_ms));
    }
}

fn keyed_sum(env: &StreamExecutionEnvironment, size: &Size, keys: u64, hot: u64) -> Result<(), flott::Error> {
    env.set_parallelism(size.parallelism);
    let events = env.from_sequence(1, size.events).map(move |number| {
        let random = scatter(number);
        let key = if random >> 32 & 0xffff < hot * 0xffff / 100 { 0 } else { random % keys };
        (key, number & 0xff)
    });
    events.key_by(|event| event.0).sum(|event| event.1).discard();
    timed(env, size, &format!("keyed sum, {keys} keys, {hot} % on one"))
}

fn chain(env: &StreamExecutionEnvironment, size: &Size, maps: u32) -> Result<(), flott::Error> {
    env.set_parallelism(size.parallelism);
    let mut stream = env.from_sequence(1, size.events);
    for _ in 0..maps {
        stream = stream.map(|number: u64| number ^ (number << 7));
    }
    stream.filter(|number| *number != 0).discard();
    timed(env, size, &format!("chain of {maps} maps"))
}

fn texts(env: &StreamExecutionEnvironment, size: &Size, maps: u32) -> Result<(), flott::Error> {
    env.set_parallelism(size.parallelism);
    let mut stream = env.from_sequence(1, size.events).map(|number| (Str::from("word"), number));
    for _ in 0..maps {
        stream = stream.map(|(word, number)| (word, number ^ (number << 7)));
    }
    stream.discard();
    timed(env, size, &format!("chain of {maps} maps on texts"))
}

/// A record that is mostly one block of bytes.
#[derive(Clone, Serialize, Deserialize)]
struct Block {
    number: u64,
    payload: bytes::Bytes,
}

fn large_records(env: &StreamExecutionEnvironment, size: &Size, maps: u32, bytes: usize) -> Result<(), flott::Error> {
    env.set_parallelism(size.parallelism);
    let mut stream = env
        .from_sequence(1, size.events)
        .map(move |number| Block { number, payload: vec![number as u8; bytes].into() });
    for _ in 0..maps {
        stream = stream.map(|mut block: Block| {
            block.number += u64::from(block.payload[0]);
            block
        });
    }
    stream.rebalance().map(|block| block.number).discard();
    timed(env, size, &format!("{maps} maps on records of {bytes} bytes, and an exchange"))
}

fn in_a_row(env: &StreamExecutionEnvironment, size: &Size, vertices: u32) -> Result<(), flott::Error> {
    env.set_parallelism(size.parallelism);
    let mut stream = env.from_sequence(1, size.events);
    for _ in 1..vertices {
        stream = stream.rebalance().map(|number| number + 1);
    }
    stream.discard();
    timed(env, size, &format!("{vertices} vertices in a row"))
}

/// One record an hour.
fn idle(env: &StreamExecutionEnvironment) -> Result<(), flott::Error> {
    let source = DataGeneratorSource::unbounded(|index| index).rate_per_second(1.0 / 3600.0);
    env.from_source(source, "Silence").key_by(|number| *number).count().discard();
    env.execute("idle").map(drop)
}

/// Executes, and prints what it took.
fn timed(env: &StreamExecutionEnvironment, size: &Size, name: &str) -> Result<(), flott::Error> {
    let result = env.execute(name)?;
    let usage = Usage::of_this_process();
    let (seconds, events) = (result.duration.as_secs_f64(), size.events as f64);
    println!(
        "{name}, parallelism {}: {:.2} M records/s, {:.1} ns of CPU a record, {seconds:.2} s, {:.2} CPU s, {:.0} MB at most",
        size.parallelism,
        events / seconds / 1e6,
        usage.cpu.as_secs_f64() * 1e9 / events,
        usage.cpu.as_secs_f64(),
        usage.peak_mb,
    );
    Ok(())
}

/// Numbers without pattern, the same every time (splitmix64).
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

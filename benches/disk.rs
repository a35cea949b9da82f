//! State beyond memory, measured: a sum a key through the operator, as a job runs it, where a part of the state fits into memory.
//!
//! ```text
//! cargo bench --bench disk
//! ```
//! In batches of 1024 records: first every key once, then keys at random for a while, all alike and as Zipf has them. The memory is
//! that of the state backend alone; peak RSS is that of the process. The first lines go through the edge of what fits: there is to be
//! no cliff. `DISK_KEYS` (default 10000000), `DISK_MEMORY_MB` (default a tenth of what a table of all takes) and `DISK_SECONDS` (default
//! 10) set what is measured. `benches/peers/disk` does the same work with embedded stores.

#![allow(missing_docs, unreachable_pub)]

use std::path::Path;

use flott::engine::state::{DiskBackend, StateBackend, StateMemory};
use flott::prelude::*;
use flott::testing::KeyedOneInputHarness;
use flott::time::Stopwatch;

const BATCH: u64 = 1024;
/// Memory of a key in a table, about.
const KEY_BYTES: u64 = 43;

#[derive(Clone, Default)]
struct Sum {
    sum: ValueState<u64>,
}

impl KeyedProcessFunction<u64, u64, u64> for Sum {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.sum = ctx.value_state("sum");
        Ok(())
    }

    fn process_element(&mut self, _key: u64, ctx: &mut KeyedContext<'_, u64>, _out: &mut Collector<'_, u64>) {
        *self.sum.get_or_default(ctx) += 1;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Spread {
    Uniform,
    Zipf,
}

impl Spread {
    fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }
}

fn main() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let keys = number("DISK_KEYS").unwrap_or(10_000_000);
    let seconds = number("DISK_SECONDS").unwrap_or(10);
    let memory = number("DISK_MEMORY_MB").map_or(keys * KEY_BYTES / 10, |megabytes| megabytes << 20);
    println!("{keys} keys, in memory {} MB of them", memory >> 20);
    for spread in [Spread::Uniform, Spread::Zipf] {
        measure("in memory", keys, None, spread, seconds);
        for percent in [125, 83] {
            let part = keys * KEY_BYTES * percent / 100;
            measure(&format!("state of {:.1}x the memory", 100.0 / percent as f64), keys, Some(part), spread, seconds);
        }
        let times = keys * KEY_BYTES / memory.max(1);
        measure(&format!("state of {times}x the memory"), keys, Some(memory), spread, seconds);
    }
}

fn measure(name: &str, keys: u64, memory: Option<u64>, spread: Spread, seconds: u64) {
    let directory = std::env::temp_dir().join(format!("flott-bench-disk-{}", std::process::id()));
    let backend = match memory {
        Some(bytes) => StateBackend::Disk(DiskBackend::new(directory.clone(), StateMemory::new(bytes))),
        None => StateBackend::Hashmap,
    };
    let mut harness = KeyedOneInputHarness::new(|key: &u64| *key, Sum::default()).state_backend(backend);
    harness.open().expect("the function opens");
    let (watch, cpu) = (Stopwatch::start(), cpu_seconds());
    let mut start = 0;
    while start < keys {
        let batch = (start..(start + BATCH).min(keys)).map(|rank| scrambled(rank, keys)).collect::<Vec<_>>();
        harness.process_elements(batch).expect("records are processed");
        start += BATCH;
    }
    let (filled, filled_cpu) = (watch.elapsed(), cpu_seconds() - cpu);
    let (mut random, mut records) = (fastrand::Rng::with_seed(7), 0);
    let (watch, cpu) = (Stopwatch::start(), cpu_seconds());
    while watch.elapsed().as_secs() < seconds {
        let batch: Vec<u64> = (0..BATCH).map(|_| drawn(&mut random, keys, spread)).collect();
        harness.process_elements(batch).expect("records are processed");
        records += BATCH;
    }
    let rate = records as f64 / watch.elapsed().as_secs_f64() / 1e3;
    println!(
        "{name:28} {:8} filled in {:5.1} s ({:.2} CPU us a key), {rate:6.0} thousand records/s, {:.2} CPU us a record, \
         {:5} MB of files, peak RSS {} MB",
        spread.name(),
        filled.as_secs_f64(),
        filled_cpu * 1e6 / keys as f64,
        (cpu_seconds() - cpu) * 1e6 / records as f64,
        bytes_below(&directory) >> 20,
        peak_rss_kb() >> 10,
    );
    drop(harness);
    let _ = std::fs::remove_dir_all(&directory);
    // From here on the peak is that of what follows.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// A key at random: all alike, or the k-th with a weight of 1/k.
fn drawn(random: &mut fastrand::Rng, keys: u64, spread: Spread) -> u64 {
    let rank = match spread {
        Spread::Uniform => random.u64(..keys),
        Spread::Zipf => ((keys as f64).powf(random.f64()) as u64).min(keys) - 1,
    };
    scrambled(rank, keys)
}

/// So that keys that are alike in rank are not alike in anything else.
fn scrambled(rank: u64, keys: u64) -> u64 {
    rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys
}

fn bytes_below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

fn peak_rss_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

/// Of all threads, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks =
        behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
    ticks as f64 / 100.0
}

//! Keyed state and timers, measured: what handles cost with 10⁶ keys, and a timer from its registration to its firing.
//!
//! ```text
//! cargo bench --bench state
//! ```
//!
//! Through the operator, as a job runs it, in batches of 1024 records whose keys are drawn evenly at random. `STATE_RECORDS`
//! (default 8000000) sets the records of a run; each is repeated and the cheapest is printed. The first line has a function that
//! does nothing: what keys, hashes and calls cost without state. Behind it: what reading an entry of a checkpoint costs, by the same
//! type (plain postcard) and by its writer's schema.

#![allow(missing_docs, unreachable_pub)]

use std::time::Duration;

use flott::engine::state::schema::{Schema, decode_with, to_json};
use flott::prelude::*;
use flott::testing::KeyedOneInputHarness;
use flott::time::Stopwatch;
use serde::{Deserialize, Serialize};

const RUNS: usize = 3;
const KEYS: u64 = 1_000_000;

/// What is done with each record.
#[derive(Clone, Copy, PartialEq)]
enum Work {
    Nothing,
    GetAndUpdate,
    ChangeInPlace,
    Map,
    Timers { spread_ms: u64 },
}

#[derive(Clone)]
struct Worker {
    work: Work,
    value: ValueState<u64>,
    map: MapState<u8, u64>,
}

impl KeyedProcessFunction<u64, u64, u64> for Worker {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.value = ctx.value_state("value");
        self.map = ctx.map_state("map");
        Ok(())
    }

    fn process_element(&mut self, n: u64, ctx: &mut KeyedContext<'_, u64>, _out: &mut Collector<'_, u64>) {
        match self.work {
            Work::Nothing => {}
            Work::GetAndUpdate => {
                let value = self.value.value(ctx).copied().unwrap_or(0);
                self.value.update(ctx, value + n);
            }
            Work::ChangeInPlace => *self.value.get_or_default(ctx) += n,
            Work::Map => *self.map.get_or_insert_with(ctx, &((n % 4) as u8), || 0) += n,
            Work::Timers { spread_ms } => {
                let time = Now(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % spread_ms + 1);
                ctx.timer_service().register_processing_time_timer(time);
            }
        }
    }

    fn on_timer(&mut self, _timer: Timer, _ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, u64>) {
        out.collect(1);
    }
}

fn main() {
    let records = std::env::var("STATE_RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8_000_000);
    println!("{records} records, {KEYS} keys: ns a record");
    for (name, work) in [
        ("nothing", Work::Nothing),
        ("value state, get and update", Work::GetAndUpdate),
        ("value state, changed in place", Work::ChangeInPlace),
        ("map state of 4 entries, changed in place", Work::Map),
        ("timers over 1 min, registered and fired", Work::Timers { spread_ms: 60_000 }),
        ("timers over 1 h, registered and fired", Work::Timers { spread_ms: 3_600_000 }),
    ] {
        let cheapest = (0..RUNS).map(|_| run(work, records)).min().unwrap_or_default();
        println!("{name:<45} {:>8.1}", cheapest.as_nanos() as f64 / records as f64);
    }
    restored_entries();
}

#[derive(Serialize, Deserialize)]
struct Visits {
    count: u32,
    page: Str,
    seconds: Vec<u16>,
}

/// As `Visits` of a later program.
#[derive(Serialize, Deserialize)]
struct LaterVisits {
    page: Str,
    count: u64,
    seconds: Vec<u32>,
    #[serde(default)]
    referrer: Option<Str>,
}

/// Reads entries as a restore does, one behind the other.
fn restored_entries() {
    const ENTRIES: u64 = 200_000;
    let mut bytes = Vec::new();
    for key in 0..ENTRIES {
        let visits = Visits { count: key as u32, page: "/index.html".into(), seconds: vec![1, 200, 3000] };
        bytes = postcard::to_extend(&(key, visits), bytes).expect("an entry can be written");
    }
    let watch = Stopwatch::start();
    let schema = Schema::of::<(u64, Visits)>();
    println!("the schema of an entry {:?}; {ENTRIES} entries: ns an entry", watch.elapsed());
    type Read = fn(&Schema, &[u8]) -> usize;
    let ways: [(&str, Read); 4] = [
        ("plain postcard", |_, bytes| {
            postcard::take_from_bytes::<(u64, Visits)>(bytes).expect("it was written so").1.len()
        }),
        ("by the schema, as the same type", |schema, bytes| {
            decode_with::<(u64, Visits)>(schema, bytes).expect("it was written so").1.len()
        }),
        ("by the schema, as a later type", |schema, bytes| {
            decode_with::<(u64, LaterVisits)>(schema, bytes).expect("it can migrate").1.len()
        }),
        ("by the schema, as JSON", |schema, bytes| to_json(schema, bytes).expect("it was written so").1.len()),
    ];
    for (name, read) in ways {
        let cheapest = (0..RUNS).map(|_| {
            let watch = Stopwatch::start();
            let mut left = bytes.len();
            while left > 0 {
                left = read(&schema, &bytes[bytes.len() - left..]);
            }
            watch.elapsed()
        });
        let cheapest = cheapest.min().unwrap_or_default();
        println!("{name:<45} {:>8.1}", cheapest.as_nanos() as f64 / ENTRIES as f64);
    }
}

fn run(work: Work, records: u64) -> Duration {
    let worker = Worker { work, value: ValueState::default(), map: MapState::default() };
    let mut harness = KeyedOneInputHarness::new(|n: &u64| n % KEYS, worker);
    harness.open().expect("the function opens");
    let mut random = fastrand::Rng::with_seed(7);
    let mut spent = Duration::ZERO;
    let mut left = records;
    while left > 0 {
        let batch: Vec<u64> = (0..left.min(1024)).map(|_| random.u64(..u64::MAX / 2)).collect();
        left -= batch.len() as u64;
        let watch = Stopwatch::start();
        harness.process_elements(batch).expect("records are processed");
        spent += watch.elapsed();
    }
    let watch = Stopwatch::start();
    harness.set_processing_time(Now(u64::MAX - 1)).expect("timers fire");
    assert!(!matches!(work, Work::Timers { .. }) || harness.extract_output().len() as u64 <= records);
    spent + watch.elapsed()
}

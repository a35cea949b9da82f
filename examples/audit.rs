//! A job whose output shows whether every record counted exactly once, whatever happened to it: `scripts/chaos.sh` does that to it.
//!
//! It reads lines `key number milliseconds` from files that appear in a directory. Of a key, each number comes once. Below the output
//! directory it writes, exactly once:
//!
//! ```text
//! records/   key number count version   state by key: count is 1, 2, 3 … of the key; broadcast state: the version never falls
//! timers/    key second count           timers in event time: how many records the second had
//! tumbling/  key start count            windows of a second
//! sliding/   key start count            windows of two seconds, one each second
//! late/      key number milliseconds    records that came too late for their tumbling window
//! lists/     key number                 operator state: held back in lists of ten
//! ```

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use flott::prelude::*;
use serde::{Deserialize, Serialize};

/// Counts records in every kind of state, into files that `scripts/chaos.sh` checks.
#[derive(clap::Parser)]
struct Args {
    /// Directory in which files with lines `key number milliseconds` appear.
    #[arg(long, value_name = "DIR")]
    input: PathBuf,
    /// Directory in which files with one number each appear: the version that records are stamped with.
    #[arg(long, value_name = "DIR")]
    versions: PathBuf,
    /// Directory to write to.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    key: u32,
    number: u64,
    at_ms: i64,
}

/// Numbers the records of each key, and stamps them with the latest version.
#[derive(Clone, Default)]
struct Numbering {
    count: ValueState<u64>,
    versions: BroadcastState<u8, u64>,
}

impl KeyedBroadcastProcessFunction<u32, Entry, u64, (Entry, u64, u64)> for Numbering {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u32>) -> Result<(), Failure> {
        self.count = ctx.value_state("count");
        self.versions = ctx.broadcast_state("versions");
        Ok(())
    }

    fn process_element(
        &mut self,
        entry: Entry,
        ctx: &mut KeyedContext<'_, u32>,
        out: &mut Collector<'_, (Entry, u64, u64)>,
    ) {
        let version = self.versions.get(ctx, &0).copied().unwrap_or(0);
        let count = self.count.get_or_default(ctx);
        *count += 1;
        out.collect((entry, *count, version));
    }

    fn process_broadcast_element(
        &mut self,
        version: u64,
        ctx: &mut KeyedBroadcastContext<'_, u32>,
        _out: &mut Collector<'_, (Entry, u64, u64)>,
    ) {
        let known = self.versions.get(ctx, &0).copied().unwrap_or(0);
        self.versions.put(ctx, 0, version.max(known));
    }
}

/// Counts the records of each second; a timer at its end tells them.
#[derive(Clone, Default)]
struct Seconds {
    counts: MapState<i64, u64>,
}

impl KeyedProcessFunction<u32, Entry, (u32, i64, u64)> for Seconds {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u32>) -> Result<(), Failure> {
        self.counts = ctx.map_state("counts");
        Ok(())
    }

    fn process_element(
        &mut self,
        entry: Entry,
        ctx: &mut KeyedContext<'_, u32>,
        _out: &mut Collector<'_, (u32, i64, u64)>,
    ) {
        let second = entry.at_ms.div_euclid(1000);
        *self.counts.get_or_insert_with(ctx, &second, || 0) += 1;
        ctx.timer_service().register_event_time_timer(EventTime((second + 1) * 1000));
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, u32>, out: &mut Collector<'_, (u32, i64, u64)>) {
        let Timer::EventTime(at) = timer else { return };
        let second = at.0 / 1000 - 1;
        if let Some(count) = self.counts.remove(ctx, &second) {
            out.collect((*ctx.current_key(), second, count));
        }
    }
}

/// Hands records on by the ten.
#[derive(Clone, Default)]
struct Tens {
    waiting: Vec<Entry>,
}

impl ProcessFunction<Entry, Entry> for Tens {
    fn initialize_state(&mut self, ctx: &mut FunctionInitializationContext<'_>) -> Result<(), Failure> {
        self.waiting = ctx.list_state("waiting")?;
        Ok(())
    }

    fn process_element(&mut self, entry: Entry, _: &mut ProcessContext<'_>, out: &mut Collector<'_, Entry>) {
        self.waiting.push(entry);
        if self.waiting.len() >= 10 {
            out.extend(self.waiting.drain(..));
        }
    }

    fn snapshot_state(&mut self, ctx: &mut FunctionSnapshotContext<'_>) -> Result<(), Failure> {
        ctx.list_state("waiting", self.waiting.iter().cloned())
    }
}

const LATE: OutputTag<Entry> = OutputTag::new("late");

fn main() -> Result<(), flott::Error> {
    let args: Args = flott::parse();
    let env = StreamExecutionEnvironment::new();
    env.set_execution_mode(ExecutionMode::Streaming);

    let lines = env.from_source(TextFileSource::new(&args.input).watch(true), "entries");
    let event_time = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(1))
        .with_timestamp_assigner(|entry: &Entry| EventTime(entry.at_ms));
    let entries = lines.flat_map(|line, out: &mut Collector<'_, Entry>| out.extend(entry(&line)));
    let entries = entries.assign_timestamps_and_watermarks(event_time);
    let versions = env.from_source(TextFileSource::new(&args.versions).watch(true), "versions");
    let versions = versions.flat_map(|line, out: &mut Collector<'_, u64>| out.extend(line.trim().parse::<u64>()));

    let output = |name: &str| args.output.join(name);
    let by_key = || entries.key_by(|entry| entry.key);
    let numbered = by_key().connect_broadcast(&versions).process(Numbering::default()).uid("numbering");
    numbered.write_text(output("records"), |(entry, count, version), line| {
        write!(line, "{} {} {count} {version}", entry.key, entry.number)
    });
    let seconds = by_key().process(Seconds::default()).uid("seconds");
    seconds.write_text(output("timers"), |(key, second, count), line| write!(line, "{key} {second} {count}"));

    let second = Duration::from_secs(1);
    let tumbling = by_key().window(TumblingEventTimeWindows::of(second)).side_output_late_data(&LATE);
    let tumbling = tumbling.aggregate_with(Counted, Panes).uid("tumbling");
    tumbling.write_text(output("tumbling"), line_of);
    tumbling
        .side_output(&LATE)
        .write_text(output("late"), |late, line| write!(line, "{} {} {}", late.key, late.number, late.at_ms));
    let sliding = by_key().window(SlidingEventTimeWindows::of(2 * second, second));
    let sliding = sliding.aggregate_with(Counted, Panes).uid("sliding");
    sliding.write_text(output("sliding"), line_of);

    let lists = entries.rebalance().process(Tens::default()).uid("lists");
    lists.write_text(output("lists"), |entry, line| write!(line, "{} {}", entry.key, entry.number));
    env.execute("audit")?;
    Ok(())
}

fn line_of(pane: &Pane<u32, u64>, line: &mut String) -> std::fmt::Result {
    write!(line, "{} {} {}", pane.key, pane.window.start, pane.value)
}

/// The record of a line, if it is one.
fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split_whitespace();
    let (key, number, at_ms) = (words.next()?, words.next()?, words.next()?);
    Some(Entry { key: key.parse().ok()?, number: number.parse().ok()?, at_ms: at_ms.parse().ok()? })
}

/// How many records there are.
#[derive(Clone)]
struct Counted;

impl AggregateFunction<Entry> for Counted {
    type Accumulator = u64;
    type Output = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    fn add(&self, count: &mut u64, _entry: Entry) {
        *count += 1;
    }

    fn merge(&self, count: &mut u64, other: u64) {
        *count += other;
    }

    fn get_result(&self, count: &u64) -> u64 {
        *count
    }
}

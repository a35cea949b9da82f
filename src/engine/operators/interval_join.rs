//! Records of two streams that are near one another in event time.
//!
//! ```text
//! left  ─► by key: records by timestamp ◄─┐ each record looks at those of the other side within its bounds,
//! right ─► by key: records by timestamp ◄─┘ and is kept until none can come that looks at it
//! ```

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::side_output::SideOutputs;
use super::window::{Late, WATERMARK, restore_watermark};
use super::{Collector, Operator, OperatorContext, Output, Restore, Snapshot};
use crate::engine::record::{Batch, Key, KeyRef, Keyed, KeyedTable, Record};
use crate::graph::task::Failure;
use crate::time::EventTime;

/// Makes records of pairs that an interval join has found. Flink's class of that name. A closure of the arguments of
/// [`ProcessJoinFunction::process`] is one.
pub trait ProcessJoinFunction<A: Record, B: Record, O: Record>: Send + 'static {
    /// Takes a pair, emits any number. Their timestamp is the later one of the pair's.
    fn process(&mut self, left: &A, right: &B, ctx: &JoinContext, out: &mut Collector<'_, O>);
}

impl<A, B, O, F> ProcessJoinFunction<A, B, O> for F
where
    A: Record,
    B: Record,
    O: Record,
    F: FnMut(&A, &B, &JoinContext, &mut Collector<'_, O>) + Send + 'static,
{
    fn process(&mut self, left: &A, right: &B, ctx: &JoinContext, out: &mut Collector<'_, O>) {
        self(left, right, ctx, out);
    }
}

/// What a join function sees besides the pair.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct JoinContext {
    /// The left record's timestamp.
    pub left_timestamp: EventTime,
    /// The right record's.
    pub right_timestamp: EventTime,
    /// How far event time has come on both inputs.
    pub watermark: EventTime,
}

impl JoinContext {
    /// The timestamp of what is emitted for the pair: the later one.
    pub fn timestamp(&self) -> EventTime {
        self.left_timestamp.max(self.right_timestamp)
    }
}

/// What is said of the join: a right record's timestamp is from the left one's plus `lower` to that plus `upper`, both included.
#[derive(Clone)]
pub(crate) struct Interval<A, B> {
    pub(crate) lower_ms: i64,
    pub(crate) upper_ms: i64,
    pub(crate) late_left: Late<A>,
    pub(crate) late_right: Late<B>,
}

/// The records of a key, by timestamp.
#[derive(Clone, Serialize, Deserialize)]
struct Sides<A, B> {
    left: BTreeMap<i64, Vec<A>>,
    right: BTreeMap<i64, Vec<B>>,
}

/// Name of the state in snapshots.
const SIDES: &str = "sides";

/// Flink's `IntervalJoinOperator`.
pub(crate) struct IntervalJoin<K, A, B, O, F> {
    interval: Interval<A, B>,
    function: F,
    table: KeyedTable<K, Sides<A, B>>,
    /// When keys have something to give up: the watermark up to which, and the hash and key of each.
    expiry: BTreeMap<i64, Vec<(u64, K)>>,
    sides: SideOutputs,
    watermark: EventTime,
    max_parallelism: u32,
    types: PhantomData<fn() -> O>,
}

impl<K, A, B, O, F> IntervalJoin<K, A, B, O, F>
where
    K: Key,
    A: Record,
    B: Record,
    O: Record,
    F: ProcessJoinFunction<A, B, O>,
{
    /// Gives pairs to `function`.
    pub(crate) fn new(interval: Interval<A, B>, function: F) -> Self {
        let (table, expiry, sides) = (KeyedTable::new(), BTreeMap::new(), SideOutputs::default());
        Self {
            interval,
            function,
            table,
            expiry,
            sides,
            watermark: EventTime::MIN,
            max_parallelism: 1,
            types: PhantomData,
        }
    }

    fn take_left(&mut self, batch: Box<dyn Batch>, out: &mut Collector<'_, O>) -> Result<(), Failure> {
        let Self { interval, function, table, expiry, sides, watermark, .. } = self;
        let (lower, upper) = (interval.lower_ms, interval.upper_ms);
        each_timed(batch, out, |hash, key: KeyRef<'_, K>, left: A, time, out| {
            if time < watermark.0 {
                return late(&interval.late_left, left, time, sides);
            }
            let held = table.get_or_insert_with(hash, key, Sides::new).1;
            for (other, rights) in held.right.range(time.saturating_add(lower)..=time.saturating_add(upper)) {
                let ctx = context(time, *other, *watermark);
                out.at(Some(ctx.timestamp()));
                rights.iter().for_each(|right| function.process(&left, right, &ctx, out));
            }
            // A right record that looks at it comes at `upper` behind it at the latest.
            hold(&mut held.left, time, left, time.saturating_add(upper.max(0)), hash, key, expiry);
        })
    }

    fn take_right(&mut self, batch: Box<dyn Batch>, out: &mut Collector<'_, O>) -> Result<(), Failure> {
        let Self { interval, function, table, expiry, sides, watermark, .. } = self;
        let (lower, upper) = (interval.lower_ms, interval.upper_ms);
        each_timed(batch, out, |hash, key: KeyRef<'_, K>, right: B, time, out| {
            if time < watermark.0 {
                return late(&interval.late_right, right, time, sides);
            }
            let held = table.get_or_insert_with(hash, key, Sides::new).1;
            for (other, lefts) in held.left.range(time.saturating_sub(upper)..=time.saturating_sub(lower)) {
                let ctx = context(*other, time, *watermark);
                out.at(Some(ctx.timestamp()));
                lefts.iter().for_each(|left| function.process(left, &right, &ctx, out));
            }
            hold(&mut held.right, time, right, time.saturating_sub(lower.min(0)), hash, key, expiry);
        })
    }

    /// Gives up what no record looks at any more.
    fn expire(&mut self, watermark: i64) {
        let (lower, upper) = (self.interval.lower_ms, self.interval.upper_ms);
        while let Some(due) = self.expiry.first_entry().filter(|due| *due.key() <= watermark) {
            let (until, keys) = due.remove_entry();
            for (hash, key) in keys {
                let Some(held) = self.table.get_mut(hash, KeyRef::Value(&key)) else { continue };
                held.left.remove(&until.saturating_sub(upper.max(0)));
                held.right.remove(&until.saturating_add(lower.min(0)));
                if held.left.is_empty() && held.right.is_empty() {
                    self.table.remove(hash, KeyRef::Value(&key));
                }
            }
        }
    }
}

impl<A, B> Sides<A, B> {
    fn new() -> Self {
        Self { left: BTreeMap::new(), right: BTreeMap::new() }
    }
}

fn context(left: i64, right: i64, watermark: EventTime) -> JoinContext {
    JoinContext { left_timestamp: EventTime(left), right_timestamp: EventTime(right), watermark }
}

fn late<T: Record>(late: &Late<T>, record: T, time: i64, sides: &mut SideOutputs) {
    if let Late::To(tag) = late {
        sides.at(Some(EventTime(time)));
        sides.push(tag, record);
    }
}

fn hold<K: Key, T>(
    held: &mut BTreeMap<i64, Vec<T>>,
    time: i64,
    record: T,
    until: i64,
    hash: u64,
    key: KeyRef<'_, K>,
    expiry: &mut BTreeMap<i64, Vec<(u64, K)>>,
) {
    let records = held.entry(time).or_insert_with(|| Vec::with_capacity(1));
    if records.is_empty() {
        expiry.entry(until).or_default().push((hash, key.to_owned()));
    }
    records.push(record);
}

/// Calls `row` with each row and its timestamp.
fn each_timed<K: Key, T: Record, O: Record>(
    batch: Box<dyn Batch>,
    out: &mut Collector<'_, O>,
    mut row: impl FnMut(u64, KeyRef<'_, K>, T, i64, &mut Collector<'_, O>),
) -> Result<(), Failure> {
    let mut batch = Keyed::<K, T>::of(batch);
    let (times, mut index) = (batch.take_times(), 0);
    if times.is_none() || times.as_slice().contains(&EventTime::MIN) {
        return Err(Failure::user(
            "a record without timestamp has come to an interval join; call assign_timestamps_and_watermarks on both streams before",
        ));
    }
    batch.for_each(|hash, key, record| {
        if !out.has_failed() {
            row(hash, key, record, times.as_slice()[index].0, out);
        }
        index += 1;
    });
    Ok(())
}

impl<K, A, B, O, F> Operator for IntervalJoin<K, A, B, O, F>
where
    K: Key,
    A: Record,
    B: Record,
    O: Record,
    F: ProcessJoinFunction<A, B, O>,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.sides = SideOutputs::new(&context.side_outputs);
        self.max_parallelism = context.max_parallelism;
        Ok(())
    }

    fn process(&mut self, input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let mut collector = Collector::new(out);
        match input {
            0 => self.take_left(batch, &mut collector)?,
            _ => self.take_right(batch, &mut collector)?,
        }
        self.sides.hand_on(&mut collector);
        collector.finish()
    }

    fn on_watermark(&mut self, watermark: EventTime, _out: &mut dyn Output) -> Result<(), Failure> {
        self.watermark = self.watermark.max(watermark);
        self.expire(self.watermark.0);
        Ok(())
    }

    fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        into.unkeyed(WATERMARK, vec![self.watermark]);
        into.keyed(SIDES, self.max_parallelism, vec![self.table.freeze()]);
        Ok(())
    }

    fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        restore_watermark(from, &mut self.watermark)?;
        let Self { table, expiry, interval, max_parallelism, .. } = self;
        let mut take = |hash, (key, held): (K, Sides<A, B>)| {
            let left = held.left.keys().map(|time| time.saturating_add(interval.upper_ms.max(0)));
            let right = held.right.keys().map(|time| time.saturating_sub(interval.lower_ms.min(0)));
            left.chain(right).for_each(|until| expiry.entry(until).or_default().push((hash, key.clone())));
            table.put(hash, key, held);
        };
        from.visit(SIDES, &mut |section| section.each_keyed(*max_parallelism, |entry| &entry.0, &mut take))
    }
}

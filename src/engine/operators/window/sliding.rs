//! Windows that overlap: slices, each folded once, and windows as sums of slices.
//!
//! ```text
//! a key's slices, oldest first:   S₁ S₂ S₃ │ S₄ S₅ │ S₆ S₇          window = S₁ … S₅
//!                                  front     back    open
//! front: each holds the sum of itself and all behind it in front       back: each its own, and their sum beside
//! ```
//!
//! So the value of a window is the first of front plus the sum of back, and a slice is added to another at most twice however many
//! windows it is in: the queue of two stacks. When front is used up, back becomes front.

use std::collections::VecDeque;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::super::aggregate::Aggregate;
use super::super::{Collector, Operator, OperatorContext, Output, Restore, Snapshot};
use super::function::{WindowCore, WindowResult};
use super::{Aligned, PaneInfo, TimeDomain, TimeWindow, no_timestamp};
use crate::engine::record::{Batch, Key, KeyRef, Keyed, KeyedTable, Record, key_hash};
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// Names of the states in snapshots.
const SLICES: &str = "slices";
const EMITTED: &str = "emitted";

/// The slices of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Slices<A> {
    /// By start.
    slices: VecDeque<(i64, A)>,
    front: u32,
    /// Front and back.
    closed: u32,
    back: Option<A>,
}

impl<A: Clone> Slices<A> {
    fn new() -> Self {
        Self { slices: VecDeque::with_capacity(1), front: 0, closed: 0, back: None }
    }

    /// Adds a value to the slice that begins at `start`.
    #[inline]
    fn add<V>(
        &mut self,
        start: i64,
        value: V,
        begin: impl Fn(V) -> A,
        add: impl Fn(&mut A, V),
        merge: impl Fn(&mut A, A),
    ) {
        let is_open = self.slices.len() > self.closed as usize;
        match self.slices.back_mut() {
            Some((last, folded)) if *last == start && is_open => add(folded, value),
            Some((last, _)) if *last >= start => self.add_before(start, begin(value), merge),
            Some(_) | None => self.slices.push_back((start, begin(value))),
        }
    }

    /// A value that comes behind later ones.
    #[cold]
    fn add_before(&mut self, start: i64, value: A, merge: impl Fn(&mut A, A)) {
        let at = self.slices.partition_point(|slice| slice.0 < start);
        let there = self.slices.get(at).is_some_and(|slice| slice.0 == start);
        if at < self.front as usize {
            if !there {
                // What is behind it in front belongs to its sum.
                let behind = self.slices[at].1.clone();
                self.slices.insert(at, (start, behind));
                (self.front, self.closed) = (self.front + 1, self.closed + 1);
            }
            self.slices.iter_mut().take(at + 1).for_each(|slice| merge(&mut slice.1, value.clone()));
            return;
        }
        let in_back = at < self.closed as usize;
        if in_back {
            match &mut self.back {
                Some(back) => merge(back, value.clone()),
                None => self.back = Some(value.clone()),
            }
        }
        if there {
            merge(&mut self.slices[at].1, value);
        } else {
            self.slices.insert(at, (start, value));
            self.closed += u32::from(in_back);
        }
    }

    /// The sum of the slices from `start` to `end`; those before are given up, since windows come in order.
    fn window(&mut self, start: i64, end: i64, merge: impl Fn(&mut A, A)) -> Option<A> {
        while let Some((_, closed)) = self.slices.get(self.closed as usize).filter(|slice| slice.0 < end) {
            match &mut self.back {
                Some(back) => merge(back, closed.clone()),
                None => self.back = Some(closed.clone()),
            }
            self.closed += 1;
        }
        while self.closed > 0 && self.slices[0].0 < start {
            if self.front == 0 {
                self.turn(&merge);
            }
            self.slices.pop_front();
            (self.front, self.closed) = (self.front - 1, self.closed - 1);
        }
        let front = (self.front > 0).then(|| self.slices[0].1.clone());
        match (front, &self.back) {
            (Some(mut front), Some(back)) => {
                merge(&mut front, back.clone());
                Some(front)
            }
            (front, back) => front.or_else(|| back.clone()),
        }
    }

    /// Back becomes front.
    fn turn(&mut self, merge: &impl Fn(&mut A, A)) {
        for at in (1..self.closed as usize).rev() {
            let behind = self.slices[at].1.clone();
            merge(&mut self.slices[at - 1].1, behind);
        }
        (self.front, self.back) = (self.closed, None);
    }

    fn first(&self) -> Option<i64> {
        self.slices.front().map(|slice| slice.0)
    }
}

/// Folds the values of each key and slice; emits each window when its end has come, for the keys that have values in it. Open windows of
/// processing time are emitted at the end of the input.
pub(crate) struct SlidingWindow<K, V, G: Aggregate<V>, R> {
    windows: Aligned,
    /// A length of which size and slide are multiples.
    slice_ms: i64,
    domain: TimeDomain,
    aggregate: G,
    result: R,
    core: WindowCore<K>,
    table: KeyedTable<K, Slices<G::Accumulator>>,
    /// The end of the first window that may have something to emit.
    next_end: Option<i64>,
    /// The last moment of the last window that was emitted.
    emitted: i64,
    types: PhantomData<fn(V)>,
}

impl<K, V, G, R> SlidingWindow<K, V, G, R>
where
    K: Key,
    V: Record,
    G: Aggregate<V>,
    R: WindowResult<K, G::Accumulator>,
{
    /// Folds by `aggregate`, emits as `result` says.
    pub(crate) fn new(windows: Aligned, domain: TimeDomain, aggregate: G, result: R) -> Self {
        let slice_ms = divisor(windows.size_ms, windows.slide_ms);
        let (core, table) = (WindowCore::new(), KeyedTable::new());
        Self {
            windows,
            slice_ms,
            domain,
            aggregate,
            result,
            core,
            table,
            next_end: None,
            emitted: i64::MIN,
            types: PhantomData,
        }
    }

    /// The start of the slice that a record belongs to; none: no window is open that it is in.
    #[inline]
    fn slice_of(&self, time: i64, passed: i64) -> Option<i64> {
        let last_end = self.windows.last_start(time).saturating_add(self.windows.size_ms);
        let slice = time.saturating_sub(time.saturating_sub(self.windows.offset_ms).rem_euclid(self.slice_ms));
        (last_end - 1 > passed).then_some(slice)
    }

    /// Notes that the first open window around a slice has something to emit.
    fn expect(&mut self, slice: i64, passed: i64) {
        // A window has passed when its last moment has: the first that has not ends behind the next moment.
        let end = self.windows.first_end_behind(slice.max(passed.saturating_add(1)));
        self.next_end = Some(self.next_end.map_or(end, |next| next.min(end)));
    }

    fn fold(&mut self, batch: Keyed<K, V>, times: impl Fn(usize) -> i64, passed: i64) {
        let (hashes, keys, values) = batch.into_columns();
        let mut values = values.into_iter();
        let mut expected = None;
        for (chunk, hashes) in hashes.chunks(FETCHED_AT_ONCE).enumerate() {
            self.table.prefetch(hashes);
            for ((i, hash), value) in hashes.iter().enumerate().zip(&mut values) {
                let row = chunk * FETCHED_AT_ONCE + i;
                let Some(slice) = self.slice_of(times(row), passed) else { continue };
                if expected != Some(slice) {
                    self.expect(slice, passed);
                    expected = Some(slice);
                }
                let aggregate = &self.aggregate;
                let slices = self.table.get_or_insert_with(*hash, keys.get(row), Slices::new).1;
                slices.add(
                    slice,
                    value,
                    |value| aggregate.start(value),
                    |folded, value| aggregate.add(folded, value),
                    |folded, other| aggregate.add(folded, G::value(other)),
                );
            }
        }
    }

    /// Emits the windows whose last moment is `passed` or before.
    fn fire(&mut self, passed: i64, out: &mut dyn Output) -> Result<(), Failure> {
        while let Some(end) = self.next_end.filter(|end| end - 1 <= passed) {
            (self.next_end, self.emitted) = (None, end - 1);
            let window = TimeWindow::new(end - self.windows.size_ms, end);
            if let Some(first) = self.emit(window, out)? {
                self.expect(first, end - 1);
            }
        }
        Ok(())
    }

    /// Emits a window; returns the start of the first slice that is left.
    fn emit(&mut self, window: TimeWindow, out: &mut dyn Output) -> Result<Option<i64>, Failure> {
        let Self { aggregate, result, core, table, .. } = self;
        let now = out.now();
        let mut collector = Collector::new(out);
        collector.at(Some(window.max_timestamp()));
        core.sides.at(Some(window.max_timestamp()));
        let (mut first, mut empty) = (None::<i64>, Vec::new());
        for (key, slices) in table.iter_mut() {
            let merge = |folded: &mut G::Accumulator, other| aggregate.add(folded, G::value(other));
            let value = slices.window(window.start.0, window.end.0, merge);
            match slices.first() {
                Some(slice) => first = Some(first.map_or(slice, |first| first.min(slice))),
                None => empty.push(key.clone()),
            }
            let Some(value) = value else { continue };
            let hash = if R::CLEARS { key_hash(key) } else { 0 };
            let pane = PaneInfo::ONLY;
            let ctx = core.context(hash, (key.clone(), window), pane, now);
            result.emit(value, ctx, &mut collector);
            if R::CLEARS {
                result.clear(core.context(hash, (key.clone(), window), pane, now));
            }
            core.sides.hand_on_full(&mut collector);
            if collector.has_failed() {
                break;
            }
        }
        for key in empty {
            table.remove(key_hash(&key), KeyRef::Value(&key));
        }
        core.sides.hand_on(&mut collector);
        collector.finish()?;
        Ok(first)
    }
}

/// Keys whose memory is asked for together.
const FETCHED_AT_ONCE: usize = 64;

/// The greatest common divisor of two positive numbers.
fn divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

impl<K, V, G, R> Operator for SlidingWindow<K, V, G, R>
where
    K: Key,
    V: Record,
    G: Aggregate<V>,
    R: WindowResult<K, G::Accumulator>,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.core.open(context, &mut self.result)
    }

    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let mut batch = Keyed::<K, V>::of(batch);
        let times = batch.take_times();
        if self.domain == TimeDomain::Processing {
            let now = i64::try_from(out.now().as_millis()).unwrap_or(i64::MAX);
            self.fold(batch, |_| now, i64::MIN);
            return Ok(());
        }
        if times.is_none() || times.as_slice().contains(&EventTime::MIN) {
            return Err(no_timestamp());
        }
        self.fold(batch, |row| times.as_slice()[row].0, self.core.watermark.0);
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Output) -> Result<(), Failure> {
        let watermark = self.core.advance(watermark);
        if self.domain == TimeDomain::Event { self.fire(watermark.0, out) } else { Ok(()) }
    }

    fn next_timer(&self) -> Option<Now> {
        let end = self.next_end.filter(|_| self.domain == TimeDomain::Processing)?;
        Some(Now(u64::try_from(end).unwrap_or(0)))
    }

    fn on_processing_time(&mut self, now: Now, out: &mut dyn Output) -> Result<(), Failure> {
        self.fire(i64::try_from(now.as_millis()).unwrap_or(i64::MAX) - 1, out)
    }

    fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        self.core.snapshot(into)?;
        into.unkeyed(EMITTED, vec![self.emitted]);
        into.keyed(SLICES, self.core.max_parallelism(), vec![self.table.freeze()]);
        Ok(())
    }

    fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        self.core.restore(from)?;
        let mut emitted = i64::MIN;
        from.visit(EMITTED, &mut |section| section.each(|moment: i64| emitted = emitted.max(moment)))?;
        self.emitted = emitted;
        let watermark = if self.domain == TimeDomain::Event { self.core.watermark.0 } else { i64::MIN };
        let passed = emitted.max(watermark);
        let max_parallelism = self.core.max_parallelism();
        from.visit(SLICES, &mut |section| {
            section.each_keyed(
                max_parallelism,
                |(key, _): &(K, Slices<G::Accumulator>)| key,
                |hash, (key, slices)| {
                    if let Some(first) = slices.first() {
                        self.expect(first, passed);
                    }
                    self.table.put(hash, key, slices);
                },
            )
        })
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        self.fire(i64::MAX, out)?;
        Ok(Vec::new())
    }
}

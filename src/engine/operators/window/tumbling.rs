//! Windows side by side: a table a window, and one timer for all its keys.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::super::aggregate::Aggregate;
use super::super::{Collector, Operator, OperatorContext, Output, Restore, Snapshot};
use super::function::{WindowCore, WindowResult};
use super::{Aligned, PaneInfo, TimeDomain, TimeWindow, no_timestamp};
use crate::engine::record::{Batch, Key, Keyed, KeyedTable, Record, key_group, key_hash};
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// Name of the state in snapshots.
const PANES: &str = "panes";

/// Folds the values of each key and window; emits a window when its end has come. Open windows of processing time are emitted at the
/// end of the input.
pub(crate) struct TumblingWindow<K, V, G: Aggregate<V>, R> {
    windows: Aligned,
    domain: TimeDomain,
    aggregate: G,
    result: R,
    core: WindowCore<K>,
    /// By the window's start.
    panes: BTreeMap<i64, KeyedTable<K, G::Accumulator>>,
    types: PhantomData<fn(V)>,
}

impl<K, V, G, R> TumblingWindow<K, V, G, R>
where
    K: Key,
    V: Record,
    G: Aggregate<V>,
    R: WindowResult<K, G::Accumulator>,
{
    /// Folds by `aggregate`, emits as `result` says.
    pub(crate) fn new(windows: Aligned, domain: TimeDomain, aggregate: G, result: R) -> Self {
        debug_assert!(windows.slide_ms >= windows.size_ms, "windows that overlap are another operator's");
        Self { windows, domain, aggregate, result, core: WindowCore::new(), panes: BTreeMap::new(), types: PhantomData }
    }

    /// The start of the pane that a record belongs to; none: it came too late, or in a gap.
    #[inline]
    fn pane_of(&self, time: i64) -> Option<i64> {
        let start = self.windows.last_start(time);
        let end = start.saturating_add(self.windows.size_ms);
        (time < end && self.core.watermark.0 < end - 1).then_some(start)
    }

    fn fold(&mut self, batch: Keyed<K, V>, start: i64) {
        let aggregate = &self.aggregate;
        batch.fold_into(
            self.panes.entry(start).or_default(),
            |value| aggregate.start(value),
            |folded, value| aggregate.add(folded, value),
            |_, _| {},
        );
    }

    /// Rows of several windows: the pane is looked up where it changes.
    fn fold_each(&mut self, batch: Keyed<K, V>, times: &[EventTime]) {
        let (hashes, keys, values) = batch.into_columns();
        let mut values = values.into_iter();
        let mut row = 0;
        while row < times.len() {
            let start = self.pane_of(times[row].0);
            let run = times[row..].iter().take_while(|time| self.pane_of(time.0) == start).count();
            let rows = row..row + run;
            row += run;
            let Some(start) = start else {
                values.by_ref().take(run).for_each(drop);
                continue;
            };
            let aggregate = &self.aggregate;
            let pane = self.panes.entry(start).or_default();
            for (row, value) in rows.zip(&mut values) {
                let (hash, key) = (hashes[row], keys.get(row));
                pane.fold(
                    hash,
                    key,
                    value,
                    |value| aggregate.start(value),
                    |folded, value| aggregate.add(folded, value),
                );
            }
        }
    }

    /// Emits the panes whose windows have ended at `time`, as a moment of their domain.
    fn fire(&mut self, time: i64, out: &mut dyn Output) -> Result<(), Failure> {
        let size_ms = self.windows.size_ms;
        while let Some(pane) = self.panes.first_entry().filter(|pane| pane.key().saturating_add(size_ms) - 1 <= time) {
            let (start, mut pane) = pane.remove_entry();
            self.emit(TimeWindow::new(start, start.saturating_add(size_ms)), &mut pane, out)?;
        }
        Ok(())
    }

    fn emit(
        &mut self,
        window: TimeWindow,
        pane: &mut KeyedTable<K, G::Accumulator>,
        out: &mut dyn Output,
    ) -> Result<(), Failure> {
        let Self { result, core, .. } = self;
        let now = out.now();
        let mut collector = Collector::new(out);
        collector.at(Some(window.max_timestamp()));
        core.sides.at(Some(window.max_timestamp()));
        for (key, folded) in pane.take() {
            // Only functions with state look at the hash.
            let hash = if R::CLEARS { key_hash(&key) } else { 0 };
            let again = R::CLEARS.then(|| key.clone());
            let pane = PaneInfo::ONLY;
            let ctx = core.context(hash, (key, window), pane, now);
            result.emit(folded, ctx, &mut collector);
            if let Some(key) = again {
                result.clear(core.context(hash, (key, window), pane, now));
            }
            core.sides.hand_on_full(&mut collector);
            if collector.has_failed() {
                break;
            }
        }
        core.sides.hand_on(&mut collector);
        collector.finish()
    }
}

impl<K, V, G, R> Operator for TumblingWindow<K, V, G, R>
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
            let start = self.windows.last_start(now);
            if now < start + self.windows.size_ms {
                self.fold(batch, start);
            }
            return Ok(());
        }
        let (first, last) = times
            .as_slice()
            .iter()
            .fold((i64::MAX, i64::MIN), |(first, last), time| (first.min(time.0), last.max(time.0)));
        if times.is_none() || first == EventTime::MIN.0 {
            return Err(no_timestamp());
        }
        match self.pane_of(first) {
            // Between the two there is no gap then.
            Some(start) if self.pane_of(last) == Some(start) => self.fold(batch, start),
            Some(_) | None => self.fold_each(batch, times.as_slice()),
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Output) -> Result<(), Failure> {
        let watermark = self.core.advance(watermark);
        if self.domain == TimeDomain::Event { self.fire(watermark.0, out) } else { Ok(()) }
    }

    fn next_timer(&self) -> Option<Now> {
        let first = self.panes.keys().next().filter(|_| self.domain == TimeDomain::Processing)?;
        Some(Now(u64::try_from(first + self.windows.size_ms).unwrap_or(0)))
    }

    fn on_processing_time(&mut self, now: Now, out: &mut dyn Output) -> Result<(), Failure> {
        self.fire(i64::try_from(now.as_millis()).unwrap_or(i64::MAX) - 1, out)
    }

    fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        self.core.snapshot(into)?;
        let max_parallelism = self.core.max_parallelism();
        let mut entries = Vec::with_capacity(self.panes.values().map(KeyedTable::len).sum());
        for (start, pane) in &self.panes {
            let group = |key| key_group(key_hash(key), max_parallelism);
            entries.extend(pane.iter().map(|(key, folded)| (group(key), (*start, key.clone(), folded.clone()))));
        }
        into.grouped(PANES, &["start", "key", "value"], entries);
        Ok(())
    }

    fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        self.core.restore(from)?;
        let (panes, max_parallelism) = (&mut self.panes, self.core.max_parallelism());
        from.visit(PANES, &mut |section| {
            section.each_keyed(
                max_parallelism,
                |(_, key, _): &(i64, K, G::Accumulator)| key,
                |hash, (start, key, folded)| {
                    panes.entry(start).or_default().put(hash, key, folded);
                },
            )
        })
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        self.fire(i64::MAX, out)?;
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::aggregate::{KeyAndValue, Sum};
    use super::super::super::testing::{Collected, keyed};
    use super::super::Shaped;
    use super::*;

    type Clocked = TumblingWindow<u8, u64, Sum, Shaped<u64, Sum, KeyAndValue>>;

    fn five_seconds() -> Clocked {
        let five = Duration::from_secs(5);
        let windows = Aligned::new(five, five, Duration::ZERO);
        TumblingWindow::new(windows, TimeDomain::Processing, Sum, Shaped(KeyAndValue, PhantomData))
    }

    #[test]
    fn a_window_is_emitted_when_it_ends_and_not_again() {
        let mut window = five_seconds();
        let mut out = Collected { now: Now(7000), ..Collected::default() };
        window.process(0, keyed(&[(1u8, 1u64), (1, 2), (2, 5)]), &mut out).unwrap();
        assert_eq!(window.next_timer(), Some(Now(10_000)));
        window.on_processing_time(Now(9999), &mut out).unwrap();
        assert!(out.batches.is_empty());
        window.on_processing_time(Now(10_000), &mut out).unwrap();
        let mut rows = out.rows::<(u8, u64)>();
        rows.sort_unstable();
        assert_eq!(rows, [(1, 3), (2, 5)]);
        assert_eq!(window.next_timer(), None);
        window.on_processing_time(Now(20_000), &mut out).unwrap();
        assert!(out.batches.is_empty());
    }

    #[test]
    fn records_behind_a_late_timer_belong_to_the_next_window() {
        let mut window = five_seconds();
        let mut out = Collected { now: Now(4000), ..Collected::default() };
        window.process(0, keyed(&[(1u8, 1u64)]), &mut out).unwrap();
        out.now = Now(5001);
        window.process(0, keyed(&[(1u8, 10u64)]), &mut out).unwrap();
        window.on_processing_time(Now(5002), &mut out).unwrap();
        assert_eq!(out.rows::<(u8, u64)>(), [(1, 1)]);
        assert_eq!(window.next_timer(), Some(Now(10_000)));
    }

    #[test]
    fn open_windows_of_processing_time_are_emitted_at_the_end_in_order() {
        let mut window = five_seconds();
        let mut out = Collected { now: Now(4000), ..Collected::default() };
        window.process(0, keyed(&[(1u8, 1u64)]), &mut out).unwrap();
        out.now = Now(6000);
        window.process(0, keyed(&[(1u8, 2u64)]), &mut out).unwrap();
        window.finish(&mut out).unwrap();
        assert_eq!(out.rows::<(u8, u64)>(), [(1, 1), (1, 2)]);
    }
}

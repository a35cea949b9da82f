//! Windows of one length, side by side, in processing time.
//!
//! ```text
//! Keyed<K, V> ─► pane of the present moment ─► table ─timer at the pane's end─► Rows
//! ```

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use super::aggregate::{Aggregate, Shape};
use super::keyed_aggregate::emit_values;
use super::{Operator, OperatorContext, Output, Restore, Snapshot};
use crate::engine::record::{Batch, Key, Keyed, KeyedTable, Record, key_group, key_hash};
use crate::graph::task::Failure;
use crate::time::Now;

/// Where windows begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    size_ms: u64,
    offset_ms: u64,
}

impl Windows {
    /// Windows that begin `offset` behind each multiple of `size` since the epoch. Shorter than a millisecond becomes one.
    pub(crate) fn new(size: Duration, offset: Duration) -> Self {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let size_ms = millis(size).max(1);
        Self { size_ms, offset_ms: millis(offset) % size_ms }
    }

    /// When the window that `now` lies in ends.
    fn end(self, now: Now) -> Now {
        let since_start = (now.0 + (self.size_ms - self.offset_ms)) % self.size_ms;
        Now((now.0 - since_start.min(now.0)).saturating_add(self.size_ms))
    }
}

/// Name of the state in snapshots.
const STATE: &str = "panes";

/// Folds the values of each key and window; emits a window when it ends, and open ones when the input does.
///
/// A window holds what arrives here while it is open: one table a window and one timer, however many keys there are.
pub(crate) struct TumblingWindow<K, V, G: Aggregate<V>, S> {
    windows: Windows,
    aggregate: G,
    shape: S,
    max_parallelism: u32,
    /// By the window's end.
    panes: BTreeMap<Now, KeyedTable<K, G::Accumulator>>,
    types: PhantomData<fn(V)>,
}

impl<K: Key, V: Record, G: Aggregate<V>, S: Shape<K, V>> TumblingWindow<K, V, G, S> {
    /// Folds by `aggregate`, emits as `shape` says.
    pub(crate) fn new(windows: Windows, aggregate: G, shape: S) -> Self {
        Self { windows, aggregate, shape, max_parallelism: 1, panes: BTreeMap::new(), types: PhantomData }
    }
}

impl<K: Key, V: Record, G: Aggregate<V>, S: Shape<K, V>> Operator for TumblingWindow<K, V, G, S> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.max_parallelism = context.max_parallelism;
        Ok(())
    }

    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let pane = self.panes.entry(self.windows.end(out.now())).or_default();
        let aggregate = &self.aggregate;
        Keyed::<K, V>::of(batch).fold_into(
            pane,
            |value| aggregate.start(value),
            |folded, value| aggregate.add(folded, value),
            |_, _| {},
        );
        Ok(())
    }

    fn next_timer(&self) -> Option<Now> {
        self.panes.keys().next().copied()
    }

    fn on_processing_time(&mut self, now: Now, out: &mut dyn Output) -> Result<(), Failure> {
        while let Some(pane) = self.panes.first_entry().filter(|pane| *pane.key() <= now) {
            emit_values::<K, V, G, S>(&mut pane.remove(), &self.shape, out)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        let mut entries = Vec::new();
        for (end, pane) in &self.panes {
            entries.extend(pane.iter().map(|(key, folded)| {
                (key_group(key_hash(key), self.max_parallelism), (*end, key.clone(), folded.clone()))
            }));
        }
        into.grouped(STATE, &["end", "key", "value"], entries);
        Ok(())
    }

    fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        let (panes, max_parallelism) = (&mut self.panes, self.max_parallelism);
        from.visit(STATE, &mut |section| {
            section.each_keyed(
                max_parallelism,
                |(_, key, _): &(Now, K, G::Accumulator)| key,
                |hash, (end, key, folded)| {
                    panes.entry(end).or_default().put(hash, key, folded);
                },
            )
        })
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        for (_, mut pane) in std::mem::take(&mut self.panes) {
            emit_values::<K, V, G, S>(&mut pane, &self.shape, out)?;
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::super::aggregate::{KeyAndValue, Sum};
    use super::super::testing::Collected;
    use super::*;
    use crate::engine::record::key_hash;

    fn keyed(rows: &[(u8, u64)]) -> Box<dyn Batch> {
        let mut batch = Keyed::with_capacity(rows.len());
        for (key, value) in rows {
            batch.push(key_hash(key), *key, *value);
        }
        Box::new(batch)
    }

    fn five_seconds() -> TumblingWindow<u8, u64, Sum, KeyAndValue> {
        TumblingWindow::new(Windows::new(Duration::from_secs(5), Duration::ZERO), Sum, KeyAndValue)
    }

    #[test]
    fn windows_are_aligned_to_the_epoch_and_the_offset() {
        let end = |size, offset, now| {
            Windows::new(Duration::from_millis(size), Duration::from_millis(offset)).end(Now(now)).0
        };
        assert_eq!(end(5000, 0, 0), 5000);
        assert_eq!(end(5000, 0, 4999), 5000);
        assert_eq!(end(5000, 0, 5000), 10_000);
        assert_eq!(end(5000, 1000, 5500), 6000);
        assert_eq!(end(5000, 1000, 6000), 11_000);
        assert_eq!(end(5000, 6000, 6000), 11_000);
        assert_eq!(end(0, 0, 7), 8);
    }

    #[test]
    fn a_window_is_emitted_when_it_ends_and_not_again() {
        let mut window = five_seconds();
        let mut out = Collected { now: Now(7000), ..Collected::default() };
        window.process(0, keyed(&[(1, 1), (1, 2), (2, 5)]), &mut out).unwrap();
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
        window.process(0, keyed(&[(1, 1)]), &mut out).unwrap();
        out.now = Now(5001);
        window.process(0, keyed(&[(1, 10)]), &mut out).unwrap();
        window.on_processing_time(Now(5002), &mut out).unwrap();
        assert_eq!(out.rows::<(u8, u64)>(), [(1, 1)]);
        assert_eq!(window.next_timer(), Some(Now(10_000)));
    }

    #[test]
    fn open_windows_are_emitted_at_the_end_in_order() {
        let mut window = five_seconds();
        let mut out = Collected { now: Now(4000), ..Collected::default() };
        window.process(0, keyed(&[(1, 1)]), &mut out).unwrap();
        out.now = Now(6000);
        window.process(0, keyed(&[(1, 2)]), &mut out).unwrap();
        window.finish(&mut out).unwrap();
        assert_eq!(out.rows::<(u8, u64)>(), [(1, 1), (1, 2)]);
    }
}

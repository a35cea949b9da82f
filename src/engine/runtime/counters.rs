//! A subtask's counters: counted by its thread in plain fields, published once a step, read by anyone.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::graph::event_time::WatermarkHold;
use crate::graph::task::TaskMetrics;
use crate::time::{EventTime, Now};

/// What the time since a step counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    Busy,
    Idle,
    Backpressured,
}

impl Spent {
    /// Adds the time from `since` to `now` where it belongs.
    // Never inlined, so that a profile shows what metrics cost.
    #[inline(never)]
    pub(super) fn add(self, since: Now, now: Now, metrics: &mut TaskMetrics) {
        let millis = now.as_millis().saturating_sub(since.as_millis());
        match self {
            Self::Busy => metrics.busy_ms += millis,
            Self::Idle => metrics.idle_ms += millis,
            Self::Backpressured => metrics.backpressured_ms += millis,
        }
    }
}

/// The published side.
#[derive(Debug, Default)]
pub(super) struct Counters {
    values: [AtomicU64; 9],
    /// Its distance from the beginning of time, which itself stands for none.
    input_watermark: AtomicU64,
    /// The channel that holds it back, from 1, and by how much; 0 and the largest number stand for none.
    hold_channel: AtomicU32,
    hold_behind_ms: AtomicU64,
    /// When the last step was, in milliseconds, and what the time since then counts as: a subtask that waits makes no steps.
    since: AtomicU64,
    spent: AtomicU64,
    has_accumulators: AtomicBool,
    hot_key: Mutex<Option<Arc<str>>>,
}

impl Counters {
    // Never inlined, so that a profile shows what metrics cost.
    #[inline(never)]
    pub(super) fn publish(&self, metrics: &TaskMetrics, since: Now, spent: Spent) {
        let TaskMetrics {
            records_in,
            bytes_in,
            records_out,
            bytes_out,
            bad_records,
            hot_key_permille,
            busy_ms,
            idle_ms,
            backpressured_ms,
            input_watermark,
            watermark_hold,
        } = *metrics;
        let values = [
            records_in,
            bytes_in,
            records_out,
            bytes_out,
            bad_records,
            hot_key_permille,
            busy_ms,
            idle_ms,
            backpressured_ms,
        ];
        for (counter, value) in self.values.iter().zip(values) {
            counter.store(value, Ordering::Relaxed);
        }
        let watermark = input_watermark.unwrap_or(EventTime::MIN).0;
        self.input_watermark.store(watermark.wrapping_sub(i64::MIN).cast_unsigned(), Ordering::Relaxed);
        self.hold_channel.store(watermark_hold.map_or(0, |hold| hold.channel.saturating_add(1)), Ordering::Relaxed);
        let behind_ms = watermark_hold.and_then(|hold| hold.behind_ms).unwrap_or(u64::MAX);
        self.hold_behind_ms.store(behind_ms, Ordering::Relaxed);
        self.since.store(since.as_millis(), Ordering::Relaxed);
        self.spent.store(spent as u64, Ordering::Relaxed);
    }

    /// The most frequent key has changed.
    pub(super) fn note_hot_key(&self, key: Option<Arc<str>>) {
        *self.hot_key.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// The most frequent key, while one is frequent.
    pub(super) fn hot_key(&self) -> Option<Arc<str>> {
        self.hot_key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The subtask has accumulators.
    pub(super) fn note_accumulators(&self) {
        self.has_accumulators.store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    pub(super) fn has_accumulators(&self) -> bool {
        self.has_accumulators.load(Ordering::Relaxed)
    }

    /// As last published; single counters may be of different steps.
    pub(super) fn read(&self) -> TaskMetrics {
        let [
            records_in,
            bytes_in,
            records_out,
            bytes_out,
            bad_records,
            hot_key_permille,
            busy_ms,
            idle_ms,
            backpressured_ms,
        ] = self.values.each_ref().map(|counter| counter.load(Ordering::Relaxed));
        let watermark = self.input_watermark.load(Ordering::Relaxed).cast_signed().wrapping_add(i64::MIN);
        let input_watermark = (watermark > i64::MIN).then_some(EventTime(watermark));
        let behind_ms = Some(self.hold_behind_ms.load(Ordering::Relaxed)).filter(|behind| *behind < u64::MAX);
        let channel = self.hold_channel.load(Ordering::Relaxed).checked_sub(1);
        let watermark_hold = channel.map(|channel| WatermarkHold { channel, behind_ms });
        TaskMetrics {
            records_in,
            bytes_in,
            records_out,
            bytes_out,
            bad_records,
            hot_key_permille,
            busy_ms,
            idle_ms,
            backpressured_ms,
            input_watermark,
            watermark_hold,
        }
    }

    /// As of `now`, with the time since the last step.
    pub(super) fn read_at(&self, now: Now) -> TaskMetrics {
        let mut metrics = self.read();
        let since = Now(self.since.load(Ordering::Relaxed));
        let spent = match self.spent.load(Ordering::Relaxed) {
            1 => Spent::Idle,
            2 => Spent::Backpressured,
            _ => Spent::Busy,
        };
        if since > Now(0) {
            spent.add(since, now, &mut metrics);
        }
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_counts_although_no_step_is_made() {
        let counters = Counters::default();
        assert_eq!(counters.read_at(Now(50)), TaskMetrics::default());
        for (spent, expected) in [(Spent::Busy, (7, 0, 0)), (Spent::Idle, (0, 7, 0)), (Spent::Backpressured, (0, 0, 7))]
        {
            counters.publish(&TaskMetrics::default(), Now(100), spent);
            let TaskMetrics { busy_ms, idle_ms, backpressured_ms, .. } = counters.read_at(Now(107));
            assert_eq!((busy_ms, idle_ms, backpressured_ms), expected);
        }
    }

    #[test]
    fn what_holds_event_time_back_is_read_as_it_was_published() {
        let counters = Counters::default();
        for hold in [None, Some((0, None)), Some((0, Some(0))), Some((7, Some(1500)))] {
            let watermark_hold = hold.map(|(channel, behind_ms)| WatermarkHold { channel, behind_ms });
            let metrics = TaskMetrics { watermark_hold, ..TaskMetrics::default() };
            counters.publish(&metrics, Now(1), Spent::Busy);
            assert_eq!(counters.read(), metrics);
        }
    }

    #[test]
    fn a_watermark_is_read_as_it_was_published_and_none_before() {
        let counters = Counters::default();
        assert_eq!(counters.read().input_watermark, None);
        for time in [-1, 0, 1_795_366_943_267, i64::MAX, i64::MIN + 1] {
            let metrics = TaskMetrics { input_watermark: Some(EventTime(time)), ..TaskMetrics::default() };
            counters.publish(&metrics, Now(1), Spent::Busy);
            assert_eq!(counters.read(), metrics);
        }
    }
}

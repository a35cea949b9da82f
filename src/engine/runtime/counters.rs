//! A subtask's counters: counted by its thread in plain fields, published once a step, read by anyone.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::graph::task::TaskMetrics;

/// The published side.
#[derive(Debug, Default)]
pub(super) struct Counters([AtomicU64; 8]);

impl Counters {
    pub(super) fn publish(&self, metrics: &TaskMetrics) {
        let TaskMetrics {
            records_in,
            bytes_in,
            records_out,
            bytes_out,
            bad_records,
            busy_ms,
            idle_ms,
            backpressured_ms,
        } = *metrics;
        let values = [records_in, bytes_in, records_out, bytes_out, bad_records, busy_ms, idle_ms, backpressured_ms];
        for (counter, value) in self.0.iter().zip(values) {
            counter.store(value, Ordering::Relaxed);
        }
    }

    /// As last published; single counters may be of different steps.
    pub(super) fn read(&self) -> TaskMetrics {
        let [records_in, bytes_in, records_out, bytes_out, bad_records, busy_ms, idle_ms, backpressured_ms] =
            self.0.each_ref().map(|counter| counter.load(Ordering::Relaxed));
        TaskMetrics { records_in, bytes_in, records_out, bytes_out, bad_records, busy_ms, idle_ms, backpressured_ms }
    }
}

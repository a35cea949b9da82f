//! Metrics under Flink's names, and backpressure.

use serde_json::{Value, json};

use crate::graph::task::TaskMetrics;
use crate::jobmanager::core::Core;
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master::{Execution, Rates};
use crate::protocol::job::JobStatus;
use crate::time::Now;

/// One metric of one subtask (or of the JobManager, which has none).
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Metric {
    pub(in super::super) subtask: usize,
    pub(in super::super) name: &'static str,
    pub(in super::super) value: u64,
}

type Counter = (&'static str, fn(&TaskMetrics) -> u64);
const COUNTERS: [Counter; 8] = [
    ("numRecordsIn", |metrics| metrics.records_in),
    ("numRecordsOut", |metrics| metrics.records_out),
    ("numBytesIn", |metrics| metrics.bytes_in),
    ("numBytesOut", |metrics| metrics.bytes_out),
    ("accumulateBusyTimeMs", |metrics| metrics.busy_ms),
    ("accumulateIdleTimeMs", |metrics| metrics.idle_ms),
    ("accumulateBackPressuredTimeMs", |metrics| metrics.backpressured_ms),
    // Ours: in thousandths.
    ("hotKeyShare", |metrics| metrics.hot_key_permille),
];

type Gauge = (&'static str, fn(&Rates) -> u64);
const GAUGES: [Gauge; 5] = [
    ("numRecordsInPerSecond", |rates| rates.records_in),
    ("numRecordsOutPerSecond", |rates| rates.records_out),
    ("busyTimeMsPerSecond", |rates| rates.busy_ms),
    ("idleTimeMsPerSecond", |rates| rates.idle_ms),
    ("backPressuredTimeMsPerSecond", |rates| rates.backpressured_ms),
];

pub(in super::super) fn of_vertex(job: &Job, index: usize) -> Option<Vec<Metric>> {
    let subtasks = &job.master()?.execution().vertices[index];
    let of = |(subtask, execution): (usize, &Execution)| {
        let counters = COUNTERS.map(|(name, read)| Metric { subtask, name, value: read(&execution.metrics) });
        let rates = execution.rates.filter(|_| !execution.state.is_terminal());
        let gauges = rates.map(|rates| GAUGES.map(|(name, read)| Metric { subtask, name, value: read(&rates) }));
        counters.into_iter().chain(gauges.into_iter().flatten()).collect::<Vec<_>>()
    };
    Some(subtasks.iter().map(|subtask| &subtask.current).enumerate().flat_map(of).collect())
}

pub(in super::super) fn of_job_manager(core: &Core) -> Vec<Metric> {
    let (slots, free) = core.pool().totals();
    let running = core.jobs().filter(|job| job.status() == JobStatus::Running).count();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    [
        ("numRunningJobs", count(running)),
        ("numRegisteredTaskManagers", count(core.task_managers().len())),
        ("taskSlotsTotal", u64::from(slots)),
        ("taskSlotsAvailable", u64::from(free)),
    ]
    .map(|(name, value)| Metric { subtask: 0, name, value })
    .into()
}

/// Flink's thresholds.
fn level(ratio: f64) -> &'static str {
    if ratio <= 0.10 {
        "ok"
    } else if ratio <= 0.5 {
        "low"
    } else {
        "high"
    }
}

pub(in super::super) fn backpressure(job: &Job, index: usize, now: Now) -> Option<Value> {
    let subtasks = &job.master()?.execution().vertices[index];
    let share = |milliseconds: u64| f64::from(u32::try_from(milliseconds).unwrap_or(1000)) / 1000.0;
    let mut worst: f64 = 0.0;
    let mut entries = Vec::new();
    for (number, subtask) in subtasks.iter().enumerate() {
        let Some(rates) = subtask.current.rates else { continue };
        let ratio = share(rates.backpressured_ms);
        worst = worst.max(ratio);
        entries.push(json!({
            "subtask": number,
            "attempt-number": subtask.current.attempt,
            "backpressureLevel": level(ratio),
            "backpressure-level": level(ratio),
            "ratio": ratio,
            "idleRatio": share(rates.idle_ms),
            "busyRatio": share(rates.busy_ms),
        }));
    }
    if entries.is_empty() {
        return Some(json!({ "status": "deprecated" })); // Nothing measured yet: browsers ask again.
    }
    Some(json!({
        "status": "ok",
        "backpressureLevel": level(worst),
        "backpressure-level": level(worst),
        "end-timestamp": now.as_millis(),
        "subtasks": entries,
    }))
}

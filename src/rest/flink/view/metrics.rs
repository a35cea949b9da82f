//! Metrics under Flink's names, and backpressure.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Value, json};

use crate::graph::plan::NodeKind;
use crate::graph::task::TaskMetrics;
use crate::jobmanager::core::Core;
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master::{CheckpointRecord, Execution, Rates, Subtask};
use crate::protocol::job::JobStatus;
use crate::time::{EventTime, Now};

/// One metric of one subtask (or of a process or job, which have none).
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Metric {
    pub(in super::super) subtask: usize,
    pub(in super::super) name: Cow<'static, str>,
    pub(in super::super) value: Figure,
}

impl Metric {
    pub(super) fn of_process(name: &'static str, value: Figure) -> Self {
        Self { subtask: 0, name: name.into(), value }
    }
}

/// A metric's value: shown as text, aggregated if it is a number.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Figure {
    Count(u64),
    Signed(i64),
    Text(String),
}

impl Figure {
    #[expect(clippy::cast_precision_loss, reason = "shown to people, as Flink shows it")]
    pub(in super::super) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Count(value) => Some(*value as f64),
            Self::Signed(value) => Some(*value as f64),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(value) => value.fmt(f),
            Self::Signed(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
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
    let master = job.master()?;
    let source = source_of(job, index);
    let of = |(subtask, execution): (usize, &Execution)| {
        let metric = |name: Cow<'static, str>, value| Metric { subtask, name, value: Figure::Count(value) };
        let rates = execution.rates.filter(|_| !execution.state.is_terminal());
        let mut metrics: Vec<Metric> =
            COUNTERS.iter().map(|(name, read)| metric((*name).into(), read(&execution.metrics))).collect();
        if let Some(rates) = &rates {
            metrics.extend(GAUGES.iter().map(|(name, read)| metric((*name).into(), read(rates))));
        }
        match &source {
            // What a source has read it has also passed on: autoscalers look for these names.
            Some(source) => {
                for name in ["numRecordsIn", "numRecordsOut"] {
                    metrics.push(metric(format!("{source}.{name}").into(), execution.metrics.records_in));
                    if let Some(rates) = &rates {
                        metrics.push(metric(format!("{source}.{name}PerSecond").into(), rates.records_in));
                    }
                }
            }
            None => {
                metrics.push(watermark(subtask, execution));
                let behind =
                    execution.metrics.watermark_hold.map(|hold| hold.behind_ms.unwrap_or(i64::MAX.unsigned_abs()));
                let value = Figure::Count(behind.unwrap_or(0));
                metrics.push(Metric { subtask, name: "watermarkHeldBackTime".into(), value });
            }
        }
        metrics
    };
    let subtasks = &master.execution().vertices[index];
    Some(subtasks.iter().map(|subtask| &subtask.current).enumerate().flat_map(of).collect())
}

/// The name of the source at the head of a vertex, as metrics write it.
fn source_of(job: &Job, index: usize) -> Option<String> {
    let master = job.master()?;
    let head = *master.graph().vertices[index].operators.first()?;
    let node = master.plan().nodes.get(head.0 as usize)?;
    let source = matches!(node.kind, NodeKind::Source { .. });
    source.then(|| node.name.chars().map(|c| if c == ':' || c == ' ' { '_' } else { c }).collect())
}

fn watermark(subtask: usize, execution: &Execution) -> Metric {
    let time = execution.metrics.input_watermark.unwrap_or(EventTime::MIN);
    Metric { subtask, name: "currentInputWatermark".into(), value: Figure::Signed(time.0) }
}

/// `/jobs/:id/vertices/:vertex/watermarks`; of a source nothing, for nothing flows into it.
pub(in super::super) fn watermarks(job: &Job, index: usize) -> Option<Value> {
    let master = job.master()?;
    if source_of(job, index).is_some() {
        return Some(json!([]));
    }
    let subtasks = master.execution().vertices[index].iter().enumerate();
    let entry = |(number, subtask): (usize, &Subtask)| {
        let metric = watermark(number, &subtask.current);
        json!({ "id": format!("{number}.{}", metric.name), "value": metric.value.to_string() })
    };
    Some(subtasks.map(entry).collect())
}

/// Of a job as a whole.
pub(in super::super) fn of_job(job: &Job, now: Now) -> Vec<Metric> {
    let Some(master) = job.master() else { return Vec::new() };
    let history = master.checkpoint_history();
    let completed = history.latest_completed();
    let end = job.outcome().map_or(now, |outcome| outcome.at);
    // How long the job is in its present status, -1 for every other one.
    let in_status = |wanted: &[JobStatus]| {
        let since =
            wanted.iter().filter(|status| **status == job.status()).find_map(|status| master.since().get(status));
        Figure::Signed(since.map_or(-1, |since| milliseconds(*since, end)))
    };
    let or_none = |value: Option<u64>| value.map_or(Figure::Signed(-1), Figure::Count);
    let duration = |record: &CheckpointRecord| record.ended.map(|at| at.0.saturating_sub(record.triggered.0));
    let metric = |(name, value): (&'static str, Figure)| Metric::of_process(name, value);
    [
        ("numRestarts", Figure::Count(u64::from(master.restarts()))),
        ("numRescales", Figure::Count(0)),
        ("uptime", in_status(&[JobStatus::Running])),
        ("downtime", in_status(&[JobStatus::Restarting, JobStatus::Failing])),
        ("initializingTime", in_status(&[JobStatus::Initializing])),
        ("deployingTime", Figure::Signed(-1)),
        ("createdTime", in_status(&[JobStatus::Created])),
        ("runningTime", in_status(&[JobStatus::Running])),
        ("restartingTime", in_status(&[JobStatus::Restarting])),
        ("failingTime", in_status(&[JobStatus::Failing])),
        ("cancellingTime", in_status(&[JobStatus::Cancelling])),
        (
            "totalNumberOfCheckpoints",
            Figure::Count(history.completed_count() + history.failed_count() + history.in_progress_count()),
        ),
        ("numberOfInProgressCheckpoints", Figure::Count(history.in_progress_count())),
        ("numberOfCompletedCheckpoints", Figure::Count(history.completed_count())),
        ("numberOfFailedCheckpoints", Figure::Count(history.failed_count())),
        ("lastCompletedCheckpointId", or_none(completed.map(|record| record.checkpoint.0))),
        ("lastCheckpointDuration", or_none(completed.and_then(duration))),
        ("lastCheckpointSize", or_none(completed.map(|record| record.state_bytes))),
        ("lastCheckpointFullSize", or_none(completed.map(|record| record.state_bytes))),
        ("lastCheckpointProcessedData", Figure::Count(0)),
        ("lastCheckpointPersistedData", Figure::Count(0)),
        ("lastCheckpointCompletedTimestamp", or_none(completed.and_then(|record| Some(record.ended?.as_millis())))),
        ("lastCheckpointRestoreTimestamp", or_none(history.latest_restored().map(|(_, at)| at.as_millis()))),
        (
            "lastCheckpointExternalPath",
            Figure::Text(completed.map_or_else(|| "n/a".to_owned(), |record| record.directory.clone())),
        ),
    ]
    .map(metric)
    .into()
}

fn milliseconds(since: Now, until: Now) -> i64 {
    i64::try_from(until.as_millis().saturating_sub(since.as_millis())).unwrap_or(i64::MAX)
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
    .map(|(name, value)| Metric::of_process(name, Figure::Count(value)))
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

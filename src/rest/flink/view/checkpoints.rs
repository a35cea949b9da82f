//! Checkpoints in Flink's keys.

use serde_json::{Map, Value, json};

use super::throwable;
use crate::config::StateBackendType;
use crate::graph::plan::ExecutionMode;
use crate::ids::CheckpointId;
use crate::jobmanager::job_master::{
    CheckpointRecord, CheckpointSettings, CheckpointStatus, History, JobMaster, SubtaskRecord,
};
use crate::protocol::job::JobStatus;

/// Whether a job has checkpoints: periodic ones, or any that was asked for.
fn has_any(job: &JobMaster) -> bool {
    let history = job.checkpoint_history();
    job.plan().resolved_mode() == ExecutionMode::Streaming
        && (job.checkpoint_settings().interval.is_some()
            || history.records().next().is_some()
            || history.latest_restored().is_some())
}

/// `/jobs/:id/checkpoints`; none where checkpointing is off.
pub(in super::super) fn checkpoints(job: &JobMaster) -> Option<Value> {
    if !has_any(job) {
        return None;
    }
    let history = job.checkpoint_history();
    let record = |found: Option<&CheckpointRecord>| found.map_or(Value::Null, |record| of(job, record, false));
    let (completed, failed, running) = (history.completed_count(), history.failed_count(), history.in_progress_count());
    let restored = history.latest_restored().map(|(record, at)| {
        json!({
            "id": record.checkpoint,
            "restore_timestamp": at,
            "is_savepoint": record.savepoint,
            "external_path": record.directory,
        })
    });
    Some(json!({
        "counts": {
            "restored": history.restored_count(),
            "total": completed + failed + running,
            "in_progress": running,
            "completed": completed,
            "failed": failed,
        },
        "summary": summary(history),
        "latest": {
            "completed": record(history.latest_completed()),
            "savepoint": record(history.latest_savepoint()),
            "failed": record(history.latest_failed()),
            "restored": restored,
        },
        "history": history.records().rev().map(|record| of(job, record, false)).collect::<Value>(),
    }))
}

/// `/jobs/:id/checkpoints/config`; none where checkpointing is off.
pub(in super::super) fn checkpoints_config(job: &JobMaster) -> Option<Value> {
    if !has_any(job) {
        return None;
    }
    let CheckpointSettings {
        backend, interval, timeout, min_pause, tolerable_failures, retain_on_cancellation, ..
    } = job.checkpoint_settings();
    // By the names that Flink's dashboard knows.
    let backend = match backend {
        StateBackendType::Hashmap => "HashMapStateBackend",
        StateBackendType::Disk => "EmbeddedRocksDBStateBackend",
    };
    let interval = interval.map_or(i64::MAX as u128, |interval| interval.as_millis());
    Some(json!({
        "mode": "exactly_once",
        "interval": interval as u64,
        "timeout": timeout.as_millis() as u64,
        "min_pause": min_pause.as_millis() as u64,
        "max_concurrent": 1,
        "externalization": { "enabled": retain_on_cancellation, "delete_on_cancellation": !retain_on_cancellation },
        "state_backend": backend,
        "checkpoint_storage": "FileSystemCheckpointStorage",
        "unaligned_checkpoints": false,
        "tolerable_failed_checkpoints": tolerable_failures.map_or(i32::MAX as u32, |failures| failures),
        "aligned_checkpoint_timeout": 0,
        "checkpoints_after_tasks_finish": true,
        "state_changelog_enabled": false,
        "changelog_periodic_materialization_interval": 0,
        "changelog_storage": "",
    }))
}

/// `/jobs/:id/checkpoints/details/:checkpoint`.
pub(in super::super) fn checkpoint(job: &JobMaster, id: CheckpointId) -> Option<Value> {
    job.checkpoint_history().get(id).map(|record| of(job, record, true))
}

/// `/jobs/:id/checkpoints/details/:checkpoint/subtasks/:vertex`.
pub(in super::super) fn checkpoint_subtasks(job: &JobMaster, id: CheckpointId, vertex: usize) -> Option<Value> {
    let record = job.checkpoint_history().get(id)?;
    let Value::Object(mut block) = task(job, record, vertex) else { return None };
    let done: Vec<SubtaskRecord> = subtasks(record, vertex).filter_map(|(_, subtask)| subtask).collect();
    let figures = |figure: fn(&SubtaskRecord) -> u64| q8(done.iter().map(figure).collect());
    let duration = q8(done.iter().map(|done| done.acknowledged.0.saturating_sub(record.triggered.0)).collect());
    block.insert(
        "summary".to_owned(),
        json!({
            "checkpointed_size": figures(|done| done.bytes),
            "state_size": figures(|done| done.bytes),
            "end_to_end_duration": duration,
            "checkpoint_duration": {
                "sync": figures(|done| done.timings.sync_ms),
                "async": figures(|done| done.timings.async_ms),
            },
            "alignment": {
                "buffered": figures(|_| 0),
                "processed": figures(|_| 0),
                "persisted": figures(|_| 0),
                "duration": figures(|done| done.timings.alignment_ms),
            },
            "start_delay": figures(|done| done.timings.start_delay_ms),
        }),
    );
    let rows = subtasks(record, vertex).map(|(index, subtask)| match subtask {
        Some(done) => json!({
            "className": "completed",
            "index": index,
            "status": "completed",
            "ack_timestamp": done.acknowledged,
            "end_to_end_duration": done.acknowledged.0.saturating_sub(record.triggered.0),
            "checkpointed_size": done.bytes,
            "state_size": done.bytes,
            "checkpoint": { "sync": done.timings.sync_ms, "async": done.timings.async_ms },
            "alignment": { "buffered": 0, "processed": 0, "persisted": 0, "duration": done.timings.alignment_ms },
            "start_delay": done.timings.start_delay_ms,
            "unaligned_checkpoint": false,
            "aborted": false,
        }),
        None => json!({ "className": "pending", "index": index, "status": "pending_or_failed" }),
    });
    block.insert("subtasks".to_owned(), rows.collect());
    Some(Value::Object(block))
}

/// A checkpoint; `tasks` in the details alone.
fn of(job: &JobMaster, record: &CheckpointRecord, with_tasks: bool) -> Value {
    let (class, status) = status_of(record.status);
    let acknowledged = record.subtasks.values().flatten().count();
    let latest = record.subtasks.values().flatten().map(|subtask| subtask.acknowledged.0).max();
    let mut tasks = Map::new();
    if with_tasks {
        for (index, vertex) in job.graph().vertices.iter().enumerate() {
            if subtasks(record, index).next().is_some() {
                tasks.insert(vertex.id.to_string(), task(job, record, index));
            }
        }
    }
    let ended = record.ended.or(latest.map(crate::time::Now));
    let bytes = bytes_of(record, None);
    let mut checkpoint = json!({
        "className": class,
        "id": record.checkpoint,
        "status": status,
        "is_savepoint": record.savepoint,
        "savepointFormat": record.savepoint.then_some("CANONICAL"),
        "trigger_timestamp": record.triggered,
        "latest_ack_timestamp": latest.map_or(-1, u64::cast_signed),
        "checkpointed_size": bytes,
        "state_size": bytes,
        "end_to_end_duration": ended.map_or(0, |ended| ended.0.saturating_sub(record.triggered.0)),
        "alignment_buffered": 0,
        "processed_data": 0,
        "persisted_data": 0,
        "num_subtasks": record.subtasks.len(),
        "num_acknowledged_subtasks": acknowledged,
        "checkpoint_type": if record.savepoint { "SAVEPOINT" } else { "CHECKPOINT" },
        "tasks": tasks,
    });
    match record.status {
        CheckpointStatus::InProgress => {}
        CheckpointStatus::Completed => {
            checkpoint["external_path"] = json!(record.directory);
            checkpoint["discarded"] = json!(false);
        }
        CheckpointStatus::Failed => {
            checkpoint["failure_timestamp"] = json!(record.ended);
            checkpoint["failure_message"] = json!(record.failure.as_ref().map(ToString::to_string));
        }
    }
    checkpoint
}

fn status_of(status: CheckpointStatus) -> (&'static str, &'static str) {
    match status {
        CheckpointStatus::InProgress => ("in_progress", "IN_PROGRESS"),
        CheckpointStatus::Completed => ("completed", "COMPLETED"),
        CheckpointStatus::Failed => ("failed", "FAILED"),
    }
}

fn subtasks(record: &CheckpointRecord, vertex: usize) -> impl Iterator<Item = (usize, Option<SubtaskRecord>)> {
    let of_vertex = record.subtasks.range((vertex, 0)..(vertex + 1, 0));
    of_vertex.map(|((_, index), subtask)| (*index, *subtask))
}

fn bytes_of(record: &CheckpointRecord, vertex: Option<usize>) -> u64 {
    let wanted = record.subtasks.iter().filter(|((of, _), _)| vertex.is_none_or(|vertex| *of == vertex));
    wanted.filter_map(|(_, subtask)| subtask.map(|subtask| subtask.bytes)).sum()
}

/// A vertex's part.
fn task(job: &JobMaster, record: &CheckpointRecord, vertex: usize) -> Value {
    let done: Vec<SubtaskRecord> = subtasks(record, vertex).filter_map(|(_, subtask)| subtask).collect();
    let latest = done.iter().map(|done| done.acknowledged.0).max();
    let bytes = bytes_of(record, Some(vertex));
    json!({
        "id": job.graph().vertices[vertex].id,
        "status": status_of(record.status).1,
        "latest_ack_timestamp": latest.map_or(-1, u64::cast_signed),
        "checkpointed_size": bytes,
        "state_size": bytes,
        "end_to_end_duration": latest.map_or(0, |latest| latest.saturating_sub(record.triggered.0)),
        "alignment_buffered": 0,
        "processed_data": 0,
        "persisted_data": 0,
        "num_subtasks": subtasks(record, vertex).count(),
        "num_acknowledged_subtasks": done.len(),
    })
}

/// Over the completed ones that are remembered.
fn summary(history: &History) -> Value {
    let completed: Vec<&CheckpointRecord> =
        history.records().filter(|record| record.status == CheckpointStatus::Completed).collect();
    let figures = |figure: fn(&CheckpointRecord) -> u64| q8(completed.iter().map(|record| figure(record)).collect());
    let duration = |record: &CheckpointRecord| record.ended.map_or(0, |ended| ended.0 - record.triggered.0);
    json!({
        "checkpointed_size": figures(|record| record.state_bytes),
        "state_size": figures(|record| record.state_bytes),
        "end_to_end_duration": figures(duration),
        "alignment_buffered": figures(|_| 0),
        "processed_data": figures(|_| 0),
        "persisted_data": figures(|_| 0),
    })
}

/// Flink's eight figures of a distribution.
fn q8(mut values: Vec<u64>) -> Value {
    values.sort_unstable();
    let (Some(min), Some(max)) = (values.first(), values.last()) else {
        return json!({
            "min": 0, "max": 0, "avg": 0, "p50": "NaN", "p90": "NaN", "p95": "NaN", "p99": "NaN", "p999": "NaN",
        });
    };
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize] as f64;
    json!({
        "min": min,
        "max": max,
        "avg": values.iter().sum::<u64>() / values.len() as u64,
        "p50": at(0.5),
        "p90": at(0.9),
        "p95": at(0.95),
        "p99": at(0.99),
        "p999": at(0.999),
    })
}

/// How far a job that is drained has come, in the form of a savepoint's progress.
pub(in super::super) fn drain_progress(status: JobStatus) -> Value {
    match status {
        JobStatus::Finished => json!({ "status": { "id": "COMPLETED" }, "operation": { "location": "" } }),
        JobStatus::Failed | JobStatus::Canceled => json!({
            "status": { "id": "COMPLETED" },
            "operation": { "failure-cause": throwable(&format!("the job did not finish: it is {status}")) },
        }),
        JobStatus::Initializing
        | JobStatus::Created
        | JobStatus::Running
        | JobStatus::Failing
        | JobStatus::Cancelling
        | JobStatus::Restarting
        | JobStatus::Suspended => json!({ "status": { "id": "IN_PROGRESS" }, "operation": null }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_without_values_says_so_as_flink_does() {
        assert_eq!((&q8(vec![])["p50"], &q8(vec![])["max"]), (&json!("NaN"), &json!(0)));
        let figures = q8(vec![4, 1, 3, 2, 5]);
        assert_eq!((&figures["min"], &figures["max"], &figures["avg"]), (&json!(1), &json!(5), &json!(3)));
        assert_eq!((&figures["p50"], &figures["p999"]), (&json!(3.0), &json!(5.0)));
    }
}

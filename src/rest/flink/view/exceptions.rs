//! A job's failures.

use serde_json::{Value, json};

use crate::graph::task::Failure;
use crate::ids::TaskManagerId;
use crate::jobmanager::core::Core;
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master::FailureRecord;
use crate::rpc::ErrorKind;

/// What stands where Flink has a Java class name.
pub(super) fn exception_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::User => "flott.UserFailure",
        ErrorKind::Permanent => "flott.PermanentFailure",
        ErrorKind::Transient => "flott.TransientFailure",
        ErrorKind::Fenced => "flott.FencedFailure",
    }
}

pub(in super::super) fn exceptions(core: &Core, job: &Job, max: usize) -> Value {
    let records = job.master().map(|master| master.failures()).unwrap_or_default();
    let truncated = records.len() > max;
    let newest = records.iter().rev().take(max);
    let mut entries: Vec<Value> = newest.clone().map(|record| entry(core, record)).collect();
    if job.master().is_none()
        && let Some((failure, outcome)) = job.failure().zip(job.outcome())
    {
        let (at, failure) = (outcome.at, failure.clone());
        let record =
            FailureRecord { at, failure, task: None, attempt: None, task_manager: None, restarted: Vec::new() };
        entries.push(entry(core, &record));
    }
    let root =
        job.failure().map(Failure::to_string).or_else(|| records.last().map(|record| record.failure.to_string()));
    let at = job.outcome().map(|outcome| outcome.at).or_else(|| records.last().map(|record| record.at));
    let all: Vec<Value> = newest.map(|record| old_entry(core, record)).collect();
    json!({
        "root-exception": root,
        "timestamp": at.map(|at| at.as_millis()),
        "all-exceptions": all,
        "truncated": truncated,
        "exceptionHistory": { "entries": entries, "truncated": truncated },
    })
}

/// Where a TaskManager is, if it is still there.
fn endpoint(core: &Core, id: Option<&TaskManagerId>) -> Option<String> {
    core.task_managers().get(id?).map(|found| found.register.http_address.clone())
}

fn entry(core: &Core, record: &FailureRecord) -> Value {
    let mut entry = json!({
        "exceptionName": exception_name(record.failure.kind),
        "stacktrace": record.failure.to_string(),
        "timestamp": record.at.as_millis(),
        "failureLabels": {},
        "concurrentExceptions": [],
    });
    if !record.restarted.is_empty() {
        entry["failureLabels"] = json!({ "restarted-region": record.restarted.join(", ") });
    }
    if let Some(task) = &record.task {
        entry["taskName"] = json!(task);
    }
    if let Some(id) = &record.task_manager {
        entry["taskManagerId"] = json!(id);
    }
    if let Some(endpoint) = endpoint(core, record.task_manager.as_ref()) {
        entry["endpoint"] = json!(endpoint);
    }
    entry
}

/// As Flink 1.x wrote it.
fn old_entry(core: &Core, record: &FailureRecord) -> Value {
    let endpoint = endpoint(core, record.task_manager.as_ref());
    json!({
        "exception": record.failure.to_string(),
        "task": record.task,
        "location": endpoint,
        "endpoint": endpoint,
        "timestamp": record.at.as_millis(),
        "taskManagerId": record.task_manager,
    })
}

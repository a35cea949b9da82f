//! A job as a whole.

use serde_json::{Map, Value, json};

use super::accumulators::listed;
use super::figures::{RECONCILING, aggregate, duration, io_block, moment, state_counts};
use super::plan::{job_type, plan};
use super::throwable::throwable;
use crate::graph::task::ExecutionState;
use crate::jobmanager::core::Core;
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master::{History, JobMaster};
use crate::protocol::job::JobStatus;
use crate::storage::BlobId;
use crate::time::Now;

/// When each status was entered; 0 if never.
pub(super) fn timestamps(job: &Job) -> Map<String, Value> {
    let since = |status: JobStatus| match job.master() {
        Some(master) => master.since().get(&status).copied(),
        None if status == JobStatus::Initializing => Some(job.submitted),
        None => job.outcome().filter(|outcome| outcome.status == status).map(|outcome| outcome.at),
    };
    let mut timestamps: Map<String, Value> = JobStatus::ALL
        .iter()
        .map(|status| (status.as_str().to_owned(), json!(since(*status).map_or(0, Now::as_millis))))
        .collect();
    timestamps.insert(RECONCILING.to_owned(), json!(0));
    timestamps
}

pub(super) fn ended_at(job: &Job) -> Option<Now> {
    job.outcome().map(|outcome| outcome.at)
}

fn states(master: &JobMaster) -> impl Iterator<Item = ExecutionState> {
    master.execution().subtasks().map(|(_, subtask)| subtask.current.state)
}

pub(in super::super) fn job_overview(job: &Job, now: Now) -> Value {
    let counts = state_counts(job.master().into_iter().flat_map(states));
    let mut tasks: Map<String, Value> =
        counts.into_iter().map(|(name, count)| (name.to_ascii_lowercase(), count)).collect();
    let total = job.master().map_or(0, |master| master.execution().subtasks().count());
    tasks.insert("total".to_owned(), json!(total));
    let modified = job.master().map_or(job.submitted, |master| {
        let statuses = master.since().values().copied();
        let executions =
            master.execution().subtasks().filter_map(|(_, subtask)| subtask.current.since.values().max().copied());
        statuses.chain(executions).max().unwrap_or(job.submitted)
    });
    json!({
        "jid": job.id(),
        "name": job.name(),
        "jobType": job_type(job),
        "schedulerType": "Default",
        "start-time": job.submitted.as_millis(),
        "end-time": moment(ended_at(job)),
        "duration": duration(Some(job.submitted), ended_at(job), now),
        "state": job.status(),
        "last-modification": ended_at(job).unwrap_or(modified).as_millis(),
        "tasks": tasks,
        "pending-operators": 0,
    })
}

pub(in super::super) fn job(core: &Core, job: &Job, now: Now) -> Value {
    let vertices = job.master().map(|master| vertices(master, now)).unwrap_or_default();
    let vertex_states = vertices.iter().filter_map(|vertex| {
        let name = vertex["status"].as_str()?;
        ExecutionState::ALL.into_iter().find(|state| state.as_str() == name)
    });
    let mut body = json!({
        "jid": job.id(),
        "application-id": job.id(),
        "name": job.name(),
        // To stop is to stop with a savepoint; a drain needs none and is always possible.
        "isStoppable": false,
        "state": job.status(),
        "job-type": job_type(job),
        "schedulerType": "Default",
        "start-time": job.submitted.as_millis(),
        "end-time": moment(ended_at(job)),
        "duration": duration(Some(job.submitted), ended_at(job), now),
        "maxParallelism": -1,
        "now": now.as_millis(),
        "timestamps": timestamps(job),
        "status-counts": state_counts(vertex_states),
        "vertices": vertices,
        "plan": plan(job),
        "pending-operators": 0,
        "version": job.version(),
        "progress": progress(job),
    });
    // Extension: with the job's end, so that who follows it needs not ask again, when the JobManager may be gone.
    let accumulators = job.master().map(JobMaster::accumulators).unwrap_or_default();
    if !accumulators.is_empty() {
        body["accumulators"] = json!(listed(&accumulators));
    }
    if let Some(why) = core.why_waiting(job.id()) {
        body["waiting-reason"] = json!(why);
    }
    body
}

/// Why nothing becomes visible any more: of the last checkpoint, if it has failed.
fn checkpoint_failure(history: &History) -> Option<String> {
    let failed = history.latest_failed()?;
    let since = history.latest_completed().is_none_or(|completed| completed.checkpoint < failed.checkpoint);
    let failure = failed.failure.as_ref().filter(|_| since)?;
    Some(format!("checkpoint {} failed, the job runs on: {}", failed.checkpoint, failure.message))
}

/// Extension: what people who wait want to know.
fn progress(job: &Job) -> Value {
    let mut progress = json!({
        "failure": job.failure().map(ToString::to_string),
        "restarts": job.master().map_or(0, JobMaster::restarts),
        "last-failure": job.master().and_then(|master| master.failures().last()).map(|last| last.failure.to_string()),
    });
    let Some(master) = job.master() else { return progress };
    progress["delivery"] = json!(master.plan().delivery().to_string());
    progress["checkpoint-failure"] = json!(checkpoint_failure(master.checkpoint_history()));
    let (mut discovered, mut finished, mut complete) = (0, 0, true);
    for (_, splits) in master.splits().sources() {
        discovered += splits.discovered();
        finished += splits.finished();
        complete &= splits.is_complete();
    }
    progress["splits-discovered"] = json!(discovered);
    progress["splits-finished"] = json!(finished);
    progress["splits-complete"] = json!(complete);
    let is_source = |vertex: usize| master.graph().edges.iter().all(|edge| edge.target != vertex);
    let is_sink = |vertex: usize| master.graph().edges.iter().all(|edge| edge.source != vertex);
    let (mut read, mut written, mut bad) = ((0, 0), 0, 0);
    for ((vertex, _), subtask) in master.execution().subtasks() {
        let metrics = subtask.current.metrics;
        if is_source(vertex) {
            read = (read.0 + metrics.records_in, read.1 + metrics.bytes_in);
        }
        if is_sink(vertex) {
            written += metrics.records_out;
        }
        bad += metrics.bad_records;
    }
    progress["records-read"] = json!(read.0);
    progress["bytes-read"] = json!(read.1);
    progress["records-written"] = json!(written);
    progress["bad-records"] = json!(bad);
    progress
}

fn vertices(master: &JobMaster, now: Now) -> Vec<Value> {
    master.graph().vertices.iter().enumerate().map(|(index, _)| vertex(master, index, now)).collect()
}

fn vertex(master: &JobMaster, index: usize, now: Now) -> Value {
    let vertex = &master.graph().vertices[index];
    let executions = master.execution().vertices[index].iter().map(|subtask| &subtask.current);
    let states: Vec<ExecutionState> = executions.clone().map(|execution| execution.state).collect();
    let start = executions.clone().filter_map(|execution| execution.started_at()).min();
    let ended = states.iter().all(|state| state.is_terminal());
    let end = ended.then(|| executions.clone().filter_map(|execution| execution.ended_at()).max()).flatten();
    json!({
        "id": vertex.id,
        "slotSharingGroupId": group_id(&vertex.slot_sharing_group),
        "slotSharingGroupName": vertex.slot_sharing_group,
        "name": vertex.name,
        "maxParallelism": vertex.max_parallelism,
        "parallelism": vertex.parallelism,
        "status": aggregate(&states),
        "start-time": moment(start),
        "end-time": moment(end.filter(|_| start.is_some())),
        "duration": duration(start, end, now),
        "tasks": state_counts(states.into_iter()),
        "metrics": io_block(executions),
    })
}

/// 32 hex digits that stand for a slot sharing group.
fn group_id(name: &str) -> String {
    BlobId::of(name.as_bytes()).as_str().chars().take(32).collect()
}

pub(in super::super) fn execution_result(job: &Job, now: Now) -> Value {
    let Some(outcome) = job.outcome() else {
        return json!({ "status": { "id": "IN_PROGRESS" } });
    };
    let status = match outcome.status {
        JobStatus::Finished => "SUCCEEDED",
        JobStatus::Canceled => "CANCELED",
        JobStatus::Failed => "FAILED",
        JobStatus::Initializing
        | JobStatus::Created
        | JobStatus::Running
        | JobStatus::Failing
        | JobStatus::Cancelling
        | JobStatus::Restarting
        | JobStatus::Suspended => "UNKNOWN",
    };
    let mut result = json!({
        "id": job.id(),
        "application-status": status,
        "accumulator-results": {},
        "net-runtime": duration(Some(job.submitted), Some(outcome.at), now),
    });
    if let Some(failure) = &outcome.failure {
        result["failure-cause"] = throwable(&failure.to_string());
    }
    json!({ "status": { "id": "COMPLETED" }, "job-execution-result": result })
}

pub(in super::super) fn job_config(job: &Job) -> Value {
    let configuration = &job.submission.configuration;
    let get = |key: &str| configuration.get(key).cloned();
    let shown: Map<String, Value> = configuration
        .iter()
        .map(|(key, value)| {
            let value = if crate::config::is_secret(key) { crate::config::MASK } else { value.as_str() };
            (key.clone(), json!(value))
        })
        .collect();
    let parallelism: i64 = get("parallelism.default").and_then(|text| text.parse().ok()).unwrap_or(-1);
    json!({
        "jid": job.id(),
        "name": job.name(),
        "execution-config": {
            "execution-mode": "PIPELINED",
            "restart-strategy": get("restart-strategy.type").unwrap_or_else(|| "none".to_owned()),
            "job-parallelism": parallelism,
            "object-reuse-mode": false,
            "user-config": shown,
        },
    })
}

//! A job as an application of its own: Flink 2.3's way to see what came from one submission.

use serde_json::{Map, Value, json};

use super::exceptions::exception_name;
use super::figures::{duration, moment};
use super::job::{ended_at, job_overview, timestamps};
use crate::jobmanager::job::Job;
use crate::protocol::job::JobStatus;
use crate::time::Now;

/// Every state of an application.
const STATES: [&str; 7] = ["CREATED", "RUNNING", "FAILING", "FAILED", "CANCELING", "CANCELED", "FINISHED"];

fn state(job: &Job) -> &'static str {
    match job.status() {
        JobStatus::Initializing | JobStatus::Created => "CREATED",
        JobStatus::Running | JobStatus::Restarting | JobStatus::Suspended => "RUNNING",
        JobStatus::Failing => "FAILING",
        JobStatus::Failed => "FAILED",
        JobStatus::Cancelling => "CANCELING",
        JobStatus::Canceled => "CANCELED",
        JobStatus::Finished => "FINISHED",
    }
}

pub(in super::super) fn application_overview(job: &Job, now: Now) -> Value {
    json!({
        "id": job.id(),
        "name": job.name(),
        "start-time": job.submitted.as_millis(),
        "end-time": moment(ended_at(job)),
        "duration": duration(Some(job.submitted), ended_at(job), now),
        "status": state(job),
        "jobs": { job.status().as_str(): 1 },
    })
}

pub(in super::super) fn application(job: &Job, now: Now) -> Value {
    let of_job = timestamps(job);
    let entered = |state: &str| match state {
        "CREATED" => json!(job.submitted.as_millis()),
        "CANCELING" => of_job["CANCELLING"].clone(),
        same => of_job[same].clone(),
    };
    let timestamps: Map<String, Value> = STATES.iter().map(|state| ((*state).to_owned(), entered(state))).collect();
    json!({
        "id": job.id(),
        "name": job.name(),
        "status": state(job),
        "start-time": job.submitted.as_millis(),
        "end-time": moment(ended_at(job)),
        "duration": duration(Some(job.submitted), ended_at(job), now),
        "timestamps": timestamps,
        "jobs": [job_overview(job, now)],
    })
}

/// What kept the program from becoming a job; failures of the job are the job's.
pub(in super::super) fn application_exceptions(job: &Job) -> Value {
    let entries: Vec<Value> = match (job.master(), job.failure(), job.outcome()) {
        (None, Some(failure), Some(outcome)) => vec![json!({
            "exceptionName": exception_name(failure.kind),
            "stacktrace": failure.to_string(),
            "timestamp": outcome.at.as_millis(),
            "jobId": job.id(),
        })],
        _ => Vec::new(),
    };
    json!({ "exceptionHistory": { "entries": entries } })
}

//! Routes about checkpoints and savepoints.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::answer::{Answer, Content, Query, Refusal, Result};
use super::jobs::{WAIT_MAX, look, parse, refused};
use super::vertices::look_at_vertex;
use super::view;
use crate::graph::plan::ExecutionMode;
use crate::ids::{CheckpointId, JobId, TriggerId};
use crate::jobmanager::Handle;
use crate::jobmanager::job_master::{Continuation, Trigger, TriggerState};
use crate::storage::places::{is_absolute, place_of};
use crate::time::Deadline;

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/jobs/{job}/checkpoints", get(checkpoints).post(trigger_checkpoint))
        .route("/jobs/{job}/checkpoints/config", get(config))
        .route("/jobs/{job}/checkpoints/details/{checkpoint}", get(details))
        .route("/jobs/{job}/checkpoints/details/{checkpoint}/subtasks/{vertex}", get(subtasks))
        .route("/jobs/{job}/checkpoints/{trigger}", get(checkpoint_progress))
        .route("/jobs/{job}/savepoints", post(trigger_savepoint))
        .route("/jobs/{job}/savepoints/{trigger}", get(savepoint_progress))
        .route("/jobs/{job}/stop", post(stop))
}

fn disabled() -> Refusal {
    Refusal::not_found("Checkpointing was not enabled.")
}

async fn checkpoints(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    let found = look(&handle, &job, |_, job, _| job.master().and_then(view::checkpoints)).await?;
    found.map(Answer::ok).ok_or_else(disabled)
}

async fn config(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    let found = look(&handle, &job, |_, job, _| job.master().and_then(view::checkpoints_config)).await?;
    found.map(Answer::ok).ok_or_else(disabled)
}

fn checkpoint_id(text: &str) -> Result<CheckpointId> {
    let id = text.parse().map(CheckpointId);
    id.map_err(|_| Refusal::bad_request(format!("`{text}` is not a checkpoint's id; it is a whole number, from 1")))
}

async fn details(State(handle): State<Handle>, Path((job, checkpoint)): Path<(String, String)>) -> Result {
    let id = checkpoint_id(&checkpoint)?;
    let found = look(&handle, &job, move |_, job, _| job.master().and_then(|job| view::checkpoint(job, id))).await?;
    found
        .map(Answer::ok)
        .ok_or_else(|| Refusal::not_found(format!("Could not find checkpointing statistics for checkpoint {id}.")))
}

async fn subtasks(
    State(handle): State<Handle>,
    Path((job, checkpoint, vertex)): Path<(String, String, String)>,
) -> Result {
    let id = checkpoint_id(&checkpoint)?;
    look_at_vertex(&handle, (job, vertex), move |_, job, vertex, _| {
        view::checkpoint_subtasks(job.master()?, id, vertex)
    })
    .await
    .map(Answer::ok)
}

/// A body, empty or JSON.
fn body_of<T: DeserializeOwned>(body: &Bytes) -> Result<T> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Refusal::unreadable(&error))
}

/// As Flink has them.
#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum CheckpointType {
    Configured,
    Full,
    Incremental,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TriggerCheckpoint {
    /// Which kind is the job's to decide here; the word is still read, so that a misspelt one is told.
    #[serde(rename = "checkpointType")]
    _checkpoint_type: Option<CheckpointType>,
    #[serde(rename = "triggerId")]
    trigger: Option<TriggerId>,
}

async fn trigger_checkpoint(State(handle): State<Handle>, Path(job): Path<String>, Content(body): Content) -> Result {
    let wanted: TriggerCheckpoint = body_of(&body)?;
    let id = wanted.trigger.unwrap_or_else(new_id);
    begin(&handle, parse(&job)?, Trigger { id, savepoint: None, then: Continuation::GoOn }).await
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TriggerSavepoint {
    #[serde(rename = "target-directory")]
    target_directory: Option<String>,
    #[serde(rename = "cancel-job")]
    cancel_job: bool,
    #[serde(rename = "triggerId")]
    trigger: Option<TriggerId>,
}

async fn trigger_savepoint(State(handle): State<Handle>, Path(job): Path<String>, Content(body): Content) -> Result {
    let wanted: TriggerSavepoint = body_of(&body)?;
    let savepoint = Some(target(&handle, &job, wanted.target_directory).await?);
    let id = wanted.trigger.unwrap_or_else(new_id);
    let then = if wanted.cancel_job { Continuation::Suspend } else { Continuation::GoOn };
    begin(&handle, parse(&job)?, Trigger { id, savepoint, then }).await
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stop {
    #[serde(rename = "targetDirectory")]
    target_directory: Option<String>,
    drain: bool,
    #[serde(rename = "triggerId")]
    trigger: Option<TriggerId>,
}

/// Where a job is drained and no directory is known for a savepoint, there is none, and the answer's `request-id` is the job's own id.
async fn stop(State(handle): State<Handle>, Path(job): Path<String>, Content(body): Content) -> Result {
    let wanted: Stop = body_of(&body)?;
    let id: JobId = parse(&job)?;
    let named = wanted.target_directory.is_some();
    let batch = look(&handle, &job, |_, job, _| {
        job.master().is_some_and(|master| master.plan().resolved_mode() == ExecutionMode::Batch)
    });
    let batch = batch.await?;
    let place = place(&handle, &job, wanted.target_directory).await?;
    if wanted.drain && (place.is_none() || batch && !named) {
        handle.stop(id).await.map_err(refused)?;
        return Ok(Answer::accepted(json!({ "request-id": id })));
    }
    let savepoint = Some(directory(place)?);
    let trigger = wanted.trigger.unwrap_or_else(new_id);
    let then = if wanted.drain { Continuation::Drain } else { Continuation::Suspend };
    begin(&handle, id, Trigger { id: trigger, savepoint, then }).await
}

fn new_id() -> TriggerId {
    TriggerId(fastrand::u128(..))
}

/// Where a savepoint goes.
async fn target(handle: &Handle, job: &str, wanted: Option<String>) -> Result<String> {
    directory(place(handle, job, wanted).await?)
}

/// Where a savepoint goes by the request, else by the job's configuration.
async fn place(handle: &Handle, job: &str, wanted: Option<String>) -> Result<Option<String>> {
    let configured = look(handle, job, |_, job, _| {
        job.master().and_then(|master| master.checkpoint_settings().savepoint_directory.clone())
    });
    match wanted.filter(|place| !place.is_empty()) {
        Some(place) => Ok(Some(place)),
        None => configured.await,
    }
}

fn directory(place: Option<String>) -> Result<String> {
    let place = place.ok_or_else(|| {
        Refusal::bad_request("no directory for the savepoint: name one, or set execution.checkpointing.savepoint-dir")
    })?;
    let path = place_of(&place).map_err(|error| Refusal::bad_request(error.to_string()))?;
    if !is_absolute(&path) {
        return Err(Refusal::bad_request(format!(
            "{place} is no absolute path; every node must find the savepoint by it"
        )));
    }
    Ok(path)
}

async fn begin(handle: &Handle, job: JobId, trigger: Trigger) -> Result {
    let id = trigger.id;
    // Asked again with the id it chose, a client wants what it asked for before.
    let name = job.to_string();
    let known =
        look(handle, &name, move |_, job, _| job.master().is_some_and(|master| master.trigger_state(id).is_some()));
    if !known.await? {
        handle.trigger(job, trigger).await.map_err(refused)?;
    }
    Ok(Answer::accepted(json!({ "request-id": id })))
}

async fn state_of(handle: &Handle, job: &str, trigger: &str) -> Result<TriggerState> {
    let id: TriggerId = parse(trigger)?;
    let found = look(handle, job, move |_, job, _| job.master()?.trigger_state(id).cloned()).await?;
    found.ok_or_else(|| {
        Refusal::not_found(format!("There is no savepoint operation with triggerId={trigger} for job {job}."))
    })
}

/// Extension: how long to wait for the operation's end before it is said to be under way.
#[derive(Deserialize)]
struct Wait {
    wait_ms: Option<u64>,
}

/// Once it has ended, or the wait is over.
async fn awaited(handle: &Handle, job: &str, trigger: &str, wait: Wait) -> Result<TriggerState> {
    let deadline = Deadline::after(Duration::from_millis(wait.wait_ms.unwrap_or(0)).min(WAIT_MAX));
    loop {
        // Read first: what comes between is news then.
        let version = look(handle, job, |_, job, _| job.version()).await?;
        let state = state_of(handle, job, trigger).await?;
        if state != TriggerState::InProgress || deadline.passed() {
            return Ok(state);
        }
        handle.watch(parse(job)?, version, deadline.remaining()).await?;
    }
}

async fn savepoint_progress(
    State(handle): State<Handle>,
    Path((job, trigger)): Path<(String, String)>,
    Query(wait): Query<Wait>,
) -> Result {
    if job == trigger {
        return look(&handle, &job, |_, job, _| view::drain_progress(job.status())).await.map(Answer::ok);
    }
    let operation = match awaited(&handle, &job, &trigger, wait).await? {
        TriggerState::InProgress => return Ok(Answer::ok(in_progress())),
        TriggerState::Completed { directory, .. } => json!({ "location": directory }),
        TriggerState::Failed(failure) => json!({ "failure-cause": view::throwable(&failure.to_string()) }),
    };
    Ok(Answer::ok(json!({ "status": { "id": "COMPLETED" }, "operation": operation })))
}

async fn checkpoint_progress(
    State(handle): State<Handle>,
    Path((job, trigger)): Path<(String, String)>,
    Query(wait): Query<Wait>,
) -> Result {
    let operation = match awaited(&handle, &job, &trigger, wait).await? {
        TriggerState::InProgress => return Ok(Answer::ok(in_progress())),
        TriggerState::Completed { checkpoint, .. } => json!({ "checkpointId": checkpoint }),
        TriggerState::Failed(failure) => json!({ "failureCause": view::throwable(&failure.to_string()) }),
    };
    Ok(Answer::ok(json!({ "status": { "id": "COMPLETED" }, "operation": operation })))
}

fn in_progress() -> serde_json::Value {
    json!({ "status": { "id": "IN_PROGRESS" }, "operation": null })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fuzz::fuzz;

    #[test]
    fn fuzz_requests_for_checkpoints() {
        let id = "0123456789abcdef0123456789abcdef";
        let corpus = [
            format!(r#"{{"checkpointType":"FULL","triggerId":"{id}"}}"#),
            format!(r#"{{"target-directory":"/savepoints","cancel-job":false,"triggerId":"{id}"}}"#),
            format!(r#"{{"targetDirectory":"/savepoints","drain":true,"triggerId":"{id}"}}"#),
            String::new(),
        ];
        fuzz("checkpoint-requests", &corpus.map(String::into_bytes), |bytes| {
            let bytes = Bytes::copy_from_slice(bytes);
            let _ = body_of::<TriggerCheckpoint>(&bytes);
            let _ = body_of::<TriggerSavepoint>(&bytes);
            let _ = body_of::<Stop>(&bytes);
        });
    }
}

//! Routes about jobs.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Query, Refusal, Result};
use super::view;
use crate::ids::{JobId, VertexId};
use crate::jobmanager::core::Core;
use crate::jobmanager::job::Job;
use crate::jobmanager::{Handle, Refused};
use crate::time::Now;

/// A client may wait this long for news of a job.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);
/// Failures shown by default.
const EXCEPTIONS_DEFAULT: usize = 20;

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/jobs", get(list).post(refuse_java))
        .route("/jobs/overview", get(overview))
        .route("/jobs/{job}", get(details).patch(terminate))
        .route("/jobs/{job}/status", get(status))
        .route("/jobs/{job}/execution-result", get(execution_result))
        .route("/jobs/{job}/exceptions", get(exceptions))
        .route("/jobs/{job}/plan", get(plan))
        .route("/jobs/{job}/config", get(config))
        .route("/jobs/{job}/accumulators", get(accumulators))
        .route("/jobs/{job}/yarn-cancel", get(cancel))
        .route("/jobs/{job}/vertices/{vertex}", get(vertex))
        .route("/jobs/{job}/vertices/{vertex}/taskmanagers", get(vertex_task_managers))
        .route("/jobs/{job}/vertices/{vertex}/subtasktimes", get(vertex_times))
        .route("/jobs/{job}/vertices/{vertex}/accumulators", get(vertex_accumulators))
        .route("/jobs/{job}/vertices/{vertex}/subtasks/accumulators", get(subtask_accumulators))
        .route("/jobs/{job}/vertices/{vertex}/backpressure", get(backpressure))
}

pub(super) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T> {
    text.parse().map_err(|error: T::Err| Refusal::bad_request(error.to_string()))
}

pub(super) fn not_found(job: JobId) -> Refusal {
    Refusal::not_found(format!("org.apache.flink.runtime.rest.NotFoundException: Job {job} not found"))
}

pub(super) fn refused(refused: Refused) -> Refusal {
    match refused {
        Refused::NoSuchJob(job) => not_found(job),
        refused @ (Refused::Conflict(_) | Refused::Invalid(_) | Refused::ShuttingDown) => refused.into(),
    }
}

/// Looks at one job.
pub(super) async fn look<T: Send + 'static>(
    handle: &Handle,
    job: &str,
    look: impl FnOnce(&Core, &Job, Now) -> T + Send + 'static,
) -> Result<T> {
    let id: JobId = parse(job)?;
    let found = handle.view(move |core, now| core.job(id).map(|job| look(core, job, now))).await?;
    found.ok_or_else(|| not_found(id))
}

async fn list(State(handle): State<Handle>) -> Result {
    let jobs = handle
        .view(|core, _| core.jobs().map(|job| json!({ "id": job.id(), "status": job.status() })).collect::<Value>())
        .await?;
    Ok(Answer::ok(json!({ "jobs": jobs })))
}

/// Flink's client sends serialised Java here.
async fn refuse_java() -> Refusal {
    Refusal::new(
        StatusCode::NOT_IMPLEMENTED,
        "jobs here are native programs: upload one with POST /jars/upload and run it with POST /jars/:id/run, or use flott run",
    )
}

async fn overview(State(handle): State<Handle>) -> Result {
    let jobs = handle.view(|core, now| core.jobs().map(|job| view::job_overview(job, now)).collect::<Value>()).await?;
    Ok(Answer::ok(json!({ "jobs": jobs })))
}

#[derive(Deserialize)]
struct Wait {
    since: Option<u64>,
    wait_ms: Option<u64>,
}

async fn details(State(handle): State<Handle>, Path(job): Path<String>, Query(wait): Query<Wait>) -> Result {
    if let Some(since) = wait.since {
        let limit = Duration::from_millis(wait.wait_ms.unwrap_or(0)).min(WAIT_MAX);
        handle.watch(parse(&job)?, since, limit).await?;
    }
    look(&handle, &job, view::job).await.map(Answer::ok)
}

async fn status(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    let status = look(&handle, &job, |_, job, _| job.status()).await?;
    Ok(Answer::ok(json!({ "status": status })))
}

async fn execution_result(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    look(&handle, &job, |_, job, now| view::execution_result(job, now)).await.map(Answer::ok)
}

#[derive(Deserialize)]
struct Exceptions {
    #[serde(rename = "maxExceptions")]
    max: Option<usize>,
}

async fn exceptions(State(handle): State<Handle>, Path(job): Path<String>, Query(wanted): Query<Exceptions>) -> Result {
    let max = wanted.max.unwrap_or(EXCEPTIONS_DEFAULT);
    look(&handle, &job, move |core, job, _| view::exceptions(core, job, max)).await.map(Answer::ok)
}

async fn plan(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    let plan = look(&handle, &job, |_, job, _| view::plan(job)).await?;
    Ok(Answer::ok(json!({ "plan": plan })))
}

async fn config(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    look(&handle, &job, |_, job, _| view::job_config(job)).await.map(Answer::ok)
}

async fn accumulators(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    look(&handle, &job, |_, job, _| view::accumulators(job)).await.map(Answer::ok)
}

async fn cancel(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    handle.cancel(parse(&job)?).await.map_err(refused)?;
    Ok(Answer::accepted(json!({})))
}

#[derive(Deserialize)]
struct Terminate {
    mode: Option<String>,
}

async fn terminate(state: State<Handle>, job: Path<String>, Query(wanted): Query<Terminate>) -> Result {
    match wanted.mode.unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "cancel" => cancel(state, job).await,
        "stop" => Err(Refusal::new(
            StatusCode::PERMANENT_REDIRECT,
            "The termination mode \"stop\" has been removed; use POST /jobs/:id/stop",
        )),
        other => Err(Refusal::bad_request(format!("`{other}` is not a termination mode; use cancel"))),
    }
}

/// Looks at one vertex of a job.
pub(super) async fn look_at_vertex(
    handle: &Handle,
    (job, vertex): (String, String),
    look_at: impl FnOnce(&Core, &Job, usize, Now) -> Option<Value> + Send + 'static,
) -> Result {
    let id: VertexId = parse(&vertex)?;
    let found = look(handle, &job, move |core, job, now| {
        let index = job.master()?.graph().vertex_index(id)?;
        look_at(core, job, index, now)
    })
    .await?;
    found.map(Answer::ok).ok_or_else(|| Refusal::not_found(format!("Vertex {id} not found")))
}

async fn vertex(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, view::vertex).await
}

async fn vertex_task_managers(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, view::vertex_task_managers).await
}

async fn vertex_times(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, view::vertex_times).await
}

async fn vertex_accumulators(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, |_, job, index, _| view::vertex_accumulators(job, index)).await
}

async fn subtask_accumulators(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, |core, job, index, _| view::subtask_accumulators(core, job, index)).await
}

async fn backpressure(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, |_, job, index, now| view::backpressure(job, index, now)).await
}

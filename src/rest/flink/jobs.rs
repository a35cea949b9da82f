//! Routes about jobs.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, patch, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Query, Refusal, Result};
use super::view;
use crate::ids::JobId;
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
        .route("/jobs/{job}/yarn-stop", get(mode_stop))
        .route("/jobs/{job}/clientHeartbeat", patch(client_heartbeat))
        .route("/jobs/{job}/rescaling", patch(rescaling))
        .route("/jobs/{job}/rescaling/{trigger}", get(rescaling))
        .route("/jobs/{job}/coordinators/{operator}", post(refuse_coordination))
        .route("/jobs/{job}/jobmanager/config", get(super::cluster::job_manager_config))
        .route("/jobs/{job}/jobmanager/environment", get(super::cluster::environment))
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

pub(super) async fn cancel(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    handle.cancel(parse(&job)?).await.map_err(refused)?;
    Ok(Answer::accepted(json!({})))
}

/// Flink answers so where it once stopped without a savepoint.
async fn mode_stop() -> Refusal {
    let message = "The termination mode \"stop\" has been removed; use POST /jobs/:id/stop";
    Refusal::new(StatusCode::PERMANENT_REDIRECT, message)
}

/// Attached clients say that they are still there. Their jobs do not end with them.
async fn client_heartbeat(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    look(&handle, &job, |_, _, _| ()).await?;
    Ok(Answer::accepted(json!({})))
}

/// Switched off in Flink since 1.9.
async fn rescaling() -> Refusal {
    let message = "Rescaling is temporarily disabled. See FLINK-12312; use PUT /jobs/:id/resource-requirements";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
}

/// Requests to operators are serialised Java.
async fn refuse_coordination() -> Refusal {
    Refusal::new(StatusCode::NOT_IMPLEMENTED, "operators here take no serialised Java requests")
}

#[derive(Deserialize)]
struct Terminate {
    mode: Option<String>,
}

async fn terminate(state: State<Handle>, job: Path<String>, Query(wanted): Query<Terminate>) -> Result {
    match wanted.mode.unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "cancel" => cancel(state, job).await,
        "stop" => Err(mode_stop().await),
        other => Err(Refusal::bad_request(format!("`{other}` is not a termination mode; use cancel"))),
    }
}

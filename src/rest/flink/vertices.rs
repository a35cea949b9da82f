//! Routes about the vertices of a job, their subtasks, and the executions of those.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, Result};
use super::jobs::{look, parse};
use super::view;
use crate::ids::VertexId;
use crate::jobmanager::Handle;
use crate::jobmanager::core::Core;
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master::Execution;
use crate::time::Now;

pub(super) fn routes() -> Router<Handle> {
    let vertex_routes = Router::new()
        .route("/", get(vertex))
        .route("/taskmanagers", get(task_managers))
        .route("/subtasktimes", get(times))
        .route("/accumulators", get(accumulators))
        .route("/backpressure", get(backpressure))
        .route("/watermarks", get(watermarks))
        .route("/flamegraph", get(flamegraph))
        .route("/jm-operator-metrics", get(nothing))
        .route("/subtasks/accumulators", get(subtask_accumulators))
        .route("/subtasks/{subtask}", get(subtask))
        .route("/subtasks/{subtask}/attempts/{attempt}", get(attempt))
        .route("/subtasks/{subtask}/attempts/{attempt}/accumulators", get(attempt_accumulators));
    Router::new().nest("/jobs/{job}/vertices/{vertex}", vertex_routes)
}

/// Looks at one vertex of a job.
pub(super) async fn look_at_vertex<T: Send + 'static>(
    handle: &Handle,
    (job, vertex): (String, String),
    look_at: impl FnOnce(&Core, &Job, usize, Now) -> Option<T> + Send + 'static,
) -> Result<T> {
    let id: VertexId = parse(&vertex)?;
    let found = look(handle, &job, move |core, job, now| {
        let index = job.master()?.graph().vertex_index(id)?;
        look_at(core, job, index, now)
    })
    .await?;
    found.ok_or_else(|| Refusal::not_found(format!("Vertex {id} not found")))
}

async fn vertex(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, view::vertex).await.map(Answer::ok)
}

async fn task_managers(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, view::vertex_task_managers).await.map(Answer::ok)
}

async fn times(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, view::vertex_times).await.map(Answer::ok)
}

async fn accumulators(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, |_, job, index, _| view::vertex_accumulators(job, index)).await.map(Answer::ok)
}

async fn subtask_accumulators(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, |core, job, index, _| view::subtask_accumulators(core, job, index))
        .await
        .map(Answer::ok)
}

async fn backpressure(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, |_, job, index, now| view::backpressure(job, index, now)).await.map(Answer::ok)
}

async fn watermarks(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, |_, job, index, _| view::watermarks(job, index)).await.map(Answer::ok)
}

/// Stacks are not sampled here: what Flink says where `rest.flamegraph.enabled` is off.
async fn flamegraph(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, |_, _, _, _| Some(())).await?;
    Ok(Answer::ok(json!({ "endTimestamp": -2 })))
}

/// Coordinators of operators have no metrics here.
async fn nothing(State(handle): State<Handle>, Path(path): Path<(String, String)>) -> Result {
    look_at_vertex(&handle, path, |_, _, _, _| Some(())).await?;
    Ok(Answer::ok(json!([])))
}

/// Looks at the execution of a subtask: of that number, or the current one.
async fn look_at_execution(
    handle: &Handle,
    (job, vertex): (String, String),
    (subtask, attempt): (String, Option<String>),
    look_at: impl FnOnce(&Core, &Job, &Execution, Now) -> Value + Send + 'static,
) -> Result {
    let subtask: usize = number(&subtask, "subtask")?;
    let attempt: Option<u32> = attempt.map(|text| number(&text, "attempt")).transpose()?;
    let found = look_at_vertex(handle, (job, vertex), move |core, job, index, now| {
        let of_subtask = job.master()?.execution().vertices[index].get(subtask);
        let execution = of_subtask.and_then(|subtask| match attempt {
            Some(attempt) => subtask.attempt(attempt),
            None => Some(&subtask.current),
        });
        Some(execution.map(|execution| look_at(core, job, execution, now)))
    });
    let unknown = || match attempt {
        Some(attempt) => format!("Attempt {attempt} of subtask {subtask} not found"),
        None => format!("Invalid subtask index for vertex: {subtask}"),
    };
    found.await?.map(Answer::ok).ok_or_else(|| Refusal::not_found(unknown()))
}

fn number<T: std::str::FromStr>(text: &str, what: &str) -> Result<T> {
    text.parse().map_err(|_| Refusal::bad_request(format!("`{text}` is not the number of a {what}")))
}

async fn subtask(State(handle): State<Handle>, Path((job, vertex, subtask)): Path<(String, String, String)>) -> Result {
    let shown = subtask.parse().unwrap_or_default(); // Refused below if it is no number.
    look_at_execution(&handle, (job, vertex), (subtask, None), move |core, job, execution, now| {
        view::execution(core, job, shown, execution, now)
    })
    .await
}

type AttemptPath = Path<(String, String, String, String)>;

async fn attempt(State(handle): State<Handle>, Path((job, vertex, subtask, attempt)): AttemptPath) -> Result {
    let shown = subtask.parse().unwrap_or_default(); // As above.
    look_at_execution(&handle, (job, vertex), (subtask, Some(attempt)), move |core, job, execution, now| {
        view::execution(core, job, shown, execution, now)
    })
    .await
}

async fn attempt_accumulators(
    State(handle): State<Handle>,
    Path((job, vertex, subtask, attempt)): AttemptPath,
) -> Result {
    let shown = subtask.parse().unwrap_or_default(); // As above.
    look_at_execution(&handle, (job, vertex), (subtask, Some(attempt)), move |_, job, execution, _| {
        view::execution_accumulators(job, shown, execution)
    })
    .await
}

//! Routes about TaskManagers: what the core knows of them, and what they themselves answer: usage, logs, threads.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::answer::{Answer, Query, Refusal, Result};
use super::logs::{Range, no_file, text};
use super::view::{self, TaskManagerUsage};
use crate::ids::TaskManagerId;
use crate::jobmanager::Handle;
use crate::rpc::http::Client;
use crate::telemetry::Thread;

/// Numbers that are late are not worth waiting for.
const USAGE_DEADLINE: Duration = Duration::from_secs(1);

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/taskmanagers", get(list))
        .route("/taskmanagers/{id}", get(details))
        .route("/taskmanagers/{id}/thread-dump", get(thread_dump))
        .route("/taskmanagers/{id}/logs", get(logs))
        .route("/taskmanagers/{id}/logs/{name}", get(named))
        .route("/taskmanagers/{id}/stdout", get(stdout))
        .route("/taskmanagers/{id}/log", get(log))
}

async fn list(State(handle): State<Handle>) -> Result {
    let list = handle
        .view(|core, now| core.task_managers().keys().map(|id| view::task_manager(core, id, now)).collect::<Value>())
        .await?;
    Ok(Answer::ok(json!({ "taskmanagers": list })))
}

async fn details(State(handle): State<Handle>, Path(id): Path<String>) -> Result {
    let id = TaskManagerId(id);
    let wanted = id.clone();
    let found = handle
        .view(move |core, now| {
            core.task_managers().contains_key(&wanted).then(|| view::task_manager_details(core, &wanted, now))
        })
        .await?;
    let mut details = found.ok_or_else(|| unknown(&id))?;
    if let Some(usage) = usage(&handle, &id).await {
        usage.put_into(&mut details);
    }
    Ok(Answer::ok(details))
}

fn unknown(id: &TaskManagerId) -> Refusal {
    Refusal::not_found(format!("TaskManager {id} not found"))
}

async fn client(handle: &Handle, id: &TaskManagerId) -> Result<Client> {
    let wanted = id.clone();
    let address = handle
        .view(move |core, _| core.task_managers().get(&wanted).map(|found| found.register.http_address.clone()))
        .await?;
    let credentials = &handle.about().credentials;
    address.map(|address| Client::new(&address).with_credentials(credentials)).ok_or_else(|| unknown(id))
}

/// What a TaskManager and its workers use; nothing if it does not say so soon.
pub(super) async fn usage(handle: &Handle, id: &TaskManagerId) -> Option<TaskManagerUsage> {
    let client = client(handle, id).await.ok()?.with_deadline(USAGE_DEADLINE);
    client.get("/usage").await.ok()
}

async fn thread_dump(State(handle): State<Handle>, Path(id): Path<String>) -> Result {
    let client = client(&handle, &TaskManagerId(id)).await?;
    let threads: std::result::Result<Vec<Thread>, _> = client.get("/threads").await;
    let threads = threads.map_err(|error| Refusal::new(StatusCode::BAD_GATEWAY, error.to_string()))?;
    Ok(Answer::ok(view::thread_dump(&threads)))
}

/// Asks a TaskManager for one of its outputs.
async fn ask(handle: &Handle, id: String, path: &str, range: &Range) -> Result<String> {
    let client = client(handle, &TaskManagerId(id)).await?;
    client.get_text(&format!("{path}{}", range.query())).await.map_err(|_| no_file())
}

async fn logs(State(handle): State<Handle>, Path(id): Path<String>) -> Result {
    let list = ask(&handle, id, "/logs", &Range::default()).await?;
    serde_json::from_str(&list).map(Answer::ok).map_err(|_| no_file())
}

async fn named(
    State(handle): State<Handle>,
    Path((id, name)): Path<(String, String)>,
    Query(range): Query<Range>,
) -> Result<Response> {
    // It becomes part of a path at the TaskManager.
    if name.contains(['/', '?', '#', '%']) || name.starts_with('.') {
        return Err(no_file());
    }
    ask(&handle, id, &format!("/logs/{name}"), &range).await.map(text)
}

async fn stdout(State(handle): State<Handle>, Path(id): Path<String>, Query(range): Query<Range>) -> Result<Response> {
    ask(&handle, id, "/stdout", &range).await.map(text)
}

async fn log(State(handle): State<Handle>, Path(id): Path<String>, Query(range): Query<Range>) -> Result<Response> {
    ask(&handle, id, "/log", &range).await.map(text)
}

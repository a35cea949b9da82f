//! Routes for output: of this JobManager from its files, of TaskManagers by asking them.

use std::path::PathBuf;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, Result};
use super::cluster::unknown_task_manager;
use crate::ids::TaskManagerId;
use crate::jobmanager::Handle;
use crate::rpc::http::Client;

/// Files of ours that may be read.
const NAMES: [&str; 2] = ["jobmanager.out", "jobmanager.err"];
/// The end of a file, at most so much of it.
const BYTES_MAX: u64 = 8 << 20;

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/jobmanager/logs", get(list))
        .route("/jobmanager/logs/{name}", get(named))
        .route("/jobmanager/log", get(log))
        .route("/jobmanager/stdout", get(stdout))
        .route("/taskmanagers/{id}/logs", get(task_manager_list))
        .route("/taskmanagers/{id}/logs/{name}", get(task_manager_named))
        .route("/taskmanagers/{id}/stdout", get(task_manager_stdout))
        .route("/taskmanagers/{id}/log", get(task_manager_log))
}

/// This very text keeps the dashboard quiet.
fn no_file() -> Refusal {
    Refusal::not_found("File not found.")
}

fn text(content: impl Into<axum::body::Body>) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=UTF-8"), (ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, content.into()).into_response()
}

/// Reads off the control loop.
async fn read<T: Send + 'static>(work: impl FnOnce() -> Option<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.ok().flatten().ok_or_else(no_file)
}

async fn list(State(handle): State<Handle>) -> Result {
    let dir = handle.about().log_dir.clone();
    let entry = |path: PathBuf| {
        let metadata = path.metadata().ok()?;
        let modified = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some(json!({ "name": name, "size": metadata.len(), "mtime": u64::try_from(modified.as_millis()).ok()? }))
    };
    let files = read(move || {
        let dir = dir.unwrap_or_default();
        Some(NAMES.iter().filter_map(|name| entry(dir.join(name))).collect::<Vec<Value>>())
    })
    .await?;
    Ok(Answer::ok(json!({ "logs": files })))
}

async fn own(handle: &Handle, name: &str) -> Result<Response> {
    let name = NAMES.into_iter().find(|known| *known == name);
    let name = name.ok_or_else(|| Refusal::not_found("This file does not exist in JobManager log dir."))?;
    let handle = handle.clone();
    read(move || handle.about().log_end(name, BYTES_MAX)).await.map(text)
}

async fn named(State(handle): State<Handle>, Path(name): Path<String>) -> Result<Response> {
    own(&handle, &name).await
}

/// What the daemon logs goes to its standard error.
async fn log(State(handle): State<Handle>) -> Result<Response> {
    own(&handle, "jobmanager.err").await
}

async fn stdout(State(handle): State<Handle>) -> Result<Response> {
    own(&handle, "jobmanager.out").await
}

/// Asks a TaskManager for one of its outputs.
async fn ask(handle: &Handle, id: String, path: String) -> Result<String> {
    let id = TaskManagerId(id);
    let wanted = id.clone();
    let address = handle
        .view(move |core, _| core.task_managers().get(&wanted).map(|found| found.register.http_address.clone()))
        .await?
        .ok_or_else(|| unknown_task_manager(&id))?;
    Client::new(&address).get_text(&path).await.map_err(|_| no_file())
}

async fn task_manager_list(State(handle): State<Handle>, Path(id): Path<String>) -> Result {
    let list = ask(&handle, id, "/logs".to_owned()).await?;
    serde_json::from_str(&list).map(Answer::ok).map_err(|_| no_file())
}

async fn task_manager_named(
    State(handle): State<Handle>,
    Path((id, name)): Path<(String, String)>,
) -> Result<Response> {
    // It becomes part of a path at the TaskManager.
    if name.contains(['/', '?', '#', '%']) || name.starts_with('.') {
        return Err(no_file());
    }
    ask(&handle, id, format!("/logs/{name}")).await.map(text)
}

async fn task_manager_stdout(State(handle): State<Handle>, Path(id): Path<String>) -> Result<Response> {
    ask(&handle, id, "/stdout".to_owned()).await.map(text)
}

async fn task_manager_log(State(handle): State<Handle>, Path(id): Path<String>) -> Result<Response> {
    ask(&handle, id, "/log".to_owned()).await.map(text)
}

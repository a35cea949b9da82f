//! A TaskManager over HTTP: what it and its workers write. The JobManager's `/taskmanagers/:id/…` lead here.

mod exposition;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::time::UNIX_EPOCH;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::access::{Face, usual};
use crate::process::read_range;
use crate::taskmanager::{Handle, Stream};
use crate::telemetry::{self, ProcessUsage};

/// One answer's most; who wants more asks again from there.
const RANGE_BYTES_MAX: u64 = 64 << 20;
/// Its own log in its directory, best first: written by itself, or by the container's redirection of its error output.
const OWN_LOGS: [&str; 3] = ["taskmanager.log", "taskmanager.err", "stderr"];

/// How strangers are met.
pub const FACE: Face = Face { need: |method, _| usual(method), refusal: |status, message| failure(status, &message) };

/// The API of the TaskManager behind `handle`.
pub fn router(handle: Handle) -> Router {
    Router::new()
        .route("/stdout", get(stdout))
        .route("/stderr", get(stderr))
        .route("/log", get(own_log))
        .route("/logs", get(list))
        .route("/logs/{name}", get(named))
        .route("/metrics", get(exposition::metrics))
        .route("/workers", get(workers))
        .route("/usage", get(usage))
        .route("/threads", get(threads))
        .with_state(handle)
}

/// Which bytes; negative numbers count from the end.
#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    start: i64,
    end: Option<i64>,
}

async fn stdout(State(handle): State<Handle>, Query(range): Query<Range>) -> Response {
    text(handle.merged_log(Stream::Stdout), range).await
}

async fn stderr(State(handle): State<Handle>, Query(range): Query<Range>) -> Response {
    text(handle.merged_log(Stream::Stderr), range).await
}

async fn own_log(State(handle): State<Handle>, Query(range): Query<Range>) -> Response {
    let candidates = OWN_LOGS.map(|name| handle.logs().join(name));
    // Whoever has started it by hand or by a script sends its error output where it likes.
    let redirected = fs::read_link("/proc/self/fd/2").ok();
    match candidates.into_iter().chain(redirected).find(|path| path.is_file()) {
        Some(path) => text(path, range).await,
        None => failure(StatusCode::NOT_FOUND, "this TaskManager writes its log elsewhere"),
    }
}

async fn list(State(handle): State<Handle>) -> Response {
    Json(json!({ "logs": logs(handle.logs()) })).into_response()
}

fn logs(directory: &FilePath) -> Vec<serde_json::Value> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<(String, u64, u128)> = entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some((entry.file_name().into_string().ok()?, metadata.len(), changed.as_millis()))
        })
        .collect();
    files.sort();
    files.into_iter().map(|(name, size, mtime)| json!({ "name": name, "size": size, "mtime": mtime })).collect()
}

async fn named(State(handle): State<Handle>, Path(name): Path<String>, Query(range): Query<Range>) -> Response {
    if name.contains('/') || name == ".." {
        return failure(StatusCode::BAD_REQUEST, "that is not the name of a log");
    }
    text(handle.logs().join(name), range).await
}

async fn workers(State(handle): State<Handle>) -> Response {
    let Some(workers) = handle.workers().await else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "the TaskManager is busy or stopping; try again");
    };
    let shown: Vec<_> = workers
        .iter()
        .map(|it| {
            json!({
                "id": it.worker.to_string(),
                "job": it.worker.job,
                "state": it.state,
                "pid": it.pid,
                "slots": it.slots,
                "memoryUsedMB": it.rss_bytes >> 20,
                "memoryLimitMB": it.limit_mb,
            })
        })
        .collect();
    Json(json!({ "taskmanager": handle.id(), "workers": shown })).into_response()
}

/// What this process uses, and its workers beside it.
async fn usage(State(handle): State<Handle>) -> Response {
    let workers = handle.workers().await.unwrap_or_default();
    let workers_rss_bytes: u64 = workers.iter().map(|worker| worker.rss_bytes).sum();
    match tokio::task::spawn_blocking(ProcessUsage::of_self).await {
        Ok(process) => Json(json!({ "process": process, "workersRssBytes": workers_rss_bytes })).into_response(),
        Err(_) => failure(StatusCode::SERVICE_UNAVAILABLE, "the TaskManager is stopping"),
    }
}

async fn threads() -> Response {
    match tokio::task::spawn_blocking(telemetry::threads).await {
        Ok(threads) => Json(threads).into_response(),
        Err(_) => failure(StatusCode::SERVICE_UNAVAILABLE, "the TaskManager is stopping"),
    }
}

async fn text(path: PathBuf, Range { start, end }: Range) -> Response {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let read = tokio::task::spawn_blocking(move || read_range(&path, start, end, RANGE_BYTES_MAX)).await;
    match read {
        Ok(Ok((bytes, ..))) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], bytes).into_response(),
        Ok(Err(_)) | Err(_) => failure(StatusCode::NOT_FOUND, &format!("there is no log {name}")),
    }
}

/// As Flink words its refusals.
fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "errors": [message] }))).into_response()
}

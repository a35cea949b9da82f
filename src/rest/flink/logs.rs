//! Routes for output of this JobManager, from its files.

use std::path::PathBuf;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Query, Refusal, Result};
use crate::jobmanager::Handle;

/// Files of ours that may be read.
const NAMES: [&str; 2] = ["jobmanager.out", "jobmanager.err"];
/// Of a file at most so much at a time: its end, unless asked for another part.
const BYTES_MAX: u64 = 8 << 20;

/// Extension: which bytes of a file; negative numbers count from its end. The whole, or as much of its end as one answer holds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Range {
    start: Option<i64>,
    end: Option<i64>,
}

impl Range {
    /// As a query.
    pub(super) fn query(&self) -> String {
        let bound = |name: &str, at: Option<i64>| at.map(|at| format!("{name}={at}&")).unwrap_or_default();
        format!("?{}{}", bound("start", self.start), bound("end", self.end))
    }
}

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/jobmanager/logs", get(list))
        .route("/jobmanager/logs/{name}", get(named))
        .route("/jobmanager/log", get(log))
        .route("/jobmanager/stdout", get(stdout))
}

/// This very text keeps the dashboard quiet.
pub(super) fn no_file() -> Refusal {
    Refusal::not_found("File not found.")
}

pub(super) fn text(content: impl Into<axum::body::Body>) -> Response {
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

async fn own(handle: &Handle, name: &str, range: Range) -> Result<Response> {
    let name = NAMES.into_iter().find(|known| *known == name);
    let name = name.ok_or_else(|| Refusal::not_found("This file does not exist in JobManager log dir."))?;
    let handle = handle.clone();
    let start = range.start.unwrap_or(-BYTES_MAX.cast_signed());
    read(move || handle.about().log(name, start, range.end, BYTES_MAX)).await.map(text)
}

async fn named(State(handle): State<Handle>, Path(name): Path<String>, Query(range): Query<Range>) -> Result<Response> {
    own(&handle, &name, range).await
}

/// What the daemon logs goes to its standard error.
async fn log(State(handle): State<Handle>, Query(range): Query<Range>) -> Result<Response> {
    own(&handle, "jobmanager.err", range).await
}

async fn stdout(State(handle): State<Handle>, Query(range): Query<Range>) -> Result<Response> {
    own(&handle, "jobmanager.out", range).await
}

//! Logs that nodes have collected of containers that have ended: YARN's addresses of aggregated logs, of its application history.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Context;
use super::applications::parse_application;
use super::error::Error;
use crate::ids::ContainerId;
use crate::rest::log_files::{RANGE_BYTES_MAX, Range, is_plain, listing};

fn parse(container: &str) -> Result<ContainerId, Error> {
    container.parse().map_err(|error| Error::invalid_id("ContainerId", container, error))
}

fn not_collected(container: ContainerId) -> Error {
    Error::not_found(format!(
        "no logs of {container} are collected; they are when it has ended, until then its node has them"
    ))
}

/// An extension: which of an application's containers have logs here.
pub(super) async fn containers(State(context): State<Context>, Path(id): Path<String>) -> Result<Response, Error> {
    let (application, logs) = (parse_application(&id)?, context.handle.logs().clone());
    let found = tokio::task::spawn_blocking(move || logs.containers(application)).await.unwrap_or_default();
    Ok(Json(json!({ "containers": found })).into_response())
}

pub(super) async fn list(State(context): State<Context>, Path(container): Path<String>) -> Result<Response, Error> {
    let (id, logs) = (parse(&container)?, context.handle.logs().clone());
    let listed = move || logs.find(id).map(|directory| listing(&directory, id, "", "AGGREGATED"));
    let listed = tokio::task::spawn_blocking(listed).await.ok().flatten();
    Ok(Json(listed.ok_or_else(|| not_collected(id))?).into_response())
}

pub(super) async fn content(
    State(context): State<Context>,
    Path((container, file)): Path<(String, String)>,
    Query(range): Query<Range>,
) -> Result<Response, Error> {
    let (id, logs) = (parse(&container)?, context.handle.logs().clone());
    if !is_plain(&file) {
        return Err(Error::bad_request(format!("`{file}` is not the name of a log")));
    }
    let headers = range.headers();
    let name = file.clone();
    let read = move || logs.find(id).map(|directory| range.read(&directory.join(name), RANGE_BYTES_MAX));
    match tokio::task::spawn_blocking(read).await.ok().flatten() {
        Some(Ok((bytes, _))) => Ok((headers, bytes).into_response()),
        Some(Err(_)) => Err(Error::not_found(format!("there is no log {file} of {id}"))),
        None => Err(not_collected(id)),
    }
}

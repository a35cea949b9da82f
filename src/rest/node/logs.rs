//! What containers wrote: listed, read by ranges, followed.

use std::convert::Infallible;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;

use super::{Failure, container_id, find};
use crate::ids::ContainerId;
use crate::nodemanager::Handle;
use crate::process::read_range;

/// One answer's most; who wants more asks again from there.
const RANGE_BYTES_MAX: u64 = 64 << 20;
/// One piece of a followed log.
const PIECE_BYTES_MAX: u64 = 256 << 10;
/// Between looks at a log that is followed.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// Files of a log directory; none if there is no such directory.
pub(super) fn names(directory: &FilePath) -> Vec<String> {
    files(directory).into_iter().map(|(name, ..)| name).collect()
}

/// Name, size and time of last change, in milliseconds.
fn files(directory: &FilePath) -> Vec<(String, u64, u128)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some((entry.file_name().into_string().ok()?, metadata.len(), changed.as_millis()))
        })
        .collect();
    files.sort();
    files
}

pub(super) async fn list(State(node): State<Handle>, Path(container): Path<String>) -> Result<Response, Failure> {
    let id = container_id(&container)?;
    let directory = node.logs_of(id);
    if !directory.is_dir() {
        return Err(Failure::not_found(format!("there are no logs of {id} on {}", node.node())));
    }
    let files: Vec<_> = files(&directory)
        .into_iter()
        .map(|(name, bytes, changed_ms)| {
            json!({ "fileName": name, "fileSize": bytes.to_string(), "lastModifiedTime": changed_ms.to_string() })
        })
        .collect();
    let info =
        json!({ "containerLogInfo": files, "logAggregationType": "LOCAL", "containerId": id, "nodeId": node.node() });
    Ok(Json(json!({ "containerLogsInfo": info })).into_response())
}

#[derive(Deserialize)]
pub(super) struct Range {
    /// First byte; negative: from the end.
    start: Option<i64>,
    /// Behind the last byte; negative: from the end.
    end: Option<i64>,
    /// YARN's: so many bytes from the start, negative: from the end.
    size: Option<i64>,
    /// Go on with what is written later, until the container has ended.
    #[serde(default)]
    follow: bool,
    /// `text`, or `octet-stream` to have it saved.
    format: Option<String>,
}

impl Range {
    fn bounds(&self) -> (i64, Option<i64>) {
        match (self.start, self.size) {
            (None, Some(size)) if size < 0 => (size, self.end),
            (None, Some(size)) => (0, Some(size)),
            (start, _) => (start.unwrap_or(0), self.end),
        }
    }
}

pub(super) async fn content(
    State(node): State<Handle>,
    Path((container, file)): Path<(String, String)>,
    Query(range): Query<Range>,
) -> Result<Response, Failure> {
    let id = container_id(&container)?;
    // One component: what is decoded from the address must not lead elsewhere.
    if file.contains('/') || file == ".." {
        return Err(Failure::bad_request(format!("`{file}` is not the name of a log")));
    }
    let path = node.logs_of(id).join(&file);
    let (start, end) = range.bounds();
    let read = path.clone();
    let limit = if range.follow { PIECE_BYTES_MAX } else { RANGE_BYTES_MAX };
    let read = tokio::task::spawn_blocking(move || read_range(&read, start, end, limit)).await;
    let Ok(Ok((bytes, at, _))) = read else {
        return Err(Failure::not_found(format!("there is no log {file} of {id} on {}", node.node())));
    };
    let content_type = match range.format.as_deref() {
        Some("octet-stream") => "application/octet-stream",
        Some(_) | None => "text/plain; charset=utf-8",
    };
    let headers = [(CONTENT_TYPE, content_type)];
    if !range.follow {
        return Ok((headers, bytes).into_response());
    }
    let following =
        Following { node, container: id, path, at: at + bytes.len() as u64, first: Some(bytes.into()), ended: false };
    let pieces = stream::unfold(following, |mut following| async move {
        let piece = following.next().await?;
        Some((Ok::<_, Infallible>(piece), following))
    });
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// A log that is read as it grows.
struct Following {
    node: Handle,
    container: ContainerId,
    path: PathBuf,
    at: u64,
    first: Option<Bytes>,
    /// The container had ended before the last look: what is there now is all.
    ended: bool,
}

impl Following {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Some(first);
        }
        loop {
            let (path, at) = (self.path.clone(), i64::try_from(self.at).ok()?);
            let read = tokio::task::spawn_blocking(move || read_range(&path, at, None, PIECE_BYTES_MAX)).await;
            let (bytes, ..) = read.ok()?.ok()?;
            if !bytes.is_empty() {
                self.at += bytes.len() as u64;
                return Some(bytes.into());
            }
            if self.ended {
                return None;
            }
            let view = self.node.view().await.ok()?;
            self.ended = find(&view, self.container).is_none_or(|container| container.exit.is_some());
            if !self.ended {
                tokio::time::sleep(FOLLOW_INTERVAL).await;
            }
        }
    }
}

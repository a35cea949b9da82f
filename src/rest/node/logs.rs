//! What containers wrote: listed, read by ranges, followed.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::{Failure, container_id, find};
use crate::ids::ContainerId;
use crate::nodemanager::Handle;
use crate::process::read_range;
use crate::rest::log_files::{RANGE_BYTES_MAX, Range, is_plain, listing};

/// One piece of a followed log.
const PIECE_BYTES_MAX: u64 = 256 << 10;
/// Between looks at a log that is followed.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

pub(super) async fn list(State(node): State<Handle>, Path(container): Path<String>) -> Result<Response, Failure> {
    let id = container_id(&container)?;
    let directory = node.logs_of(id);
    if !directory.is_dir() {
        return Err(Failure::not_found(format!("there are no logs of {id} on {}", node.node())));
    }
    Ok(Json(listing(&directory, id, &node.node().to_string(), "LOCAL")).into_response())
}

pub(super) async fn content(
    State(node): State<Handle>,
    Path((container, file)): Path<(String, String)>,
    Query(range): Query<Range>,
) -> Result<Response, Failure> {
    let id = container_id(&container)?;
    if !is_plain(&file) {
        return Err(Failure::bad_request(format!("`{file}` is not the name of a log")));
    }
    let path = node.logs_of(id).join(&file);
    let (read, headers, follow) = (path.clone(), range.headers(), range.follow);
    let limit = if follow { PIECE_BYTES_MAX } else { RANGE_BYTES_MAX };
    let read = tokio::task::spawn_blocking(move || range.read(&read, limit)).await;
    let Ok(Ok((bytes, at))) = read else {
        return Err(Failure::not_found(format!("there is no log {file} of {id} on {}", node.node())));
    };
    if !follow {
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

//! Uploads: files by the hash of their content.

use std::fmt;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use tokio_util::io::ReaderStream;

use super::Context;
use super::error::Error;
use crate::rpc::io_cause;
use crate::storage::{self, BlobId, BlobStore};

/// The largest upload.
const BLOB_BYTES_MAX: u64 = 4 << 30;

fn blob<'a>(context: &'a Context, text: &str) -> Result<(&'a BlobStore, BlobId), Error> {
    let Some(blobs) = context.handle.blobs() else {
        let message = "uploads are switched off on this ResourceManager (resourcemanager.uploads.enabled)";
        return Err(Error::forbidden(message));
    };
    let id = text.parse().map_err(|error: storage::InvalidBlobId| Error::bad_request(error.to_string()))?;
    Ok((blobs, id))
}

/// Takes the content; answers 201, or 400 if it is not what its name says.
pub(super) async fn put(
    State(context): State<Context>,
    Path(sha256): Path<String>,
    content: Body,
) -> Result<Response, Error> {
    let (blobs, id) = blob(&context, &sha256)?;
    match take_in(blobs, &id, content.into_data_stream(), BLOB_BYTES_MAX).await {
        Ok(()) => Ok(StatusCode::CREATED.into_response()),
        Err(error @ (storage::Error::WrongContent { .. } | storage::Error::Interrupted { .. })) => {
            Err(Error::bad_request(error.to_string()))
        }
        Err(error @ storage::Error::TooLarge { .. }) => {
            Err(Error::Plain { status: StatusCode::PAYLOAD_TOO_LARGE, message: error.to_string() })
        }
        Err(error @ storage::Error::Full { .. }) => {
            let message = format!(
                "{error}; raise resourcemanager.uploads.max-size, or lower resourcemanager.uploads.retention, after which \
                 uploads go that no running application names"
            );
            Err(Error::Plain { status: StatusCode::INSUFFICIENT_STORAGE, message })
        }
        Err(error) => Err(Error::internal(error.to_string())),
    }
}

/// Stores the content. What is refused is read all the same, up to as much again: a client that is answered before it has sent
/// everything sees a broken connection, and not why.
async fn take_in<S, E>(blobs: &BlobStore, id: &BlobId, content: S, bytes_max: u64) -> Result<(), storage::Error>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: fmt::Display,
{
    let mut content = std::pin::pin!(content);
    let stored = blobs.put_stream(id, &mut content, bytes_max).await;
    let mut left = if stored.is_err() { bytes_max } else { 0 };
    while left > 0
        && let Some(Ok(chunk)) = content.next().await
    {
        left = left.saturating_sub(chunk.len() as u64);
    }
    stored.map(drop)
}

/// GET and HEAD.
pub(super) async fn get(
    State(context): State<Context>,
    method: Method,
    Path(sha256): Path<String>,
) -> Result<Response, Error> {
    let (blobs, id) = blob(&context, &sha256)?;
    let path = blobs.get(&id).ok_or_else(|| Error::not_found(format!("there is no blob {id}")))?;
    blobs.touch(&id, context.handle.now());
    let unreadable = |error: std::io::Error| Error::internal(format!("blob {id}: {}", io_cause(&error)));
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let length = file.metadata().await.map_err(unreadable)?.len();
    let headers = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_LENGTH, length.to_string())];
    let content = if method == Method::HEAD { Body::empty() } else { Body::from_stream(ReaderStream::new(file)) };
    Ok((headers, content).into_response())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_client_whose_upload_cannot_be_stored_is_heard_out() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = BlobStore::open(dir.path()).unwrap();
        let taken = AtomicUsize::new(0);
        let chunks = || {
            let chunk = |_| {
                taken.fetch_add(1, Ordering::Relaxed);
                Ok::<_, std::io::Error>(Bytes::from_static(&[7; 100]))
            };
            stream::iter(0..5).map(chunk)
        };
        let id = BlobId::of(&[7; 500]);
        take_in(&blobs, &id, chunks(), 1000).await.unwrap();
        assert_eq!(taken.swap(0, Ordering::Relaxed), 5);
        blobs.remove(&id).unwrap();
        assert!(take_in(&blobs, &id, chunks(), 400).await.is_err());
        assert_eq!(taken.swap(0, Ordering::Relaxed), 5, "the rest of what is too large, too");
    }
}

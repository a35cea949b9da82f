//! Uploads: files by the hash of their content.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
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
    match blobs.put_stream(&id, content.into_data_stream(), BLOB_BYTES_MAX).await {
        Ok(_) => Ok(StatusCode::CREATED.into_response()),
        Err(error @ (storage::Error::WrongContent { .. } | storage::Error::Interrupted { .. })) => {
            Err(Error::bad_request(error.to_string()))
        }
        Err(error @ storage::Error::TooLarge { .. }) => {
            Err(Error::Plain { status: StatusCode::PAYLOAD_TOO_LARGE, message: error.to_string() })
        }
        Err(error) => Err(Error::internal(error.to_string())),
    }
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

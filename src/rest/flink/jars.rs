//! Routes for programs: upload, list, delete; and blobs, which TaskManagers fetch. Absent where the ResourceManager takes programs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::extract::multipart::{Field, MultipartRejection};
use axum::extract::{DefaultBodyLimit, Multipart, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::middleware::map_request;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio_util::io::ReaderStream;

use super::answer::{Answer, Refusal, Result};
use super::runs;
use crate::jobmanager::Handle;
use crate::jobmanager::uploads::{Upload, Uploads};
use crate::protocol::container::{LocalResource, LocalResourceType, Visibility};
use crate::protocol::job::Program;
use crate::storage::BlobId;

/// Written to the disk at once; kept by the heap of each thread that does so.
const WRITE_BYTES_MAX: usize = 64 << 10;

pub(super) fn routes(handle: &Handle) -> Router<Handle> {
    let about = handle.about();
    if about.uploads.is_none() {
        return Router::new();
    }
    let blobs = Router::new().route("/blobs/{hash}", get(blob)); // What runs already is still fetched.
    if !about.submit_enabled {
        return blobs;
    }
    blobs
        .route("/jars", get(list))
        .route(
            "/jars/upload",
            post(upload).layer::<_, Infallible>(map_request(paced)).layer(DefaultBodyLimit::disable()),
        )
        .merge(runs::routes())
        .route("/jars/{id}", delete(remove))
}

/// Lets a body pass one chunk at a time: the parser of multipart bodies would take in all that has arrived, and the network is
/// faster than the disk.
async fn paced(request: Request) -> Request {
    request.map(|body| {
        let (mut chunks, mut resting) = (body.into_data_stream(), false);
        Body::from_stream(stream::poll_fn(move |context| {
            resting = !resting;
            if resting {
                return chunks.poll_next_unpin(context);
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }))
    })
}

fn uploads(handle: &Handle) -> Result<&Uploads> {
    handle.about().uploads.as_ref().ok_or_else(|| Refusal::not_found("programs are not uploaded here"))
}

pub(super) fn find(handle: &Handle, id: &str) -> Result<Upload> {
    uploads(handle)?.get(id).ok_or_else(|| Refusal::not_found(format!("Jar file {id} does not exist")))
}

async fn list(State(handle): State<Handle>) -> Result {
    let files: Vec<Value> = uploads(&handle)?.list().into_iter().map(listed).collect();
    Ok(Answer::ok(json!({ "address": handle.about().url(), "files": files })))
}

/// Extensions: `sha256`, so that nobody uploads what is there, and the `arguments` of an entry.
fn listed(upload: Upload) -> Value {
    let described = upload.description.unwrap_or_default();
    let name = if described.name.is_empty() { upload.name.clone() } else { described.name };
    json!({
        "id": upload.id,
        "name": upload.name,
        "uploaded": upload.uploaded_at.as_millis(),
        "sha256": upload.blob.as_str(),
        "entry": [{ "name": name, "description": described.about, "arguments": described.args }],
    })
}

/// Takes one file under any name of its part; of other parts only Flink's empty `request`.
async fn upload(State(handle): State<Handle>, parts: std::result::Result<Multipart, MultipartRejection>) -> Result {
    let mut parts = parts.map_err(|error| {
        let cause = error.body_text();
        Refusal::bad_request(format!("{cause}; send the program as a form's file: curl -F jarfile=@PROGRAM"))
    })?;
    let unreadable = |error: axum::extract::multipart::MultipartError| Refusal::bad_request(error.body_text());
    let mut taken = None;
    while let Some(part) = parts.next_field().await.map_err(unreadable)? {
        match part.file_name().map(file_name) {
            Some(name) if taken.is_none() => taken = Some(take(&handle, &name, part).await?),
            None if part.name() == Some("request") => drop(part.bytes().await.map_err(unreadable)?),
            Some(_) | None => return Err(Refusal::bad_request("Exactly 1 file must be sent.")),
        }
    }
    let upload = taken.ok_or_else(|| Refusal::bad_request("Exactly 1 file must be sent, received 0."))?;
    Ok(Answer::ok(json!({ "filename": format!("/flott-uploads/{}", upload.id), "status": "success" })))
}

/// The last component, as far as it is harmless in a path.
fn file_name(text: &str) -> String {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let harmless = |c: char| if c.is_control() || "?#%".contains(c) { '_' } else { c };
    let name: String = last.chars().map(harmless).collect();
    if name.is_empty() || name == "." || name == ".." { "program".to_owned() } else { name }
}

/// Streams a part to the disk, then files it under its hash.
async fn take(handle: &Handle, name: &str, mut part: Field<'_>) -> Result<Upload> {
    let uploads = uploads(handle)?;
    let limits = handle.about();
    if uploads.len() >= limits.uploads_len_max {
        let kept = limits.uploads_len_max;
        let message =
            format!("{kept} programs are kept here and {name} is one more; delete one first (web.upload.max-count)");
        return Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, message));
    }
    let broken = |cause: String| Refusal::bad_request(format!("{name} was not received: {cause}"));
    let file = uploads.incoming_path();
    let outcome = receive(&mut part, &file, limits.upload_bytes_max).await;
    let bytes = match outcome {
        Ok(Some(bytes)) => bytes,
        incomplete => {
            let _ = tokio::fs::remove_file(&file).await; // Left behind it only costs space.
            let limit = limits.upload_bytes_max;
            let message =
                format!("{name} is larger than the {limit} bytes that are taken (rest.server.max-content-length)");
            return Err(incomplete.err().map_or(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message), broken));
        }
    };
    let blobs = uploads.blobs().clone();
    let stored = tokio::task::spawn_blocking(move || {
        let id = BlobId::of_file(&file);
        let stored = id.and_then(|id| blobs.put_file(&id, &file).map(|_| id));
        let _ = std::fs::remove_file(&file); // As above.
        stored
    });
    let id = match stored.await {
        Ok(stored) => stored.map_err(|error| broken(error.to_string()))?,
        Err(error) => return Err(broken(error.to_string())),
    };
    let uploaded_at = handle.view(|_, now| now).await?;
    let mut upload =
        Upload { id: Uploads::new_id(name), name: name.to_owned(), blob: id, bytes, uploaded_at, description: None };
    let program = Program {
        name: name.to_owned(),
        executable: resource(handle, &upload),
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        files: BTreeMap::new(),
    };
    // Files that jobs read are uploaded too, and say nothing of themselves.
    upload.description = handle.describe(&program).await.ok();
    let (handle, added) = (handle.clone(), upload.clone());
    let noted = tokio::task::spawn_blocking(move || handle.about().uploads.as_ref().map(|uploads| uploads.add(added)));
    match noted.await {
        Ok(Some(Ok(()))) => Ok(upload),
        Ok(Some(Err(error))) => Err(broken(error.to_string())),
        Ok(None) | Err(_) => Err(broken("the JobManager is stopping".to_owned())),
    }
}

pub(super) fn resource(handle: &Handle, upload: &Upload) -> LocalResource {
    LocalResource {
        url: format!("{}/blobs/{}", handle.about().url(), upload.blob.as_str()),
        size: upload.bytes,
        sha256: Some(upload.blob.as_str().to_owned()),
        kind: LocalResourceType::File,
        visibility: Visibility::Public,
        executable: true,
    }
}

/// Writes a part to a file; `None` if it is larger than `bytes_max`. That is read all the same, up to as much again: a client that is
/// answered before it has sent everything sees a broken connection, and not why.
async fn receive(
    part: &mut Field<'_>,
    path: &std::path::Path,
    bytes_max: u64,
) -> std::result::Result<Option<u64>, String> {
    use tokio::io::AsyncWriteExt;
    let mut file = tokio::fs::File::create(path).await.map_err(|error| error.to_string())?;
    file.set_max_buf_size(WRITE_BYTES_MAX);
    let mut bytes = 0;
    while let Some(chunk) = part.chunk().await.map_err(|error| error.body_text())? {
        bytes += chunk.len() as u64;
        match bytes {
            within if within <= bytes_max => file.write_all(&chunk).await.map_err(|error| error.to_string())?,
            far_above if far_above > bytes_max.saturating_mul(2) => return Ok(None),
            _ => {}
        }
    }
    file.flush().await.map_err(|error| error.to_string())?;
    Ok((bytes <= bytes_max).then_some(bytes))
}

async fn remove(State(handle): State<Handle>, Path(id): Path<String>) -> Result {
    if uploads(&handle)?.remove(&id) {
        return Ok(Answer::ok(json!({})));
    }
    Err(Refusal::not_found(format!("Jar file {id} does not exist")))
}

async fn blob(State(handle): State<Handle>, Path(hash): Path<String>) -> Result<Response> {
    let unknown = || Refusal::not_found(format!("there is no blob {hash}"));
    let id: BlobId = hash.parse().map_err(|_| unknown())?;
    let path = uploads(&handle)?.blobs().get(&id).ok_or_else(unknown)?;
    let file = tokio::fs::File::open(path).await.map_err(|_| unknown())?;
    let length = file.metadata().await.map_err(|_| unknown())?.len();
    let headers = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_LENGTH, length.to_string())];
    Ok((headers, Body::from_stream(ReaderStream::new(file))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_cannot_lead_anywhere() {
        for (text, name) in [("a/b/c.jar", "c.jar"), ("..", "program"), ("C:\\x\\y", "y"), ("a?b", "a_b")] {
            assert_eq!(file_name(text), name, "{text}");
        }
    }
}

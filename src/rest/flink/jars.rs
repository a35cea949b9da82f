//! Routes for programs: upload, list, run, delete; and blobs, which TaskManagers fetch. Absent where the ResourceManager takes
//! programs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, MultipartRejection};
use axum::extract::{DefaultBodyLimit, Multipart, Path, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::middleware::map_request;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value, json};
use tokio_util::io::ReaderStream;

use super::answer::{Answer, Query, Refusal, Result};
use crate::ids::JobId;
use crate::jobmanager::Handle;
use crate::jobmanager::uploads::{Upload, Uploads};
use crate::protocol::container::{LocalResource, LocalResourceType, Visibility};
use crate::protocol::job::{JobStatus, JobSubmission, Program};
use crate::storage::BlobId;

/// Programs with debug information are large.
const UPLOAD_BYTES_MAX: u64 = 2 << 30;
/// Written to the disk at once; kept by the heap of each thread that does so.
const WRITE_BYTES_MAX: usize = 64 << 10;
/// How long a run waits for its program's plan; the program's own limit comes before.
const PLANNING_MAX: Duration = Duration::from_secs(600);

pub(super) fn routes(handle: &Handle) -> Router<Handle> {
    if handle.about().uploads.is_none() {
        return Router::new();
    }
    Router::new()
        .route("/jars", get(list))
        .route(
            "/jars/upload",
            post(upload).layer::<_, Infallible>(map_request(paced)).layer(DefaultBodyLimit::disable()),
        )
        .route("/jars/{id}/run", post(run))
        .route("/jars/{id}", delete(remove))
        .route("/blobs/{hash}", get(blob))
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

fn find(handle: &Handle, id: &str) -> Result<Upload> {
    uploads(handle)?.get(id).ok_or_else(|| Refusal::not_found(format!("Jar file {id} does not exist")))
}

async fn list(State(handle): State<Handle>) -> Result {
    let file = |upload: Upload| {
        json!({
            "id": upload.id,
            "name": upload.name,
            "uploaded": upload.uploaded_at.as_millis(),
            "entry": [{ "name": upload.name, "description": null }],
        })
    };
    let files: Vec<Value> = uploads(&handle)?.list().into_iter().map(file).collect();
    Ok(Answer::ok(json!({ "address": format!("http://{}", handle.about().address), "files": files })))
}

/// Takes one file under any name of its part; of other parts only Flink's empty `request`.
async fn upload(State(handle): State<Handle>, parts: std::result::Result<Multipart, MultipartRejection>) -> Result {
    let mut parts = parts.map_err(|error| Refusal::bad_request(error.body_text()))?;
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
    let broken = |cause: String| Refusal::bad_request(format!("{name} was not received: {cause}"));
    let file = uploads.incoming_path();
    let outcome = receive(&mut part, &file).await;
    let bytes = match outcome {
        Ok(bytes) => bytes,
        Err(cause) => {
            let _ = tokio::fs::remove_file(&file).await; // Left behind it only costs space.
            return Err(broken(cause));
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
    let now = handle.view(|_, now| now).await?;
    Ok(uploads.add(name, id, bytes, now))
}

async fn receive(part: &mut Field<'_>, path: &std::path::Path) -> std::result::Result<u64, String> {
    use tokio::io::AsyncWriteExt;
    let mut file = tokio::fs::File::create(path).await.map_err(|error| error.to_string())?;
    file.set_max_buf_size(WRITE_BYTES_MAX);
    let mut bytes = 0;
    while let Some(chunk) = part.chunk().await.map_err(|error| error.body_text())? {
        bytes += chunk.len() as u64;
        if bytes > UPLOAD_BYTES_MAX {
            return Err(format!("it is above the limit of {UPLOAD_BYTES_MAX} bytes"));
        }
        file.write_all(&chunk).await.map_err(|error| error.to_string())?;
    }
    file.flush().await.map_err(|error| error.to_string())?;
    Ok(bytes)
}

async fn remove(State(handle): State<Handle>, Path(id): Path<String>) -> Result {
    if uploads(&handle)?.remove(&id) {
        return Ok(Answer::ok(json!({})));
    }
    Err(Refusal::not_found(format!("Jar file {id} does not exist")))
}

/// Submits, and waits until the program has been planned.
async fn run(
    State(handle): State<Handle>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Result {
    let upload = find(&handle, &id)?;
    let request = RunRequest::new(&body, query)?;
    let submission = request.submission(&handle, &upload)?;
    let job = submission.job;
    handle.submit(submission).await?;
    let mut version = 0;
    loop {
        handle.watch(job, version, PLANNING_MAX).await?;
        let seen = handle
            .view(move |core, _| {
                let job = core.job(job)?;
                Some((job.status(), job.master().is_some(), job.failure().map(ToString::to_string), job.version()))
            })
            .await?;
        match seen {
            Some((JobStatus::Initializing, false, _, now)) => version = now,
            Some((JobStatus::Failed, false, failure, _)) => {
                return Err(Refusal::bad_request(
                    failure.unwrap_or_else(|| "the program cannot be planned".to_owned()),
                ));
            }
            Some(_) | None => return Ok(Answer::ok(json!({ "jobid": job, "applicationId": job }))),
        }
    }
}

/// What a run is asked with: body before query, empty values count as absent, numbers may be strings.
struct RunRequest {
    body: Map<String, Value>,
    query: BTreeMap<String, String>,
}

impl RunRequest {
    fn new(body: &[u8], query: BTreeMap<String, String>) -> Result<Self> {
        let body: &[u8] = if body.is_empty() { b"{}" } else { body };
        let body = serde_json::from_slice(body).map_err(|error| Refusal::bad_request(error.to_string()))?;
        Ok(Self { body, query })
    }

    fn text(&self, key: &str, query_key: &str) -> Option<String> {
        let in_body = self.body.get(key).and_then(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
        in_body
            .filter(|text| !text.is_empty())
            .or_else(|| self.query.get(query_key).cloned())
            .filter(|text| !text.is_empty())
    }

    fn arguments(&self) -> Result<Vec<String>> {
        if let Some(Value::Array(list)) = self.body.get("programArgsList") {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            return list.iter().map(text).collect::<Option<_>>().ok_or_else(|| wrong("programArgsList", "strings"));
        }
        if let Some(line) = self.text("programArgs", "program-args") {
            return Ok(words(&line));
        }
        Ok(self.query.get("programArg").map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default())
    }

    fn map(&self, key: &str) -> Result<BTreeMap<String, String>> {
        match self.body.get(key) {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(value) => serde_json::from_value(value.clone()).map_err(|_| wrong(key, "strings by name")),
        }
    }

    fn submission(&self, handle: &Handle, upload: &Upload) -> Result<JobSubmission> {
        let job = match self.text("jobId", "jobId") {
            Some(text) => {
                text.parse().map_err(|error: crate::ids::InvalidId| Refusal::bad_request(error.to_string()))?
            }
            None => JobId(fastrand::u128(..)),
        };
        let mut configuration = self.map("flinkConfiguration")?;
        if let Some(parallelism) = self.text("parallelism", "parallelism") {
            configuration.insert("parallelism.default".to_owned(), parallelism);
        }
        let mut files = BTreeMap::new();
        for (name, id) in self.map("files")? {
            files.insert(name, resource(handle, &find(handle, &id)?));
        }
        let program = Program {
            name: upload.name.clone(),
            executable: resource(handle, upload),
            arguments: self.arguments()?,
            environment: self.map("environment")?,
            files,
        };
        Ok(JobSubmission { job, program, configuration })
    }
}

fn wrong(key: &str, expected: &str) -> Refusal {
    Refusal::bad_request(format!("{key} takes {expected}"))
}

fn resource(handle: &Handle, upload: &Upload) -> LocalResource {
    LocalResource {
        url: format!("http://{}/blobs/{}", handle.about().address, upload.blob.as_str()),
        size: upload.bytes,
        sha256: Some(upload.blob.as_str().to_owned()),
        kind: LocalResourceType::File,
        visibility: Visibility::Public,
        executable: true,
    }
}

/// Splits at blanks, keeping `'…'` and `"…"` together, without escapes; as Flink did.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_with(String::new);
            }
            None if c.is_whitespace() => words.extend(word.take()),
            Some(_) | None => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    words
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
    fn the_body_outranks_the_query_and_empty_counts_as_absent() {
        let query = BTreeMap::from([
            ("parallelism".to_owned(), "3".to_owned()),
            ("program-args".to_owned(), "--a 'b c'".to_owned()),
        ]);
        let request = RunRequest::new(br#"{"parallelism":"","programArgs":null}"#, query.clone()).ok().unwrap();
        assert_eq!(request.text("parallelism", "parallelism").as_deref(), Some("3"));
        assert_eq!(request.arguments().ok().unwrap(), ["--a", "b c"]);
        let request = RunRequest::new(br#"{"parallelism":2,"programArgsList":["x y"]}"#, query).ok().unwrap();
        assert_eq!(request.text("parallelism", "parallelism").as_deref(), Some("2"));
        assert_eq!(request.arguments().ok().unwrap(), ["x y"]);
    }

    #[test]
    fn file_names_cannot_lead_anywhere() {
        for (text, name) in [("a/b/c.jar", "c.jar"), ("..", "program"), ("C:\\x\\y", "y"), ("a?b", "a_b")] {
            assert_eq!(file_name(text), name, "{text}");
        }
        assert_eq!(words("a \"b c\" '' d"), ["a", "b c", "", "d"]);
    }
}

//! Asking others, with a deadline each time.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::Error;
use crate::rpc::{ClusterSecret, Credentials, ErrorKind, SECRET_HEADER, Tls, io_cause};
use crate::time::Deadline;

/// Tries of an idempotent request, with these bounds of the jittered pause between them.
const TRIES_MAX: u32 = 4;
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The slowest transfer of a file that still counts as progress.
const TRANSFER_BYTES_PER_SECOND_MIN: u64 = 256 << 10;
/// How much of an explanation is shown.
const EXPLANATION_CHARS_MAX: usize = 2_000;

/// A client of one server. Cheap to clone; clones share connections. Proxies are never used.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    scheme: &'static str,
    authority: String,
    deadline: Duration,
    headers: Vec<(&'static str, String)>,
}

impl Client {
    /// Asks `authority` (`host:port`), each time for at most 10 seconds.
    pub fn new(authority: &str) -> Self {
        let http = client(&Tls::OFF);
        let authority = authority.trim_start_matches("http://").trim_start_matches("https://");
        let authority = authority.trim_end_matches('/').to_owned();
        Self { http, scheme: "http", authority, deadline: Duration::from_secs(10), headers: Vec::new() }
    }

    /// Speaks as `tls` says.
    #[must_use]
    pub fn with_tls(self, tls: &Tls) -> Self {
        if tls.is_on() { Self { http: client(tls), scheme: tls.scheme(), ..self } } else { self }
    }

    /// Shows what there is to show, and speaks TLS where that is on.
    #[must_use]
    pub fn with_credentials(self, credentials: &Credentials) -> Self {
        let mut client = self.with_tls(&credentials.tls);
        if let Some(secret) = &credentials.secret {
            client = client.with_secret(secret);
        }
        client.headers.extend(credentials.token.as_ref().map(|token| ("authorization", token.header())));
        client
    }

    /// Changes the time each call has, retries included.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Presents the cluster's secret with each call.
    #[must_use]
    pub fn with_secret(mut self, secret: &ClusterSecret) -> Self {
        self.headers.push((SECRET_HEADER, secret.reveal().to_owned()));
        self
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The whole address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.authority)
    }

    /// GET, answered in JSON. Tried again while that may help.
    ///
    /// # Errors
    /// [`Error`]; its `kind` says whether later may be better. The same holds for the other calls.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let call = self.call(Method::GET, path);
        let text = call.repeat(|request| request).await?;
        call.decode(&text)
    }

    /// GET, answered in text.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_text(&self, path: &str) -> Result<String, Error> {
        self.call(Method::GET, path).repeat(|request| request).await
    }

    /// POST of JSON, answered in JSON. Tried once: it may not be idempotent.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Error> {
        let call = self.call(Method::POST, path);
        let text = call.once(|request| request.json(body)).await?;
        call.decode(&text)
    }

    /// POST of JSON, answered in JSON. Tried again, until the deadline, as long as it has certainly not been taken: nobody listens there,
    /// or the server says that it is not ready (503).
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post_when_ready<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, Error> {
        let call = self.call(Method::POST, path);
        let text = call.repeat_while(Error::is_not_taken, u32::MAX, |request| request.json(body)).await?;
        call.decode(&text)
    }

    /// PATCH without body, answered in text. Tried once.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn patch(&self, path: &str) -> Result<String, Error> {
        self.call(Method::PATCH, path).once(|request| request).await
    }

    /// PUT of JSON, answered in JSON. Tried again while that may help.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn put<B: Serialize + ?Sized, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Error> {
        let call = self.call(Method::PUT, path);
        let text = call.repeat(|request| request.json(body)).await?;
        call.decode(&text)
    }

    /// DELETE, answered in text. Tried again while that may help.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete(&self, path: &str) -> Result<String, Error> {
        self.call(Method::DELETE, path).repeat(|request| request).await
    }

    /// PUT of a file as it lies on the disk, streamed. Has as much more time as a slow transfer needs.
    ///
    /// # Errors
    /// As [`Client::get`], or [`Error::File`].
    pub async fn upload(&self, path: &str, file: &Path) -> Result<String, Error> {
        let failed = |source| Error::File { verb: "read", path: file.to_owned(), source };
        let content = File::open(file).await.map_err(failed)?;
        let length = content.metadata().await.map_err(failed)?.len();
        let mut call = self.call(Method::PUT, path);
        call.limit += transfer_time(length);
        let body = Body::wrap_stream(ReaderStream::with_capacity(content, 256 << 10));
        call.once(|request| request.header(CONTENT_LENGTH, length).body(body)).await
    }

    /// Whether `path` is there, by HEAD. Tried again while that may help.
    ///
    /// # Errors
    /// As [`Client::get`]; an absent path is no error.
    pub async fn exists(&self, path: &str) -> Result<bool, Error> {
        match self.call(Method::HEAD, path).repeat(|request| request).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// POST of a file as the only part of a multipart form, streamed, answered in JSON. Tried once; has as much more time as a
    /// slow transfer needs.
    ///
    /// # Errors
    /// As [`Client::get`], or [`Error::File`].
    pub async fn post_form_file<T: DeserializeOwned>(&self, path: &str, name: &str, file: &Path) -> Result<T, Error> {
        const BOUNDARY: &str = "flott-form-boundary-7c1d9a52e4";
        let failed = |source| Error::File { verb: "read", path: file.to_owned(), source };
        let content = File::open(file).await.map_err(failed)?;
        let name = name.replace(['"', '\r', '\n'], "_");
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let file_bytes = content.metadata().await.map_err(failed)?.len();
        let length = file_bytes + head.len() as u64 + tail.len() as u64;
        let text = |text: String| futures_util::stream::iter([io::Result::Ok(bytes::Bytes::from(text))]);
        let body = text(head).chain(ReaderStream::with_capacity(content, 256 << 10)).chain(text(tail));
        let mut call = self.call(Method::POST, path);
        call.limit += transfer_time(length);
        let answer = call
            .once(|request| {
                let kind = format!("multipart/form-data; boundary={BOUNDARY}");
                request.header(CONTENT_TYPE, kind).header(CONTENT_LENGTH, length).body(Body::wrap_stream(body))
            })
            .await?;
        call.decode(&answer)
    }

    pub(super) fn call(&self, method: Method, path: &str) -> Call<'_> {
        let url = if path.starts_with('/') { self.url(path) } else { path.to_owned() };
        Call { client: self, method, url, limit: self.deadline }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("authority", &self.authority)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

fn client(tls: &Tls) -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none()) // Headers with secrets go where they were meant to.
        .tcp_nodelay(true)
        .tls_backend_preconfigured(tls.request_config())
        .build()
        .expect("a client with its TLS given needs nothing of the system")
}

fn transfer_time(bytes: u64) -> Duration {
    Duration::from_secs(bytes / TRANSFER_BYTES_PER_SECOND_MIN)
}

/// One request, possibly tried several times.
pub(super) struct Call<'a> {
    client: &'a Client,
    method: Method,
    url: String,
    pub(super) limit: Duration,
}

impl Call<'_> {
    async fn once(&self, fill: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Result<String, Error> {
        self.within(self.limit, self.exchange(fill)).await
    }

    async fn exchange(&self, fill: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Result<String, Error> {
        let response = self.start(fill).await?;
        response.text().await.map_err(|error| self.failed(&error))
    }

    /// Tries again on transient failures until the deadline.
    async fn repeat(&self, fill: impl Fn(RequestBuilder) -> RequestBuilder) -> Result<String, Error> {
        self.repeat_while(|error| error.kind() == ErrorKind::Transient, TRIES_MAX, fill).await
    }

    /// Tries again on such failures until the deadline, so many times in all.
    async fn repeat_while(
        &self,
        may_help: impl Fn(&Error) -> bool,
        tries_max: u32,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<String, Error> {
        let deadline = Deadline::after(self.limit);
        let mut pause = PAUSE_MIN;
        for _ in 1..tries_max {
            let error = match self.within(deadline.remaining(), self.exchange(&fill)).await {
                Err(error) if may_help(&error) => error,
                outcome => return outcome,
            };
            let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            if deadline.remaining() <= jittered {
                return Err(error);
            }
            tokio::time::sleep(jittered).await;
            pause = (pause * 3).min(PAUSE_MAX);
        }
        self.within(deadline.remaining(), self.exchange(&fill)).await
    }

    /// Until the head of a good answer has come.
    pub(super) async fn start(&self, fill: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Result<Response, Error> {
        let mut request = self.client.http.request(self.method.clone(), &self.url);
        // A resource's address may lead to a stranger, or past the encryption: there our secrets must not go.
        let ours = self.authority() == self.client.authority && self.url.starts_with(self.client.scheme);
        for (name, value) in self.client.headers.iter().filter(|_| ours) {
            request = request.header(*name, value);
        }
        let response = fill(request).send().await.map_err(|error| self.failed(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        Err(Error::Status { request: self.describe(), status: status.as_u16(), message: explanation(status, &text) })
    }

    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(limit, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Deadline { request: self.describe(), limit: self.limit }),
        }
    }

    fn decode<T: DeserializeOwned>(&self, text: &str) -> Result<T, Error> {
        // An empty answer is JSON's null, so that () can be asked for.
        let json = if text.is_empty() { "null" } else { text };
        serde_json::from_str(json).map_err(|error| Error::Decode { request: self.describe(), cause: error.to_string() })
    }

    pub(super) fn failed(&self, error: &reqwest::Error) -> Error {
        let cause = root_cause(error);
        if error.is_connect() {
            return Error::Connect { authority: self.authority(), cause };
        }
        Error::Broken { request: self.describe(), cause }
    }

    fn authority(&self) -> String {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest).to_owned()
    }

    pub(super) fn describe(&self) -> String {
        format!("{} {}", self.method, self.url)
    }
}

/// The innermost error says what happened; those around it only where.
pub fn root_cause(error: &reqwest::Error) -> String {
    let mut source: &(dyn std::error::Error + 'static) = error;
    loop {
        if let Some(io) = source.downcast_ref::<io::Error>()
            && io.get_ref().is_none_or(|inner| inner.is::<rustls::Error>() || inner.is::<io::Error>())
        {
            return io_cause(io);
        }
        match source.source() {
            Some(inner) => source = inner,
            None => return io_cause(&io::Error::other(source.to_string())), // In the same words as where sockets are used at first hand.
        }
    }
}

/// What a refusing answer says: Flink's `errors`, YARN's `RemoteException`, else the text itself.
fn explanation(status: StatusCode, text: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let flink = json.pointer("/errors").and_then(|errors| errors.as_array()).and_then(|errors| errors.last()?.as_str());
    let yarn = json.pointer("/RemoteException/message").and_then(|message| message.as_str());
    let said = without_class(flink.or(yarn).unwrap_or(text).trim());
    if said.is_empty() {
        return status.canonical_reason().unwrap_or("refused").to_lowercase();
    }
    said.chars().take(EXPLANATION_CHARS_MAX).collect()
}

/// What is said, without the Java exception's class that both protocols put before it.
fn without_class(said: &str) -> &str {
    match said.split_once(": ") {
        Some((class, rest)) if class.contains('.') && class.ends_with("Exception") && !class.contains(' ') => rest,
        _ => said,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::body::Bytes;
    use axum::http::HeaderMap;
    use axum::routing::{get, post, put};
    use sha2::{Digest, Sha256};
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::rpc::http::Server;

    fn serve(tasks: &mut JoinSet<()>, router: Router) -> Client {
        let server = Server::bind("127.0.0.1", 0).unwrap();
        let client = Client::new(&server.local_addr().to_string());
        let served = server.serve(router, CancellationToken::new());
        tasks.spawn(async move { served.await.unwrap() });
        client
    }

    #[tokio::test]
    async fn a_file_comes_back_as_it_went() {
        let router = Router::new()
            .route("/echo", put(|body: Bytes| async move { body }))
            .route("/file", get(|| async { vec![7_u8; 1 << 20] }))
            .layer(axum::extract::DefaultBodyLimit::disable());
        let mut tasks = JoinSet::new();
        let client = serve(&mut tasks, router);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let download = client.download("/file", &file).await.unwrap();
        assert_eq!(download.bytes, 1 << 20);
        assert_eq!(std::fs::read(&file).unwrap(), vec![7; 1 << 20]);
        let expected: String = Sha256::digest(vec![7; 1 << 20]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(download.sha256, expected);
        assert_eq!(client.upload("/echo", &file).await.unwrap().len(), 1 << 20);
        let error = client.upload("/echo", &dir.path().join("none")).await.unwrap_err();
        assert!(error.to_string().contains("none: no such file or directory"), "{error}");
    }

    #[tokio::test]
    async fn idempotent_requests_are_tried_again_and_others_are_not() {
        let tries = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&tries);
        let flaky = move || {
            let third = count.fetch_add(1, Ordering::Relaxed) >= 2;
            async move { if third { Ok("7") } else { Err((StatusCode::SERVICE_UNAVAILABLE, "")) } }
        };
        let mut tasks = JoinSet::new();
        let client = serve(&mut tasks, Router::new().route("/flaky", get(flaky.clone()).post(flaky)));
        let error = client.post::<_, u32>("/flaky", "").await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Transient, Some(503)));
        assert_eq!(tries.load(Ordering::Relaxed), 1);
        assert_eq!(client.get::<u32>("/flaky").await.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_was_certainly_not_taken_is_posted_again() {
        let tries = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&tries);
        let late = move || {
            let seventh = count.fetch_add(1, Ordering::Relaxed) >= 6;
            async move { if seventh { Ok("7") } else { Err((StatusCode::SERVICE_UNAVAILABLE, "")) } }
        };
        let broken = || async { StatusCode::INTERNAL_SERVER_ERROR };
        let mut tasks = JoinSet::new();
        let router = Router::new().route("/late", post(late)).route("/broken", post(broken));
        let client = serve(&mut tasks, router);
        assert_eq!(client.post_when_ready::<_, u32>("/late", "").await.unwrap(), 7);
        let error = client.post_when_ready::<_, u32>("/broken", "").await.unwrap_err();
        assert_eq!((error.status(), tries.load(Ordering::Relaxed)), (Some(500), 7));
        let nobody = Client::new("127.0.0.1:1").with_deadline(Duration::from_millis(200));
        assert!(nobody.post_when_ready::<_, u32>("/late", "").await.unwrap_err().is_not_taken());
    }

    #[tokio::test]
    async fn the_cause_comes_first() {
        let router = Router::new()
            .route("/flink", get(|| async { (StatusCode::NOT_FOUND, r#"{"errors":["outer","Job 7 not found"]}"#) }))
            .route(
                "/class",
                get(|| async { (StatusCode::NOT_FOUND, r#"{"errors":["a.b.NotFoundException: no such job"]}"#) }),
            )
            .route("/yarn", get(|| async { (StatusCode::FORBIDDEN, r#"{"RemoteException":{"message":"no"}}"#) }))
            .route("/never", get(std::future::pending::<()>))
            .route(
                "/secret",
                get(|headers: HeaderMap| async move { headers[SECRET_HEADER].to_str().unwrap().to_owned() }),
            );
        let mut tasks = JoinSet::new();
        let client = serve(&mut tasks, router).with_deadline(Duration::from_millis(200));
        let text = async |path| client.get_text(path).await.unwrap_err().to_string();
        assert!(text("/flink").await.starts_with("Job 7 not found (GET http://127.0.0.1:"));
        assert!(text("/class").await.starts_with("no such job (GET"));
        assert!(text("/yarn").await.starts_with("no (GET"));
        assert!(text("/nothing").await.starts_with("not found (GET"));
        assert!(text("/never").await.ends_with("was not answered within 200ms"));
        let client = client.with_secret(&ClusterSecret::new("sesame").unwrap());
        assert_eq!(client.get_text("/secret").await.unwrap(), "sesame");
        assert!(!format!("{client:?}").contains("sesame"));

        let gone = Server::bind("127.0.0.1", 0).unwrap().local_addr().to_string();
        let error = Client::new(&gone).get_text("/").await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot connect to {gone}: connection refused"));
    }
}

//! Opening a connection: TCP, then an HTTP/1.1 upgrade.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode, body};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Refusal;
use super::pump::End;
use crate::rpc::{Tls, io_cause};

/// The name of the protocol in HTTP's `Upgrade` header.
pub(super) const UPGRADE_NAME: &str = "flott-link";

/// Where a link leads.
#[derive(Clone)]
pub struct LinkTarget {
    authority: String,
    path: String,
    headers: Vec<(String, String)>,
    tls: Tls,
}

impl LinkTarget {
    /// `authority` is `host:port`, `path` begins with a slash.
    pub fn new(authority: impl Into<String>, path: impl Into<String>) -> Self {
        Self { authority: authority.into(), path: path.into(), headers: Vec::new(), tls: Tls::OFF }
    }

    /// Connects as `tls` says.
    #[must_use]
    pub fn with_tls(self, tls: &Tls) -> Self {
        Self { tls: tls.clone(), ..self }
    }

    /// Sends a header along, for example a secret. It is not shown anywhere.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Debug for LinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkTarget({}://{}{})", self.tls.scheme(), self.authority, self.path)
    }
}

/// Connects and upgrades within `limit`.
pub(super) async fn connect(target: &LinkTarget, limit: Duration) -> Result<TokioIo<Upgraded>, End> {
    let authority = &target.authority;
    match timeout(limit, try_connect(target)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(End::Broken(format!("cannot connect to {authority}: no answer within {limit:?}"))),
    }
}

async fn try_connect(target: &LinkTarget) -> Result<TokioIo<Upgraded>, End> {
    let authority = &target.authority;
    let io_failed = |error| End::Broken(format!("cannot connect to {authority}: {}", io_cause(&error)));
    let stream = TcpStream::connect(authority.as_str()).await.map_err(io_failed)?;
    stream.set_nodelay(true).map_err(io_failed)?;
    match target.tls.connector() {
        Some(connector) => upgrade(target, connector.connect(stream).await.map_err(io_failed)?).await,
        None => upgrade(target, stream).await,
    }
}

async fn upgrade<S>(target: &LinkTarget, stream: S) -> Result<TokioIo<Upgraded>, End>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let authority = &target.authority;
    let http_failed = |error: hyper::Error| End::Broken(format!("cannot open a link to {authority}: {error}"));
    let request = request(target)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http_failed)?;
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(http_failed)?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            hyper::upgrade::on(response).await.map(TokioIo::new).map_err(http_failed)
        } else {
            Err(declined(authority, response).await)
        }
        // The sender is dropped here, which ends the connection's future if it was not upgraded.
    };
    let (outcome, _) = tokio::join!(exchange, connection.with_upgrades());
    outcome
}

fn request(target: &LinkTarget) -> Result<Request<Body>, End> {
    let mut request = Request::get(&target.path)
        .header(HOST, &target.authority)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, UPGRADE_NAME);
    for (name, value) in &target.headers {
        request = request.header(name, value);
    }
    request.body(Body::empty()).map_err(|error| {
        let target = format!("{target:?} is no valid address: {error}");
        End::Ended(Refusal::new(Refusal::HTTP, target))
    })
}

/// The server answered, but did not upgrade.
async fn declined(authority: &str, response: Response<body::Incoming>) -> End {
    const EXPLANATION_BYTES_MAX: usize = 4096;
    let status = response.status();
    let explanation = match Limited::new(response.into_body(), EXPLANATION_BYTES_MAX).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        Err(_) => String::new(),
    };
    let separator = if explanation.is_empty() { "" } else { ": " };
    let cause = format!("{authority} opens no link here ({status}){separator}{explanation}");
    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
        End::Ended(Refusal::new(Refusal::HTTP, cause))
    } else {
        End::Broken(cause)
    }
}

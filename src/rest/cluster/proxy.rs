//! `/proxy/{application}/…`: a running application's own web interface, behind the ResourceManager's address.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, LOCATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::Context;
use super::applications::{parse_application, report};
use super::error::Error;
use super::history::{self, Question};
use crate::resourcemanager::report::ApplicationReport;
use crate::rpc::http::root_cause;
use crate::rpc::{ClusterSecret, Role, SECRET_HEADER, Tls};

/// Headers that concern one connection, and what must not leave the cluster's front.
const NOT_FORWARDED: [HeaderName; 11] = [
    // Who asked is our business: an application would learn a user's token.
    AUTHORIZATION,
    HeaderName::from_static(SECRET_HEADER),
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Type of the applications whose pages hold nothing until who looks at them shows a token: flott's own.
const PAGES_ARE_EMPTY: &str = "FLOTT";

/// One client for every proxied request. Redirects are for the browser to follow; answers may take as long as they like.
pub(super) fn client(tls: &Tls) -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls.request_config())
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        // Sooner than the other end closes it: a request on a connection that is being closed is lost.
        .pool_idle_timeout(Duration::from_secs(10));
    builder.build().expect("a client with its TLS given needs nothing from the system")
}

/// Relative links need the slash.
pub(super) async fn to_slash(Path(id): Path<String>) -> Redirect {
    Redirect::temporary(&format!("/proxy/{id}/"))
}

pub(super) async fn forward(State(context): State<Context>, request: Request) -> Result<Response, Error> {
    let uri = request.uri().clone();
    let rest = uri.path().strip_prefix("/proxy/").unwrap_or_default();
    let (id, path) = rest.split_once('/').unwrap_or((rest, ""));
    let question = Question {
        application: parse_application(id)?,
        method: request.method().clone(),
        path: path.to_owned(),
        headers: request.headers().clone(),
    };
    let report = match report(&context, id).await {
        Ok(report) => report,
        // Archives may be kept for longer than the ResourceManager remembers.
        Err(forgotten) => return history::answer(&context, question).await?.ok_or(forgotten),
    };
    let guarded = context.handle.security().is_guarded();
    let known = request.extensions().get::<Role>().is_some();
    if guarded && !known && report.application_type != PAGES_ARE_EMPTY {
        return Err(Error::unauthorized("show a token to see this application's pages"));
    }
    let Some((base, sign)) = context.handle.tracking_url(report.id).await? else {
        return match history::answer(&context, question).await? {
            Some(archived) if report.state.is_terminal() => Ok(archived),
            Some(_) | None => Err(nothing_to_show(id, &report)),
        };
    };
    let base = base.trim_end_matches('/');
    let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{base}/{path}{query}");
    let sign = (guarded && known).then_some(sign);
    let answer = send(&context, request, (&target, sign.as_ref()), &base, id).await?;
    if answer.status() == StatusCode::NOT_FOUND
        && let Some(archived) = history::answer_of_job(&context, question).await?
    {
        return Ok(archived);
    }
    Ok(answer)
}

fn nothing_to_show(id: &str, report: &ApplicationReport) -> Error {
    let because = match (&report.waiting_reason, report.state.is_terminal()) {
        (_, true) => "it has ended, and archived no job",
        (Some(reason), false) => reason,
        (None, false) => "its master has not registered an address",
    };
    Error::not_found(format!("{id} ({}) has no web interface to show: {because}", report.state))
}

async fn send(
    context: &Context,
    request: Request,
    (target, sign): (&str, Option<&ClusterSecret>),
    base: &str,
    id: &str,
) -> Result<Response, Error> {
    let method = request.method().clone();
    let mut headers = request.headers().clone();
    let forwarded_host = headers.get(HOST).cloned();
    let has_body = headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    let length = headers.get(CONTENT_LENGTH).cloned();
    strip(&mut headers);
    if let Some(sign) = sign.and_then(|sign| HeaderValue::from_str(sign.reveal()).ok()) {
        headers.insert(SECRET_HEADER, sign);
    }
    if let Some(host) = forwarded_host {
        headers.entry("x-forwarded-host").or_insert(host);
    }
    let mut outgoing = context.http.request(method.clone(), target).headers(headers);
    if has_body && method != Method::GET && method != Method::HEAD {
        if let Some(length) = length {
            outgoing = outgoing.header(CONTENT_LENGTH, length);
        }
        outgoing = outgoing.body(reqwest::Body::wrap_stream(request.into_body().into_data_stream()));
    }
    let answer = outgoing.send().await.map_err(|error| {
        let why = if error.is_connect() { "it does not answer" } else { "it broke off" };
        let message = format!("cannot reach the web interface of {id} at {base}: {why}: {}", root_cause(&error));
        Error::Plain { status: StatusCode::BAD_GATEWAY, message }
    })?;
    let status = answer.status();
    let mut headers = answer.headers().clone();
    // How long it is stays true: the bytes are passed on as they come.
    let length = headers.get(CONTENT_LENGTH).cloned();
    strip(&mut headers);
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length);
    }
    relocate(&mut headers, base, id);
    let body = if method == Method::HEAD { Body::empty() } else { Body::from_stream(answer.bytes_stream()) };
    Ok((status, headers, body).into_response())
}

fn strip(headers: &mut HeaderMap) {
    for name in NOT_FORWARDED {
        headers.remove(name);
    }
}

/// A redirect within the interface stays behind the proxy.
fn relocate(headers: &mut HeaderMap, base: &str, id: &str) {
    let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) else { return };
    let inside = location.strip_prefix(base).or_else(|| location.starts_with('/').then_some(location));
    if let Some(value) = inside.and_then(|path| HeaderValue::from_str(&format!("/proxy/{id}{path}")).ok()) {
        headers.insert(LOCATION, value);
    }
}

//! Who may change something: no foreign page in a browser, and on a cluster with a secret nobody without it.

use axum::extract::{Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Context;
use super::error::Error;
use crate::rpc::SECRET_HEADER;

/// YARN's user of those who do not say who they are.
const STATIC_USER: &str = "dr.who";

/// Anybody may read, from any page. Writes accept no `Origin` but that of the own host, and need the secret where there is one;
/// masters show their token instead.
pub(super) async fn guard(State(context): State<Context>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = request.uri().path();
    let proxied = path.starts_with("/proxy/");
    if !reads {
        if !is_own_origin(request.headers()) {
            return Error::forbidden("writes from pages of other origins are refused").into_response();
        }
        let by_master = path.starts_with("/ws/v1/cluster/application-master/");
        // With tokens or certificates somebody else has looked already.
        let guarded = context.handle.security().is_guarded();
        if let Some(secret) = context.handle.secret().filter(|_| !by_master && !guarded) {
            let shown = request.headers().get(SECRET_HEADER).and_then(|value| value.to_str().ok());
            if !shown.is_some_and(|shown| secret.matches(shown)) {
                let message = format!("this cluster has a secret; show it in the header {SECRET_HEADER}");
                return Error::unauthorized(message).into_response();
            }
        }
    }
    let mut response = next.run(request).await;
    if reads && !proxied {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

fn is_own_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Some((_, origin_host)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else {
        return false; // `null` and other oddities.
    };
    let names = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()) == Some(origin_host);
    names(HOST.as_str()) || names("x-forwarded-host")
}

/// Query of every request that has a user.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Identity {
    #[serde(rename = "user.name")]
    user_name: Option<String>,
}

impl Identity {
    /// Who reads.
    pub(super) fn reader(&self) -> &str {
        self.user_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(STATIC_USER)
    }

    /// Who writes.
    pub(super) fn writer(&self) -> Result<&str, Error> {
        match self.reader() {
            STATIC_USER => {
                let message =
                    "The default static user cannot carry out this operation; say who you are with ?user.name=";
                Err(Error::unauthorized(message))
            }
            user => Ok(user),
        }
    }
}

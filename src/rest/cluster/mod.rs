//! The ResourceManager's REST interface: YARN's, with its JSON, on the ResourceManager's [`Handle`].
//!
//! ```text
//! request ─► guard (Origin, secret) ─► handler ─ Handle ─► ResourceManager
//!                                         └─► yarn_rest types ─► JSON, errors as RemoteException
//! ```
//!
//! Extensions to YARN, all optional for clients: `GET /apps/{id}?wait_ms=&since=` waits for a newer `version`;
//! `/blobs/{sha256}` takes uploads; `PUT /scheduler-conf/queues?dry-run=` replaces the tree of queues with a queues file;
//! `/history` lists ended jobs of all applications, and `/proxy/{id}/` shows them when the application has ended;
//! `PUT /excluded-nodes` has nodes leave or come back; `/application-master/…` is the master's protocol as plain HTTP; `waitingReason` and
//! `exitCause` on an application. It knows how things look, never how they are decided.

mod activities;
mod applications;
mod blobs;
mod container_logs;
mod convert;
mod error;
mod exclusion;
mod exposition;
mod filter;
mod guard;
mod history;
mod live;
mod master;
mod nodes;
mod overview;
mod proxy;
mod queues;
mod submit;
#[cfg(test)]
mod tests;
mod timeouts;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use serde::Serialize;

use self::error::Error;
use super::access::{Face, Need, is_page, reads, usual};
use super::reworded;
use crate::resourcemanager::Handle;

/// What handlers share.
#[derive(Clone)]
struct Context {
    handle: Handle,
    /// For the proxy; keeps connections to masters.
    http: reqwest::Client,
    archived: history::Lines,
}

/// How strangers are met.
pub const FACE: Face = Face {
    need,
    refusal: |status, message| match status {
        StatusCode::UNAUTHORIZED => Error::unauthorized(message).into_response(),
        _ => Error::forbidden(message).into_response(),
    },
};

fn need(method: &Method, path: &str) -> Need {
    const BY_TOKEN_OF_ITS_OWN: &str = "/ws/v1/cluster/application-master/";
    // Who knows the hash of a content has had the content, or was told by somebody who might.
    let by_hash = *method == Method::GET && path.starts_with("/ws/v1/cluster/blobs/");
    let page = is_page(method, path) || (reads(method) && (path == "/cluster" || path.starts_with("/cluster/app/")));
    if path.starts_with("/link/") {
        Need::Membership
    } else if by_hash || page || path.starts_with(BY_TOKEN_OF_ITS_OWN) {
        Need::Nothing
    } else if let Some((_, inner)) = path.strip_prefix("/proxy/").map(|rest| rest.split_once('/').unwrap_or((rest, "")))
    {
        super::flink::need_behind_proxy(method, inner)
    } else {
        usual(method)
    }
}

/// The interface over `handle`: `/ws/v1/cluster/…` and `/proxy/…`.
pub fn router(handle: Handle) -> Router {
    let http = proxy::client(&handle.security().tls);
    let context = Context { handle, http, archived: history::Lines::default() };
    let cluster = Router::new()
        .route("/", get(overview::info))
        .route("/info", get(overview::info))
        .route("/metrics", get(overview::metrics))
        .route("/scheduler", get(queues::scheduler))
        .route("/scheduler/app-activities/{id}", get(activities::of_application))
        .route("/scheduler/activities", get(activities::of_cluster))
        .route("/nodes", get(nodes::list))
        .route("/nodes/{id}", get(nodes::one))
        .route("/apps", get(applications::list).post(submit::submit))
        .route("/apps/new-application", post(submit::new_application))
        .route("/apps/{id}", get(applications::one))
        .route("/apps/{id}/state", get(applications::state).put(submit::put_state))
        .route("/apps/{id}/queue", get(applications::queue).put(queues::put_queue))
        .route("/apps/{id}/priority", get(applications::priority).put(queues::put_priority))
        .route("/apps/{id}/timeouts", get(timeouts::all))
        .route("/apps/{id}/timeouts/{type}", get(timeouts::one))
        .route("/apps/{id}/timeout", put(timeouts::put))
        .route("/excluded-nodes", put(exclusion::put))
        .route("/queues/{queue}/access", get(queues::access))
        .route("/scheduler-conf/queues", put(queues::apply))
        .route("/apps/{id}/appattempts", get(applications::attempts))
        .route("/apps/{id}/appattempts/{attempt}", get(applications::attempt))
        .route("/apps/{id}/appattempts/{attempt}/containers", get(applications::containers))
        .route("/apps/{id}/appattempts/{attempt}/containers/{container}", get(applications::container))
        .route("/history", get(history::list))
        .route("/diagnosis", get(live::diagnosis))
        .route("/appstatistics", get(applications::statistics))
        .route("/blobs/{sha256}", get(blobs::get).put(blobs::put))
        .route("/application-master/register", post(master::register))
        .route("/application-master/allocate", post(master::allocate))
        .route("/application-master/finish", post(master::finish))
        .fallback(not_found)
        .layer(axum::middleware::map_response(|response| reworded(response, in_our_form)));
    let past = Router::new()
        .route("/apps/{id}/containers", get(container_logs::containers))
        .route("/containers/{id}/logs", get(container_logs::list))
        .route("/containers/{id}/logs/{file}", get(container_logs::content))
        .route("/containerlogs/{id}/{file}", get(container_logs::content))
        .fallback(not_found)
        .layer(axum::middleware::map_response(|response| reworded(response, in_our_form)));
    Router::new()
        .nest("/ws/v1/applicationhistory", past)
        .route("/ws/v1/cluster", get(overview::info))
        .nest("/ws/v1/cluster/", cluster)
        .route("/metrics", get(exposition::metrics))
        .route("/prom", get(exposition::metrics))
        .route("/cluster/app/{id}", get(applications::to_page))
        .route("/live/cluster", get(live::cluster))
        .route("/proxy/{id}", any(proxy::to_slash))
        .route("/proxy/{id}/", any(proxy::forward))
        .route("/proxy/{id}/{*path}", any(proxy::forward))
        .layer(axum::middleware::from_fn_with_state(context.clone(), guard::guard))
        .with_state(context)
}

/// What was refused before any of our handlers was asked.
fn in_our_form(status: StatusCode, message: String) -> Response {
    let exception =
        if status == StatusCode::METHOD_NOT_ALLOWED { "WebApplicationException" } else { "BadRequestException" };
    Error::Exception { status, exception, message }.into_response()
}

async fn not_found(uri: axum::http::Uri) -> Error {
    Error::not_found(format!("null for uri: {uri}"))
}

/// JSON as YARN labels it.
fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response(),
        Err(error) => Error::internal(error.to_string()).into_response(),
    }
}

//! A NodeManager over HTTP: YARN's `/ws/v1/node` and its container management.
//!
//! ```text
//! master ── POST containers, containers/stop ──► Handle ──► NodeManager
//! people, tools ── GET info, apps, containers ──► Handle::view ──► YARN's JSON keys
//!               └─ GET logs ──► files of the container's log directory, by ranges, or followed
//! ```

mod exposition;
mod logs;
#[cfg(test)]
mod tests;
mod views;

use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::views::{application_json, container_json, info_json, list};
use super::access::{Face, Need, is_page, reads, usual};
use crate::ids::{ApplicationId, ContainerId};
use crate::nodemanager::{ContainerView, Handle, NodeView, Refused};
use crate::protocol::node::{CONTAINERS_PATH, StartContainer, Started, StopContainers};
use crate::protocol::yarn_rest::RemoteException;
use crate::rpc::ErrorKind;
use crate::time::{Clock, SystemClock};

/// How strangers are met.
pub const FACE: Face = Face {
    need,
    refusal: |status, message| {
        let exception =
            if status == StatusCode::UNAUTHORIZED { "AuthorizationException" } else { "ForbiddenException" };
        Failure { status, exception, message }.into_response()
    },
};

fn need(method: &Method, path: &str) -> Need {
    let page =
        is_page(method, path) || (reads(method) && (path == "/node" || path.starts_with("/node/containerlogs/")));
    // Masters show a token that the ResourceManager has signed, with each container.
    let by_master = !reads(method) && path.starts_with(CONTAINERS_PATH);
    if page || by_master { Need::Nothing } else { usual(method) }
}

/// The API of the node behind `handle`.
pub fn router(handle: Handle) -> Router {
    const NODE: &str = "/ws/v1/node";
    let under = |path: &str| format!("{NODE}{path}");
    let containers = |path: &str| format!("{CONTAINERS_PATH}{path}");
    Router::new()
        .route("/metrics", get(exposition::metrics))
        .route(NODE, get(info))
        .route(&under("/info"), get(info))
        .route(&under("/time"), get(time))
        .route(&under("/apps"), get(applications))
        .route(&under("/apps/{application}"), get(application))
        .route(CONTAINERS_PATH, get(all_containers).post(start))
        .route(&containers("/stop"), post(stop))
        .route(&containers("/{container}"), get(container))
        .route(&containers("/{container}/logs"), get(logs::list))
        .route(&containers("/{container}/logs/{file}"), get(logs::content))
        .route(&under("/containerlogs/{container}/{file}"), get(logs::content))
        .with_state(handle)
}

/// A refusal in YARN's words.
#[derive(Debug)]
struct Failure {
    status: StatusCode,
    exception: &'static str,
    message: String,
}

impl Failure {
    fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, exception: "NotFoundException", message: message.into() }
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, exception: "BadRequestException", message: message.into() }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let (status, exception) = match (&refused, refused.kind()) {
            (Refused::BadToken { .. }, _) => (StatusCode::FORBIDDEN, "InvalidContainerException"),
            (Refused::NoSuchContainer { .. }, _) => (StatusCode::NOT_FOUND, "NotFoundException"),
            (_, ErrorKind::Transient) => (StatusCode::SERVICE_UNAVAILABLE, "NMNotYetReadyException"),
            (_, ErrorKind::Fenced) => (StatusCode::CONFLICT, "InvalidContainerException"),
            (_, ErrorKind::Permanent | ErrorKind::User) => (StatusCode::BAD_REQUEST, "BadRequestException"),
        };
        Self { status, exception, message: refused.to_string() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(RemoteException::new(self.exception, self.message))).into_response()
    }
}

/// A body in JSON, refused in YARN's form.
struct Content<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Content<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let body = Bytes::from_request(request, state).await.map_err(|error| Failure {
            status: error.status(),
            exception: "BadRequestException",
            message: super::unread(error.status(), &error.body_text()),
        })?;
        let read = serde_json::from_slice(&body);
        read.map(Self).map_err(|error| Failure::bad_request(format!("the body cannot be read: {error}")))
    }
}

async fn info(State(node): State<Handle>) -> Result<Response, Failure> {
    let view = node.view().await?;
    Ok(Json(info_json(&view)).into_response())
}

/// An extension: this machine's clock, for who compares clocks.
async fn time() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "now": SystemClock::new().now() }))
}

#[derive(Deserialize)]
struct ApplicationFilter {
    state: Option<String>,
    user: Option<String>,
}

async fn applications(
    State(node): State<Handle>,
    Query(filter): Query<ApplicationFilter>,
) -> Result<Response, Failure> {
    let view = node.view().await?;
    let wanted =
        |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(is));
    let applications = view
        .applications
        .iter()
        .filter(|it| wanted(&filter.state, it.state) && wanted(&filter.user, &it.user))
        .map(|it| application_json(it, &view))
        .collect();
    Ok(Json(list("apps", "app", applications)).into_response())
}

async fn application(State(node): State<Handle>, Path(application): Path<String>) -> Result<Response, Failure> {
    let id: ApplicationId = application.parse().map_err(|error| Failure::bad_request(format!("{error}")))?;
    let view = node.view().await?;
    let found = view.applications.iter().find(|it| it.application == id);
    let found = found.ok_or_else(|| Failure::not_found(format!("app with id {id} not found")))?;
    Ok(Json(serde_json::json!({ "app": application_json(found, &view) })).into_response())
}

async fn all_containers(State(node): State<Handle>) -> Result<Response, Failure> {
    let view = node.view().await?;
    let containers = view.containers.iter().map(|it| container_json(it, &node)).collect();
    Ok(Json(list("containers", "container", containers)).into_response())
}

async fn container(State(node): State<Handle>, Path(container): Path<String>) -> Result<Response, Failure> {
    let id = container_id(&container)?;
    let view = node.view().await?;
    let found = find(&view, id).ok_or(Refused::NoSuchContainer { container })?;
    Ok(Json(serde_json::json!({ "container": container_json(found, &node) })).into_response())
}

async fn start(
    State(node): State<Handle>,
    Content(request): Content<StartContainer>,
) -> Result<Json<Started>, Failure> {
    Ok(Json(node.start(request).await?))
}

async fn stop(
    State(node): State<Handle>,
    Content(request): Content<StopContainers>,
) -> Result<Json<serde_json::Value>, Failure> {
    let containers = node.stop(request).await?;
    Ok(Json(serde_json::json!({ "containers": containers })))
}

fn container_id(text: &str) -> Result<ContainerId, Failure> {
    text.parse().map_err(|error| Failure::bad_request(format!("{error}")))
}

fn find(view: &NodeView, id: ContainerId) -> Option<&ContainerView> {
    view.containers.iter().find(|it| it.container == id)
}

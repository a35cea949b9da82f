//! The JobManager's HTTP API: Flink's, key for key, also under `/v1`. Flink's dashboard and command line can be pointed at it.
//!
//! ```text
//! request ─► route ─► Handle (submit, cancel, …) or view: (&Core, Now) ─► JSON
//! ```
//!
//! Extensions: `GET /jobs/:id?since=V&wait_ms=N` answers once the job's `version` exceeds V, and says `progress`;
//! `POST /jars/:id/run` takes `environment` and `files`; `GET /blobs/:sha256`.
//!
//! Invariants: a view computes nothing that the core does not know, and numbers are never left out (Flink's clients refuse such
//! answers); an error is `{"errors": […]}`; writes with a foreign `Origin` are refused.

mod answer;
mod applications;
mod archive;
mod checkpoints;
mod cluster;
mod exposition;
mod jars;
mod jobs;
mod live;
mod logs;
mod metrics;
mod origin;
mod rescaling;
mod runs;
mod task_managers;
mod vertices;
mod view;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware;
use axum::response::Response;

use self::answer::Refusal;
pub use self::archive::archive;
use super::access::{Access, Face, Need, is_page, reads, usual};
use super::reworded;
use crate::config::Security;
use crate::jobmanager::Handle;

/// Puts a router, the API with what else the JobManager serves, behind a guard as the JobManager is told.
pub fn guard(handle: &Handle, router: Router) -> Router {
    let about = handle.about();
    let security = Security { tls: about.credentials.tls.clone(), tokens: about.tokens.clone() };
    Access { security, secrets: about.secrets.clone() }.guard(router, FACE)
}

/// How strangers are met.
pub(super) const FACE: Face = Face { need, refusal: |status, message| Refusal::new(status, message).into() };

fn need(method: &Method, path: &str) -> Need {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    if path.starts_with("/link/") {
        return Need::Membership;
    }
    // Who knows the hash of a content has had the content, or was told by somebody who might.
    if is_page(method, path) || (reads(method) && path.starts_with("/blobs/")) {
        return Need::Nothing;
    }
    // Flink's dashboard cancels by GET.
    if path.ends_with("/yarn-cancel") || path.ends_with("/yarn-stop") { Need::Write } else { usual(method) }
}

/// What a request needs of the ResourceManager's users that its proxy passes on; `path` without the slash that begins it.
pub(super) fn need_behind_proxy(method: &Method, path: &str) -> Need {
    match need(method, &format!("/{path}")) {
        Need::Nothing if path.contains("blobs/") => Need::Read,
        Need::Membership => Need::Write,
        need => need,
    }
}

/// The routes, for the HTTP server that also carries the JobManager's links.
pub fn router(handle: Handle) -> Router {
    let api = Router::new().merge(cluster::routes()).merge(jobs::routes()).merge(jars::routes(&handle));
    let api = api.merge(checkpoints::routes()).merge(logs::routes()).merge(metrics::routes());
    let api = api.merge(rescaling::routes());
    let api = api.merge(vertices::routes()).merge(task_managers::routes()).merge(applications::routes());
    let api = api.merge(live::routes()).merge(exposition::routes());
    Router::new()
        .nest("/v1", api.clone())
        .merge(api)
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(middleware::map_response(|response| reworded(response, FACE.refusal)))
        .layer(middleware::from_fn(origin::guard))
        .with_state(handle)
}

async fn unknown(uri: Uri) -> Response {
    Refusal::not_found(format!("Unable to load requested file {}.", uri.path())).into()
}

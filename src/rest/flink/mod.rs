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
use axum::http::Uri;
use axum::middleware;
use axum::response::Response;

use self::answer::Refusal;
use crate::jobmanager::Handle;

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
        .layer(middleware::from_fn(origin::guard))
        .with_state(handle)
}

async fn unknown(uri: Uri) -> Response {
    Refusal::not_found(format!("Unable to load requested file {}.", uri.path())).into()
}

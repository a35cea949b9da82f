//! What the Web UI listens to: `/live/cluster` and `/live/jobs/:id`, each as one answer or as events ([`crate::rest::live`]), and
//! `/jobs/:id/diagnosis`. Extensions to Flink's API.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::answer::{Answer, Refusal, Result};
use super::jobs::{look, not_found, parse};
use super::view;
use crate::ids::JobId;
use crate::jobmanager::Handle;
use crate::rest::live;

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/live/cluster", get(cluster))
        .route("/live/jobs/{job}", get(job))
        .route("/jobs/{job}/diagnosis", get(diagnosis))
}

async fn cluster(State(handle): State<Handle>, headers: HeaderMap) -> Result<Response> {
    live::answer(&headers, move || {
        let handle = handle.clone();
        async move { Ok::<_, Refusal>(handle.view(|core, now| (now, view::live_cluster(core))).await?) }
    })
    .await
}

async fn job(State(handle): State<Handle>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response> {
    let id: JobId = parse(&id)?;
    live::answer(&headers, move || {
        let handle = handle.clone();
        async move {
            let seen =
                handle.view(move |core, now| core.job(id).map(|job| (now, view::live_job(core, job, now)))).await?;
            seen.ok_or_else(|| not_found(id))
        }
    })
    .await
}

/// What is the matter with a job, worst first.
async fn diagnosis(State(handle): State<Handle>, Path(id): Path<String>) -> Result {
    look(&handle, &id, view::diagnosis).await.map(Answer::ok)
}

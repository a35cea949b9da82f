//! Routes about applications, of Flink 2.3: each job is one, of its own id.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::answer::{Answer, Result};
use super::cluster::job_manager_config;
use super::jobs::{cancel, look};
use super::view;
use crate::jobmanager::Handle;

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/applications/overview", get(overview))
        .route("/applications/{job}", get(details))
        .route("/applications/{job}/exceptions", get(exceptions))
        .route("/applications/{job}/cancel", post(cancel))
        .route("/applications/{job}/jobmanager/config", get(job_manager_config))
}

async fn overview(State(handle): State<Handle>) -> Result {
    let list = handle.view(|core, now| core.jobs().map(|job| view::application_overview(job, now)).collect::<Value>());
    Ok(Answer::ok(json!({ "applications": list.await? })))
}

async fn details(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    look(&handle, &job, |_, job, now| view::application(job, now)).await.map(Answer::ok)
}

async fn exceptions(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    look(&handle, &job, |_, job, _| view::application_exceptions(job)).await.map(Answer::ok)
}

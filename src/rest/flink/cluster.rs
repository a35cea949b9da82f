//! Routes about the cluster: configuration, overview, TaskManagers.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{delete, get};
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, Result};
use super::view;
use crate::ids::TaskManagerId;
use crate::jobmanager::Handle;

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/config", get(config))
        .route("/overview", get(overview))
        .route("/cluster", delete(shut_down))
        .route("/taskmanagers", get(task_managers))
        .route("/taskmanagers/{id}", get(task_manager))
        .route("/jobmanager/config", get(job_manager_config))
}

/// What we call ourselves where Flink says its version: clients look at the number.
const VERSION: &str = env!("CARGO_PKG_VERSION");

async fn config(State(handle): State<Handle>) -> Answer {
    let about = handle.about();
    Answer::ok(json!({
        "refresh-interval": u64::try_from(about.refresh_interval.as_millis()).unwrap_or(u64::MAX),
        "timezone-name": "Coordinated Universal Time",
        "timezone-offset": 0,
        "flink-version": VERSION,
        "flink-revision": format!("flott {VERSION}"),
        "features": {
            "web-submit": about.uploads.is_some(),
            "web-cancel": about.cancel_enabled,
            "web-rescale": false,
            "web-history": false,
        },
    }))
}

async fn overview(State(handle): State<Handle>) -> Result {
    let mut body = handle.view(|core, _| view::overview(core)).await?;
    body["flink-version"] = VERSION.into();
    body["flink-commit"] = "flott".into();
    Ok(Answer::ok(body))
}

async fn shut_down(State(handle): State<Handle>) -> Result {
    handle.shut_down("stopped by a request").await?;
    Ok(Answer::ok(json!({})))
}

async fn task_managers(State(handle): State<Handle>) -> Result {
    let list = handle
        .view(|core, now| core.task_managers().keys().map(|id| view::task_manager(core, id, now)).collect::<Value>())
        .await?;
    Ok(Answer::ok(json!({ "taskmanagers": list })))
}

async fn task_manager(State(handle): State<Handle>, Path(id): Path<String>) -> Result {
    let id = TaskManagerId(id);
    let wanted = id.clone();
    let found = handle
        .view(move |core, now| {
            core.task_managers().contains_key(&wanted).then(|| view::task_manager_details(core, &wanted, now))
        })
        .await?;
    found.map(Answer::ok).ok_or_else(|| unknown_task_manager(&id))
}

pub(super) fn unknown_task_manager(id: &TaskManagerId) -> Refusal {
    Refusal::not_found(format!("TaskManager {id} not found"))
}

async fn job_manager_config(State(handle): State<Handle>) -> Answer {
    let settings = handle.about().configuration.iter();
    let entry =
        |setting: crate::config::Setting| setting.value.map(|value| json!({ "key": setting.key, "value": value }));
    Answer::ok(settings.filter_map(entry).collect())
}

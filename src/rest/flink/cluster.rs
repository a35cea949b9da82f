//! Routes about the cluster: configuration, overview, this process.

use axum::Router;
use axum::extract::State;
use axum::routing::{delete, get};
use serde_json::json;

use super::answer::{Answer, Result};
use super::view;
use crate::jobmanager::Handle;
use crate::telemetry;

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/config", get(config))
        .route("/overview", get(overview))
        .route("/cluster", delete(shut_down))
        .route("/jobmanager/config", get(job_manager_config))
        .route("/jobmanager/environment", get(environment))
        .route("/jobmanager/thread-dump", get(thread_dump))
        .route("/datasets", get(datasets))
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
            "web-submit": about.uploads.is_some() && about.submit_enabled,
            "web-cancel": about.cancel_enabled,
            "web-rescale": true,
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

pub(super) async fn job_manager_config(State(handle): State<Handle>) -> Answer {
    let settings = handle.about().configuration.iter();
    let entry = |setting: crate::config::Setting| {
        let origin = setting.origin.to_string(); // Ours.
        setting.value.map(|value| json!({ "key": setting.key, "value": value, "origin": origin }))
    };
    Answer::ok(settings.filter_map(entry).collect())
}

/// There is no virtual machine: what stands for its version is ours.
pub(super) async fn environment() -> Answer {
    let version = format!("flott {VERSION}, no virtual machine");
    Answer::ok(json!({
        "jvm": { "version": version, "arch": std::env::consts::ARCH, "options": [] },
        "classpath": [],
    }))
}

async fn thread_dump() -> Answer {
    let threads = tokio::task::spawn_blocking(telemetry::threads).await.unwrap_or_default();
    Answer::ok(view::thread_dump(&threads))
}

/// Results that outlive their job are files here, and no data sets of the cluster.
async fn datasets() -> Answer {
    Answer::ok(json!({ "dataSets": [] }))
}

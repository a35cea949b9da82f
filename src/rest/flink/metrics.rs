//! Routes for metrics. Names alone without `get`; values as text; of what is unknown nothing, never an error.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Query, Result};
use super::jobs::look_at_vertex;
use super::view::{self, Metric};
use crate::jobmanager::Handle;

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/jobmanager/metrics", get(job_manager))
        .route("/taskmanagers/metrics", get(none))
        .route("/taskmanagers/{id}/metrics", get(none))
        .route("/jobs/metrics", get(none))
        .route("/jobs/{job}/metrics", get(none))
        .route("/jobs/{job}/vertices/{vertex}/metrics", get(vertex))
        .route("/jobs/{job}/vertices/{vertex}/watermarks", get(none))
        .route("/jobs/{job}/vertices/{vertex}/subtasks/metrics", get(aggregated))
        .route("/jobs/{job}/vertices/{vertex}/subtasks/{subtask}/metrics", get(subtask))
}

#[derive(Deserialize)]
struct Wanted {
    get: Option<String>,
    agg: Option<String>,
}

/// Nothing is measured there yet.
async fn none() -> Answer {
    Answer::ok(json!([]))
}

/// Pairs of id and value, or ids alone when none are asked for.
fn list(metrics: Vec<(String, u64)>, wanted: &Wanted) -> Answer {
    let Some(names) = &wanted.get else {
        return Answer::ok(metrics.into_iter().map(|(id, _)| json!({ "id": id })).collect());
    };
    let asked = |id: &str| names.split(',').any(|name| name == id);
    let found = metrics.into_iter().filter(|(id, _)| asked(id));
    Answer::ok(found.map(|(id, value)| json!({ "id": id, "value": value.to_string() })).collect())
}

async fn job_manager(State(handle): State<Handle>, Query(wanted): Query<Wanted>) -> Result {
    let metrics = handle.view(|core, _| view::of_job_manager(core)).await?;
    Ok(list(metrics.into_iter().map(|metric| (metric.name.to_owned(), metric.value)).collect(), &wanted))
}

/// Metrics of a vertex; none where there is no such job or vertex.
async fn of_vertex(handle: &Handle, job: String, vertex: String) -> Result<Vec<Metric>> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let found = look_at_vertex(handle, (job, vertex), move |_, job, index, _| {
        let _ = sender.send(view::of_vertex(job, index)); // The receiver waits below.
        Some(Value::Null)
    })
    .await;
    match found {
        Ok(_) => Ok(receiver.await.ok().flatten().unwrap_or_default()),
        Err(_) => Ok(Vec::new()),
    }
}

async fn vertex(
    State(handle): State<Handle>,
    Path((job, vertex)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result {
    let metrics = of_vertex(&handle, job, vertex).await?;
    let named = |metric: Metric| (format!("{}.{}", metric.subtask, metric.name), metric.value);
    Ok(list(metrics.into_iter().map(named).collect(), &wanted))
}

async fn subtask(
    State(handle): State<Handle>,
    Path((job, vertex, subtask)): Path<(String, String, usize)>,
    Query(wanted): Query<Wanted>,
) -> Result {
    let metrics = of_vertex(&handle, job, vertex).await?;
    let own = metrics.into_iter().filter(|metric| metric.subtask == subtask);
    Ok(list(own.map(|metric| (metric.name.to_owned(), metric.value)).collect(), &wanted))
}

async fn aggregated(
    State(handle): State<Handle>,
    Path((job, vertex)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result {
    let mut values: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for metric in of_vertex(&handle, job, vertex).await? {
        values.entry(metric.name).or_default().push(metric.value);
    }
    let Some(names) = &wanted.get else {
        return Ok(Answer::ok(values.keys().map(|name| json!({ "id": name })).collect()));
    };
    let aggregates = wanted.agg.as_deref().unwrap_or("min,max,sum,avg,skew").to_ascii_lowercase();
    let mut found = Vec::new();
    for name in names.split(',') {
        let Some(values) = values.get(name) else {
            return Ok(Answer::ok(json!([]))); // As Flink: one unknown name, no answer at all.
        };
        found.push(aggregate(name, values, &aggregates));
    }
    Ok(Answer::ok(found.into()))
}

#[expect(clippy::cast_precision_loss, reason = "shown to people, as Flink shows it")]
fn aggregate(name: &str, values: &[u64], wanted: &str) -> Value {
    let (sum, count) = (values.iter().sum::<u64>() as f64, values.len() as f64);
    let average = sum / count;
    let deviation = values.iter().map(|value| (*value as f64 - average).abs()).sum::<f64>() / count;
    let mut body = json!({ "id": name });
    for aggregate in wanted.split(',') {
        body[aggregate] = match aggregate {
            "min" => json!(values.iter().min().copied().unwrap_or(0) as f64),
            "max" => json!(values.iter().max().copied().unwrap_or(0) as f64),
            "sum" => json!(sum),
            "avg" => json!(average),
            // Mean deviation in per cent of the mean, as the dashboard's data skew page reckons.
            "skew" => json!(if average == 0.0 { 0.0 } else { (deviation / average * 100.0).min(100.0) }),
            _ => continue,
        };
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_numbers_and_only_those_asked_for() {
        let all = aggregate("x", &[1, 3], "min,max,sum,avg,skew");
        assert_eq!(all, json!({ "id": "x", "min": 1.0, "max": 3.0, "sum": 4.0, "avg": 2.0, "skew": 50.0 }));
        assert_eq!(aggregate("x", &[0, 0], "skew,nonsense"), json!({ "id": "x", "skew": 0.0 }));
    }
}

//! Routes for metrics. Names alone without `get`; values as text; of what is unknown nothing, never an error.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde_json::{Value, json};

use super::answer::{Answer, Query, Result};
use super::jobs::look;
use super::task_managers;
use super::vertices::look_at_vertex;
use super::view::{self, Metric};
use crate::ids::TaskManagerId;
use crate::jobmanager::Handle;
use crate::telemetry::ProcessUsage;

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/jobmanager/metrics", get(job_manager))
        .route("/taskmanagers/metrics", get(all_task_managers))
        .route("/taskmanagers/{id}/metrics", get(task_manager))
        .route("/jobs/metrics", get(all_jobs))
        .route("/jobs/{job}/metrics", get(job))
        .route("/jobs/{job}/vertices/{vertex}/metrics", get(vertex))
        .route("/jobs/{job}/vertices/{vertex}/subtasks/metrics", get(subtasks))
        .route("/jobs/{job}/vertices/{vertex}/subtasks/{subtask}/metrics", get(subtask))
}

/// What is asked for: lists are separated by commas or repeated.
struct Wanted(Vec<(String, String)>);

impl Wanted {
    fn list(&self, key: &str) -> Option<Vec<&str>> {
        let values = self.0.iter().filter(|(name, _)| name == key);
        let found: Vec<&str> =
            values.flat_map(|(_, value)| value.split(',')).filter(|value| !value.is_empty()).collect();
        (!found.is_empty()).then_some(found)
    }

    /// Whether a thing of that name is to be looked at: no filter lets all pass.
    fn admits(&self, key: &str, name: &str) -> bool {
        self.list(key).is_none_or(|names| names.contains(&name))
    }

    /// Numbers and ranges of numbers, as in `1,3,5-9`; what is neither is no subtask.
    fn admits_subtask(&self, subtask: usize) -> bool {
        let within = |range: &str| match range.split_once('-') {
            Some((first, last)) => {
                first.parse().is_ok_and(|first: usize| first <= subtask)
                    && last.parse().is_ok_and(|last: usize| subtask <= last)
            }
            None => range.parse().is_ok_and(|only: usize| only == subtask),
        };
        self.list("subtasks").is_none_or(|ranges| ranges.into_iter().any(within))
    }

    /// Pairs of id and value, or ids alone when none are asked for.
    fn answer(&self, metrics: impl IntoIterator<Item = (String, String)>) -> Answer {
        let Some(names) = self.list("get") else {
            let mut seen = BTreeSet::new();
            let ids = metrics.into_iter().filter(|(id, _)| seen.insert(id.clone()));
            return Answer::ok(ids.map(|(id, _)| json!({ "id": id })).collect());
        };
        let found = metrics.into_iter().filter(|(id, _)| names.contains(&id.as_str()));
        Answer::ok(found.map(|(id, value)| json!({ "id": id, "value": value })).collect())
    }

    /// Aggregates over things that have metrics of the same names.
    fn aggregated(&self, metrics: impl IntoIterator<Item = Metric>) -> Answer {
        let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for metric in metrics {
            if let Some(value) = metric.value.as_f64() {
                values.entry(metric.name.into_owned()).or_default().push(value);
            }
        }
        let Some(names) = self.list("get") else {
            return Answer::ok(values.keys().map(|name| json!({ "id": name })).collect());
        };
        let aggregates: Vec<String> = match self.list("agg") {
            Some(wanted) => wanted.into_iter().map(str::to_ascii_lowercase).collect(),
            None => ["min", "max", "avg", "sum", "skew"].map(str::to_owned).into(),
        };
        let found: Option<Vec<Value>> =
            names.into_iter().map(|name| Some(aggregate(name, values.get(name)?, &aggregates))).collect();
        Answer::ok(found.unwrap_or_default().into()) // As Flink: one unknown name, no answer at all.
    }
}

/// As [`Query`], with keys that may come more than once.
type Pairs = Query<Vec<(String, String)>>;

fn named(metric: Metric) -> (String, String) {
    (metric.name.into_owned(), metric.value.to_string())
}

async fn job_manager(State(handle): State<Handle>, Query(wanted): Pairs) -> Result {
    let mut metrics = handle.view(|core, _| view::of_job_manager(core)).await?;
    let usage = tokio::task::spawn_blocking(ProcessUsage::of_self).await.unwrap_or_default();
    metrics.extend(view::status(&usage, usage.rss_bytes, usage.machine_memory_bytes));
    Ok(Wanted(wanted).answer(metrics.into_iter().map(named)))
}

/// Metrics of a TaskManager; none where there is no such one, or it does not answer.
async fn of_task_manager(handle: &Handle, id: TaskManagerId) -> Result<Vec<Metric>> {
    let wanted = id.clone();
    let memory = handle
        .view(move |core, _| core.task_managers().get(&wanted).map(|found| found.register.memory.bytes()))
        .await?;
    let usage = task_managers::usage(handle, &id).await;
    Ok(memory.zip(usage).map(|(memory, usage)| usage.metrics(memory)).unwrap_or_default())
}

async fn task_manager(State(handle): State<Handle>, Path(id): Path<String>, Query(wanted): Pairs) -> Result {
    let metrics = of_task_manager(&handle, TaskManagerId(id)).await?;
    Ok(Wanted(wanted).answer(metrics.into_iter().map(named)))
}

async fn all_task_managers(State(handle): State<Handle>, Query(wanted): Pairs) -> Result {
    let wanted = Wanted(wanted);
    let ids: Vec<TaskManagerId> = handle.view(|core, _| core.task_managers().keys().cloned().collect()).await?;
    let asked = ids.into_iter().filter(|id| wanted.admits("taskmanagers", &id.0));
    // All at once: one that does not answer costs the others nothing.
    let answers = futures_util::future::join_all(asked.map(|id| of_task_manager(&handle, id))).await;
    Ok(wanted.aggregated(answers.into_iter().flatten().flatten()))
}

async fn job(State(handle): State<Handle>, Path(job): Path<String>, Query(wanted): Pairs) -> Result {
    let metrics = look(&handle, &job, |_, job, now| view::of_job(job, now)).await.unwrap_or_default();
    Ok(Wanted(wanted).answer(metrics.into_iter().map(named)))
}

async fn all_jobs(State(handle): State<Handle>, Query(wanted): Pairs) -> Result {
    let wanted = Wanted(wanted);
    let metrics: Vec<(String, Vec<Metric>)> = handle
        .view(|core, now| core.jobs().map(|job| (job.id().to_string(), view::of_job(job, now))).collect())
        .await?;
    let asked = metrics.into_iter().filter(|(job, _)| wanted.admits("jobs", job));
    Ok(wanted.aggregated(asked.flat_map(|(_, metrics)| metrics)))
}

/// Metrics of a vertex; none where there is no such job or vertex.
async fn of_vertex(handle: &Handle, job: String, vertex: String) -> Vec<Metric> {
    look_at_vertex(handle, (job, vertex), |_, job, index, _| view::of_vertex(job, index)).await.unwrap_or_default()
}

async fn vertex(
    State(handle): State<Handle>,
    Path((job, vertex)): Path<(String, String)>,
    Query(wanted): Pairs,
) -> Answer {
    let metrics = of_vertex(&handle, job, vertex).await;
    let named = |metric: Metric| (format!("{}.{}", metric.subtask, metric.name), metric.value.to_string());
    Wanted(wanted).answer(metrics.into_iter().map(named))
}

async fn subtask(
    State(handle): State<Handle>,
    Path((job, vertex, subtask)): Path<(String, String, String)>,
    Query(wanted): Pairs,
) -> Answer {
    let metrics = of_vertex(&handle, job, vertex).await;
    let own = metrics.into_iter().filter(|metric| subtask.parse() == Ok(metric.subtask));
    Wanted(wanted).answer(own.map(named))
}

async fn subtasks(
    State(handle): State<Handle>,
    Path((job, vertex)): Path<(String, String)>,
    Query(wanted): Pairs,
) -> Answer {
    let wanted = Wanted(wanted);
    let metrics = of_vertex(&handle, job, vertex).await;
    let asked: Vec<Metric> = metrics.into_iter().filter(|metric| wanted.admits_subtask(metric.subtask)).collect();
    wanted.aggregated(asked)
}

#[expect(clippy::cast_precision_loss, reason = "shown to people, as Flink shows it")]
fn aggregate(name: &str, values: &[f64], wanted: &[String]) -> Value {
    let (sum, count) = (values.iter().sum::<f64>(), values.len() as f64);
    let average = sum / count;
    let deviation = values.iter().map(|value| (value - average).abs()).sum::<f64>() / count;
    let mut body = json!({ "id": name });
    for aggregate in wanted {
        body[aggregate] = match aggregate.as_str() {
            "min" => json!(values.iter().copied().fold(f64::INFINITY, f64::min)),
            "max" => json!(values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
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
        let aggregate = |values: &[f64], wanted: &str| {
            aggregate("x", values, &wanted.split(',').map(str::to_owned).collect::<Vec<_>>())
        };
        let all = aggregate(&[1.0, 3.0], "min,max,sum,avg,skew");
        assert_eq!(all, json!({ "id": "x", "min": 1.0, "max": 3.0, "sum": 4.0, "avg": 2.0, "skew": 50.0 }));
        assert_eq!(aggregate(&[0.0, 0.0], "skew,nonsense"), json!({ "id": "x", "skew": 0.0 }));
    }

    #[test]
    fn lists_are_separated_or_repeated_and_subtasks_may_be_ranges() {
        let pairs =
            |pairs: &[(&str, &str)]| Wanted(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        assert_eq!(pairs(&[("get", "a,b"), ("get", "c")]).list("get").unwrap(), ["a", "b", "c"]);
        assert_eq!(pairs(&[("get", "")]).list("get"), None);
        let some = pairs(&[("subtasks", "1,3"), ("subtasks", "5-7,x-,9-2")]);
        assert_eq!((0..12).filter(|subtask| some.admits_subtask(*subtask)).collect::<Vec<_>>(), [1, 3, 5, 6, 7]);
        assert!(pairs(&[]).admits_subtask(4) && !pairs(&[("jobs", "a")]).admits("jobs", "b"));
    }
}

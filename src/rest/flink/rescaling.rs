//! Routes about a running job's parallelism.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Answer, Content, Query, Refusal, Result};
use super::jobs::{WAIT_MAX, look, parse, refused};
use super::view;
use crate::ids::VertexId;
use crate::jobmanager::Handle;
use crate::jobmanager::job_master::{Bounds, Requirements};
use crate::protocol::job::RescaleStatus;
use crate::time::Deadline;

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/jobs/{job}/resource-requirements", get(requirements).put(require))
        .route("/jobs/{job}/rescales/history", get(history))
}

/// Flink's form of [`Requirements`].
#[derive(Serialize, Deserialize)]
struct OfVertex {
    parallelism: FlinkBounds,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlinkBounds {
    lower_bound: u32,
    upper_bound: u32,
}

fn unplanned() -> Refusal {
    Refusal::not_found("The job has no plan yet, or never had one.")
}

async fn requirements(State(handle): State<Handle>, Path(job): Path<String>) -> Result {
    let found = look(&handle, &job, |_, job, _| job.master().map(|master| master.requirements())).await?;
    let of_vertex = |(id, Bounds { lower, upper }): (VertexId, Bounds)| {
        (id.to_string(), json!({ "parallelism": { "lowerBound": lower, "upperBound": upper } }))
    };
    let found = found.ok_or_else(unplanned)?.into_iter().map(of_vertex);
    Ok(Answer::ok(Value::Object(found.collect())))
}

async fn require(State(handle): State<Handle>, Path(job): Path<String>, Content(body): Content) -> Result {
    let wanted = wanted(&body)?;
    handle.rescale(parse(&job)?, wanted).await.map_err(refused)?;
    Ok(Answer::ok(json!({})))
}

fn wanted(body: &[u8]) -> Result<Requirements> {
    let wanted: BTreeMap<VertexId, OfVertex> =
        serde_json::from_slice(body).map_err(|error| Refusal::unreadable(&error))?;
    let of_vertex = |(id, OfVertex { parallelism: FlinkBounds { lower_bound, upper_bound } })| {
        (id, Bounds { lower: lower_bound, upper: upper_bound })
    };
    Ok(wanted.into_iter().map(of_vertex).collect())
}

/// Extension: with `behind` and `wait_ms`, once a change with a higher number has ended or waits for slots, or the wait is over.
#[derive(Deserialize)]
struct Wait {
    behind: Option<u64>,
    wait_ms: Option<u64>,
}

async fn history(State(handle): State<Handle>, Path(job): Path<String>, Query(wait): Query<Wait>) -> Result {
    let deadline = Deadline::after(Duration::from_millis(wait.wait_ms.unwrap_or(0)).min(WAIT_MAX));
    loop {
        // Read first: what comes between is news then.
        let version = look(&handle, &job, |_, job, _| job.version()).await?;
        let behind = wait.behind.unwrap_or(u64::MAX);
        let found = look(&handle, &job, move |_, job, now| {
            let master = job.master()?;
            let mut newer = master.rescales().filter(|record| record.number > behind);
            let under_way =
                newer.any(|record| record.ended.is_none() && record.status != RescaleStatus::WaitingForSlots);
            Some((view::rescales(master, now), under_way))
        });
        let (view, under_way) = found.await?.ok_or_else(unplanned)?;
        if !under_way || deadline.passed() {
            return Ok(Answer::ok(view));
        }
        handle.watch(parse(&job)?, version, deadline.remaining()).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{JOB, core};
    use super::*;
    use crate::jobmanager::event::Event;
    use crate::testing::fuzz::fuzz;
    use crate::time::Now;

    #[test]
    fn fuzz_requirements() {
        let of = |core: &crate::jobmanager::core::Core| {
            let requirements = core.job(JOB).and_then(|job| job.master()).map(|master| master.requirements()).unwrap();
            let of_vertex = |(id, Bounds { lower, upper }): (VertexId, Bounds)| {
                (id.to_string(), json!({ "parallelism": { "lowerBound": lower, "upperBound": upper } }))
            };
            Value::Object(requirements.into_iter().map(of_vertex).collect()).to_string().into_bytes()
        };
        fuzz("requirements", &[of(&core())], |bytes| {
            let Ok(requirements) = wanted(bytes) else { return };
            // Taken or refused by a job that runs.
            let _ = core().apply(Event::Rescale { job: JOB, requirements }, Now(9_000), &mut Vec::new());
        });
    }
}

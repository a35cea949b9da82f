//! `/metrics` of a ResourceManager; also under `/prom`, where YARN has them.

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::Context;
use super::error::Error;
use crate::resourcemanager::report::ClusterSummary;
use crate::rest::exposition::{Exposition, float, mebibytes};
use crate::telemetry::metrics;

pub(super) async fn metrics(State(context): State<Context>) -> Result<Response, Error> {
    let summary = context.handle.summary().await?;
    Ok(expose(&summary).into_response())
}

fn expose(summary: &ClusterSummary) -> Exposition {
    let mut out = Exposition::of("resourcemanager");
    let mut applications = out.family(&metrics::RM_APPLICATIONS);
    for state in super::convert::states() {
        let count = summary.applications.get(&state).copied().unwrap_or(0);
        applications.sample(&[("state", &state.to_string())], float(count as u64));
    }
    let mut nodes = out.family(&metrics::RM_NODES);
    for (state, count) in &summary.nodes {
        nodes.sample(&[("state", &state.to_string())], float(*count as u64));
    }
    out.one(&metrics::RM_MEMORY, &[], mebibytes(summary.total.memory_mb));
    out.one(&metrics::RM_MEMORY_ALLOCATED, &[], mebibytes(summary.allocated.memory_mb));
    out.one(&metrics::RM_MEMORY_PENDING, &[], mebibytes(summary.pending.memory_mb));
    out.one(&metrics::RM_CORES, &[], f64::from(summary.total.vcores));
    out.one(&metrics::RM_CORES_ALLOCATED, &[], f64::from(summary.allocated.vcores));
    out.one(&metrics::RM_CORES_PENDING, &[], f64::from(summary.pending.vcores));
    out.one(&metrics::RM_CONTAINERS, &[], float(summary.containers as u64));
    out.one(&metrics::RM_CONTAINERS_PENDING, &[], float(summary.containers_pending));
    out
}

//! The job's graph as the dashboard draws it.

use serde_json::{Value, json};

use crate::graph::explain::json_nodes;
use crate::graph::plan::ExecutionMode;
use crate::jobmanager::job::Job;

/// STREAMING or BATCH; before the plan is known, what most jobs are.
pub(super) fn job_type(job: &Job) -> &'static str {
    match job.master().map(|master| master.graph().execution_mode) {
        Some(ExecutionMode::Batch) => "BATCH",
        Some(ExecutionMode::Streaming | ExecutionMode::Automatic) | None => "STREAMING",
    }
}

pub(in super::super) fn plan(job: &Job) -> Value {
    let nodes = job.master().map(|master| json_nodes(master.plan(), master.graph())).unwrap_or_default();
    json!({ "jid": job.id(), "name": job.name(), "type": job_type(job), "nodes": nodes })
}

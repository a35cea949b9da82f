//! What accumulators have gathered.

use serde_json::{Value, json};

use super::vertex::endpoint;
use crate::graph::accumulator::{AccumulatorResult, Accumulators};
use crate::jobmanager::core::Core;
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master::Execution;

/// One entry a name. Flink's `StringifiedAccumulatorResult`.
pub(super) fn listed(accumulators: &Accumulators) -> Vec<Value> {
    let entry = |(name, result): (&String, &AccumulatorResult)| json!({ "name": name, "type": result.kind, "value": result.value.to_string() });
    accumulators.iter().map(entry).collect()
}

pub(in super::super) fn accumulators(job: &Job) -> Value {
    let gathered = job.master().map(|master| listed(&master.accumulators())).unwrap_or_default();
    // Serialised values are Java objects, which only Flink's own client asks for.
    json!({
        "job-accumulators": [], "user-task-accumulators": gathered, "serialized-user-task-accumulators": {},
    })
}

pub(in super::super) fn vertex_accumulators(job: &Job, index: usize) -> Option<Value> {
    let master = job.master()?;
    let id = master.graph().vertices[index].id;
    Some(json!({ "id": id, "user-accumulators": listed(&master.execution().accumulators_of(index)) }))
}

/// Of one execution of a subtask.
pub(in super::super) fn execution_accumulators(job: &Job, number: usize, execution: &Execution) -> Value {
    json!({
        "id": format!("{}-{number}-{}", job.id(), execution.attempt),
        "subtask": number,
        "attempt": execution.attempt,
        "user-accumulators": listed(&execution.accumulators),
    })
}

pub(in super::super) fn subtask_accumulators(core: &Core, job: &Job, index: usize) -> Option<Value> {
    let master = job.master()?;
    let vertex = &master.graph().vertices[index];
    let subtasks = master.execution().vertices[index].iter().enumerate().map(|(number, subtask)| {
        json!({
            "subtask": number,
            "attempt": subtask.current.attempt,
            "endpoint": endpoint(core, job, &subtask.current),
            "user-accumulators": listed(&subtask.current.accumulators),
        })
    });
    let subtasks: Vec<Value> = subtasks.collect();
    Some(json!({ "id": vertex.id, "parallelism": vertex.parallelism, "subtasks": subtasks }))
}

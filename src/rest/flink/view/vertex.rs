//! A vertex and its subtasks.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::figures::{
    COUNTERS, LIVE_STATES, RECONCILING, aggregate, duration, io_block, moment, state_counts, statistics, time_in,
};
use crate::graph::task::ExecutionState;
use crate::ids::TaskManagerId;
use crate::jobmanager::core::Core;
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master::{Execution, Subtask, WorkerState};
use crate::time::Now;

/// Where nothing runs yet.
const UNASSIGNED: &str = "(unassigned)";

fn subtasks(job: &Job, vertex: usize) -> Option<&[Subtask]> {
    Some(&job.master()?.execution().vertices[vertex])
}

fn task_manager_of(execution: &Execution) -> Option<&TaskManagerId> {
    execution.worker.as_ref().map(|worker| &worker.task_manager)
}

/// `host:port` of the worker's data port, else of its TaskManager.
pub(super) fn endpoint(core: &Core, job: &Job, execution: &Execution) -> String {
    let Some(id) = task_manager_of(execution) else {
        return UNASSIGNED.to_owned();
    };
    let place = job.master().and_then(|master| master.workers().places().find(|(at, _)| *at == id));
    match place.map(|(_, place)| &place.worker) {
        Some(WorkerState::Ready { data_address, .. }) => data_address.clone(),
        Some(WorkerState::Absent | WorkerState::Starting { .. } | WorkerState::Leaving { .. }) | None => core
            .task_managers()
            .get(id)
            .map_or_else(|| id.to_string(), |task_manager| task_manager.register.http_address.clone()),
    }
}

fn host(endpoint: &str) -> &str {
    endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host)
}

pub(in super::super) fn vertex(core: &Core, job: &Job, index: usize, now: Now) -> Option<Value> {
    let vertex = &job.master()?.graph().vertices[index];
    let subtasks = subtasks(job, index)?;
    let entries: Vec<Value> = subtasks
        .iter()
        .enumerate()
        .map(|(number, subtask)| execution(core, job, number, &subtask.current, now))
        .collect();
    Some(json!({
        "id": vertex.id,
        "name": vertex.name,
        "parallelism": vertex.parallelism,
        "maxParallelism": vertex.max_parallelism,
        "now": now.as_millis(),
        "subtasks": entries,
        "aggregated": aggregated(&subtasks.iter().map(|subtask| &subtask.current).collect::<Vec<_>>(), now),
    }))
}

/// `/jobs/:id/vertices/:vertex/subtasks/:subtask`, of one execution.
pub(in super::super) fn execution(core: &Core, job: &Job, number: usize, execution: &Execution, now: Now) -> Value {
    let endpoint = endpoint(core, job, execution);
    let start = execution.started_at();
    let durations: Map<String, Value> = LIVE_STATES
        .iter()
        .map(|state| (state.as_str().to_owned(), time_in(execution, *state, now).map_or(json!(-1), |ms| json!(ms))))
        .collect();
    json!({
        "subtask": number,
        "status": execution.state,
        "attempt": execution.attempt,
        "host": host(&endpoint),
        "endpoint": endpoint,
        "start-time": moment(start),
        "start_time": moment(start),
        "end-time": moment(execution.ended_at().filter(|_| start.is_some())),
        "duration": duration(start, execution.ended_at(), now),
        "metrics": io_block(std::iter::once(execution)),
        "taskmanager-id": task_manager_of(execution).map_or_else(|| UNASSIGNED.to_owned(), ToString::to_string),
        "status-duration": durations,
    })
}

fn aggregated(executions: &[&Execution], now: Now) -> Value {
    let metrics: Map<String, Value> = COUNTERS
        .iter()
        .map(|(name, read)| {
            ((*name).to_owned(), statistics(executions.iter().map(|execution| read(&execution.metrics))))
        })
        .collect();
    let durations: Map<String, Value> = LIVE_STATES
        .iter()
        .map(|state| {
            let times = executions.iter().filter_map(|execution| time_in(execution, *state, now));
            (state.as_str().to_owned(), statistics(times))
        })
        .collect();
    json!({ "metrics": metrics, "status-duration": durations })
}

pub(in super::super) fn vertex_task_managers(core: &Core, job: &Job, index: usize, now: Now) -> Option<Value> {
    let vertex = &job.master()?.graph().vertices[index];
    let mut by_task_manager: BTreeMap<Option<&TaskManagerId>, Vec<&Execution>> = BTreeMap::new();
    for subtask in subtasks(job, index)? {
        by_task_manager.entry(task_manager_of(&subtask.current)).or_default().push(&subtask.current);
    }
    let entry = |(id, executions): (Option<&TaskManagerId>, Vec<&Execution>)| {
        let states: Vec<ExecutionState> = executions.iter().map(|execution| execution.state).collect();
        let start = executions.iter().filter_map(|execution| execution.started_at()).min();
        let ended = states.iter().all(|state| state.is_terminal());
        let end = ended.then(|| executions.iter().filter_map(|execution| execution.ended_at()).max()).flatten();
        let endpoint = endpoint(core, job, executions[0]);
        json!({
            "host": host(&endpoint),
            "endpoint": endpoint,
            "status": aggregate(&states),
            "start-time": moment(start),
            "end-time": moment(end.filter(|_| start.is_some())),
            "duration": duration(start, end, now),
            "metrics": io_block(executions.iter().copied()),
            "status-counts": state_counts(states.into_iter()),
            "taskmanager-id": id.map_or_else(|| UNASSIGNED.to_owned(), ToString::to_string),
            "aggregated": aggregated(&executions, now),
        })
    };
    let entries: Vec<Value> = by_task_manager.into_iter().map(entry).collect();
    Some(json!({ "id": vertex.id, "name": vertex.name, "now": now.as_millis(), "taskmanagers": entries }))
}

pub(in super::super) fn vertex_times(core: &Core, job: &Job, index: usize, now: Now) -> Option<Value> {
    let vertex = &job.master()?.graph().vertices[index];
    let entry = |(number, subtask): (usize, &Subtask)| {
        let execution = &subtask.current;
        let endpoint = endpoint(core, job, execution);
        let first = execution.since.values().min().copied();
        let mut timestamps: Map<String, Value> = ExecutionState::ALL
            .iter()
            .map(|state| {
                let at = execution.since.get(state).map_or(0, |at| at.as_millis());
                (state.as_str().to_owned(), json!(at))
            })
            .collect();
        timestamps.insert(RECONCILING.to_owned(), json!(0));
        json!({
            "subtask": number,
            "host": host(&endpoint),
            "endpoint": endpoint,
            "duration": duration(first, execution.ended_at(), now),
            "timestamps": timestamps,
        })
    };
    let entries: Vec<Value> = subtasks(job, index)?.iter().enumerate().map(entry).collect();
    Some(json!({ "id": vertex.id, "name": vertex.name, "now": now.as_millis(), "subtasks": entries }))
}

//! What a page costs the JobManager that looks at a job larger than most.

use std::sync::Arc;
use std::time::Duration;

use super::{JOB, core_with, worker_id};
use crate::graph::plan::{NodeIndex, NodeKind, Partitioner, Plan, operator_id};
use crate::graph::task::{ExecutionState, TaskMetrics};
use crate::ids::ExecutionAttemptId;
use crate::jobmanager::core::Core;
use crate::jobmanager::event::Event;
use crate::jobmanager::job_master::tests::plan;
use crate::protocol::worker::ToJobManager;
use crate::rest::flink::view::live_job;
use crate::time::Now;

/// So many vertices in a row, none of them chained.
fn in_a_row(vertices: u32, parallelism: u32) -> Plan {
    let mut row = Arc::unwrap_or_clone(plan(parallelism));
    let (step, edge) = (row.nodes[1].clone(), row.edges[0].clone());
    for index in 2..vertices {
        let name = format!("step {index}");
        let mut node = step.clone();
        (node.operator_id, node.uid, node.kind) =
            (operator_id(Some(&name), 0, &name), Some(name.clone()), NodeKind::Operator);
        node.name = name;
        let last = row.nodes.len() - 1;
        row.nodes.insert(last, node);
    }
    row.edges = (1..row.nodes.len())
        .map(|target| {
            let mut edge = edge.clone();
            (edge.source, edge.target, edge.partitioner) =
                (NodeIndex(target as u32 - 1), NodeIndex(target as u32), Partitioner::Rebalance);
            edge
        })
        .collect();
    row
}

/// A job all of whose subtasks run, and have been measured twice.
fn running(vertices: u32, parallelism: u32) -> Core {
    let mut core = core_with(&in_a_row(vertices, parallelism), parallelism);
    let master = core.job(JOB).unwrap().master().unwrap();
    let attempts: Vec<ExecutionAttemptId> = master
        .execution()
        .subtasks()
        .map(|((vertex, subtask), _)| ExecutionAttemptId {
            vertex: master.graph().vertices[vertex].id,
            subtask: subtask as u32,
            attempt: 0,
        })
        .collect();
    assert_eq!(attempts.len() as u32, vertices * parallelism);
    let mut tell =
        |message, at| core.apply(Event::Worker { worker: worker_id(), message }, Now(at), &mut Vec::new()).unwrap();
    for attempt in &attempts {
        let message = ToJobManager::TaskState {
            attempt: *attempt,
            state: ExecutionState::Running,
            failure: None,
            committables: Vec::new(),
            metrics: TaskMetrics::default(),
        };
        tell(message, 1_000);
    }
    for at in [2_000, 4_000] {
        let metrics = TaskMetrics {
            records_in: at * 1_000_000,
            records_out: at * 1_000_000,
            bytes_in: at * 20_000_000,
            bytes_out: at * 20_000_000,
            busy_ms: at / 2,
            ..TaskMetrics::default()
        };
        let tasks = attempts.iter().map(|attempt| (*attempt, metrics)).collect();
        tell(ToJobManager::Metrics { tasks, hot_keys: Vec::new() }, at);
    }
    core
}

/// What this thread has spent computing.
fn cpu() -> Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(spent.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn a_page_of_a_job_of_30_000_subtasks_costs_little_and_no_more_to_send_than_one_of_few() {
    let size = |core: &Core| {
        let view = live_job(core, core.job(JOB).unwrap(), Now(5_000));
        assert_eq!(view["vertices"][299]["status"], "RUNNING");
        assert_eq!(view["vertices"][150]["rated"], true);
        view.to_string().len()
    };
    let (few, many) = (running(300, 1), running(300, 100));
    let (of_few, of_many) = (size(&few), size(&many));
    assert!(of_many < of_few * 5 / 4, "{of_many} bytes instead of {of_few}");
    // Once a second, for which 50 ms are allowed. Optimised, it takes a tenth of what it takes here; machines differ by a half.
    let before = cpu();
    for _ in 0..10 {
        size(&many);
    }
    let each = (cpu() - before) / 10;
    assert!(each < Duration::from_millis(250), "{each:?}");
}

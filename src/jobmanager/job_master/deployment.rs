//! Decides which subtask runs where, and writes that down for the workers.

use std::collections::BTreeMap;

use super::JobMaster;
use super::event::Effect;
use super::execution::{ExecutionGraph, Subtask};
use crate::graph::job_graph::JobGraph;
use crate::graph::task::{ExecutionState, TaskDeployment};
use crate::ids::{ExecutionAttemptId, JobId, TaskManagerId, WorkerId};
use crate::protocol::worker::ToWorker;
use crate::time::Now;

/// Which TaskManager each subtask runs on: `[vertex][subtask]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment(Vec<Vec<TaskManagerId>>);

impl Assignment {
    /// Gives each (slot sharing group, subtask index) one slot, in order; `None` if there are too few. Neighbouring subtasks
    /// so come to lie in one worker, where data need not cross the network.
    pub(super) fn new(graph: &JobGraph, slots: &[TaskManagerId]) -> Option<Self> {
        let mut widths: BTreeMap<&str, usize> = BTreeMap::new();
        for vertex in &graph.vertices {
            let width = widths.entry(&vertex.slot_sharing_group).or_default();
            *width = (*width).max(vertex.parallelism as usize);
        }
        let mut groups: BTreeMap<&str, &[TaskManagerId]> = BTreeMap::new();
        let mut rest = slots;
        for (group, width) in widths {
            let (taken, left) = rest.split_at_checked(width)?;
            groups.insert(group, taken);
            rest = left;
        }
        let of_vertex = |vertex: &crate::graph::job_graph::Vertex| {
            groups[vertex.slot_sharing_group.as_str()][..vertex.parallelism as usize].to_vec()
        };
        Some(Self(graph.vertices.iter().map(of_vertex).collect()))
    }

    /// As the tasks run; `None` where one was never deployed.
    pub(super) fn of(execution: &ExecutionGraph) -> Option<Self> {
        let place = |subtask: &Subtask| Some(subtask.current.worker.as_ref()?.task_manager.clone());
        let vertices = execution.vertices.iter().map(|subtasks| subtasks.iter().map(place).collect());
        Some(Self(vertices.collect::<Option<_>>()?))
    }

    /// Those that subtasks of these vertices run on.
    pub(super) fn task_managers_of(&self, vertices: &[usize]) -> impl Iterator<Item = &TaskManagerId> {
        vertices.iter().flat_map(|vertex| &self.0[*vertex])
    }

    pub(super) fn task_managers(&self) -> std::collections::BTreeSet<&TaskManagerId> {
        self.0.iter().flatten().collect()
    }

    fn at(&self, vertex: usize, subtask: usize) -> &TaskManagerId {
        &self.0[vertex][subtask]
    }
}

/// Where one worker can be reached.
pub(super) type Addresses = BTreeMap<TaskManagerId, (WorkerId, String)>;

/// What each worker is told to run, of those vertices that are `wanted`. `addresses` holds every TaskManager that they run on.
pub(super) fn deployments(
    job: JobId,
    graph: &JobGraph,
    execution: &ExecutionGraph,
    assignment: &Assignment,
    addresses: &Addresses,
    wanted: impl Fn(usize) -> bool,
) -> BTreeMap<WorkerId, Vec<TaskDeployment>> {
    let place = |vertex: usize, subtask: u32| &addresses[assignment.at(vertex, subtask as usize)];
    let attempt = |vertex: usize, subtask: u32| execution.id(graph, (vertex, subtask as usize));
    let mut tasks: BTreeMap<WorkerId, Vec<TaskDeployment>> = BTreeMap::new();
    for (vertex, subtask) in graph.subtasks().filter(|(vertex, _)| wanted(*vertex)) {
        let task = graph.deployment(job, (vertex, subtask), attempt, |vertex, subtask| place(vertex, subtask).clone());
        tasks.entry(place(vertex, subtask).0.clone()).or_default().push(task);
    }
    tasks
}

impl JobMaster {
    /// Tells workers what to run, each subtask from what the latest checkpoint has of it.
    pub(super) fn deploy(&mut self, tasks: BTreeMap<WorkerId, Vec<TaskDeployment>>, now: Now, out: &mut Vec<Effect>) {
        for (worker, mut tasks) in tasks {
            for task in &mut tasks {
                if let Some((vertex, _)) = self.position(&task.attempt) {
                    task.restored_from = self.checkpoints.latest().map(|manifest| manifest.checkpoint);
                    task.restore = self.restored_files(vertex, task.attempt.subtask);
                }
                self.mark_deployed(&task.attempt, &worker, now);
            }
            out.push(Effect::ToWorker { worker, message: ToWorker::Deploy { tasks } });
        }
    }

    fn mark_deployed(&mut self, attempt: &ExecutionAttemptId, worker: &WorkerId, now: Now) {
        let Some(at) = self.position(attempt) else { return };
        let marked = self.execution.set_state(at, ExecutionState::Deploying, now);
        debug_assert!(marked.is_ok(), "the position was looked up");
        if let Some(execution) = self.execution.current_mut(at) {
            execution.worker = Some(worker.clone());
        }
    }
}

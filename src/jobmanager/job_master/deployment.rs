//! Decides which subtask runs where, and writes that down for the workers.

use std::collections::BTreeMap;

use super::execution::ExecutionGraph;
use crate::graph::job_graph::JobGraph;
use crate::graph::task::TaskDeployment;
use crate::ids::{JobId, TaskManagerId, WorkerId};

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

    pub(super) fn task_managers(&self) -> std::collections::BTreeSet<&TaskManagerId> {
        self.0.iter().flatten().collect()
    }

    pub(super) fn of(&self, vertex: usize, subtask: usize) -> &TaskManagerId {
        &self.0[vertex][subtask]
    }
}

/// Where one worker can be reached.
pub(super) type Addresses = BTreeMap<TaskManagerId, (WorkerId, String)>;

/// What each worker is told to run. `addresses` holds every TaskManager of the assignment.
pub(super) fn deployments(
    job: JobId,
    graph: &JobGraph,
    execution: &ExecutionGraph,
    assignment: &Assignment,
    addresses: &Addresses,
) -> BTreeMap<WorkerId, Vec<TaskDeployment>> {
    let place = |vertex: usize, subtask: u32| &addresses[assignment.of(vertex, subtask as usize)];
    let attempt = |vertex: usize, subtask: u32| execution.id(graph, (vertex, subtask as usize));
    let mut tasks: BTreeMap<WorkerId, Vec<TaskDeployment>> = BTreeMap::new();
    for (vertex, subtask) in graph.subtasks() {
        let task = graph.deployment(job, (vertex, subtask), attempt, |vertex, subtask| place(vertex, subtask).clone());
        tasks.entry(place(vertex, subtask).0.clone()).or_default().push(task);
    }
    tasks
}

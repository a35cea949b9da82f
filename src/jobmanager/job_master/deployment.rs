//! Decides which subtask runs where, and writes that down for the workers.

use std::collections::BTreeMap;

use super::execution::ExecutionGraph;
use crate::graph::job_graph::JobGraph;
use crate::graph::task::{InputDeployment, OutputDeployment, Producer, TaskDeployment};
use crate::ids::{ExecutionAttemptId, JobId, TaskManagerId, WorkerId};

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
    let plan = Deployer { graph, execution, assignment, addresses };
    let mut tasks: BTreeMap<WorkerId, Vec<TaskDeployment>> = BTreeMap::new();
    for (vertex, spec) in graph.vertices.iter().enumerate() {
        for subtask in 0..spec.parallelism {
            let (worker, _) = plan.address(vertex, subtask);
            tasks.entry(worker.clone()).or_default().push(TaskDeployment {
                job,
                attempt: plan.attempt(vertex, subtask),
                name: spec.name.clone(),
                operators: spec.operators.clone(),
                parallelism: spec.parallelism,
                max_parallelism: spec.max_parallelism,
                inputs: plan.inputs(vertex, subtask),
                outputs: plan.outputs(vertex, subtask),
                restored_from: None,
                restore: Vec::new(),
            });
        }
    }
    tasks
}

struct Deployer<'a> {
    graph: &'a JobGraph,
    execution: &'a ExecutionGraph,
    assignment: &'a Assignment,
    addresses: &'a Addresses,
}

impl Deployer<'_> {
    fn attempt(&self, vertex: usize, subtask: u32) -> ExecutionAttemptId {
        self.execution.id(self.graph, (vertex, subtask as usize))
    }

    fn address(&self, vertex: usize, subtask: u32) -> &(WorkerId, String) {
        &self.addresses[self.assignment.of(vertex, subtask as usize)]
    }

    fn inputs(&self, vertex: usize, subtask: u32) -> Vec<InputDeployment> {
        let edges = self.graph.edges.iter().filter(|edge| edge.target == vertex);
        let gate = |edge: &crate::graph::job_graph::JobEdge| {
            let senders = (0..self.graph.vertices[edge.source].parallelism)
                .filter(|producer| self.graph.consumers(edge, *producer).contains(&subtask));
            let producer = |index: u32| {
                let (worker, data_address) = self.address(edge.source, index).clone();
                Producer { attempt: self.attempt(edge.source, index), worker, data_address }
            };
            InputDeployment { edge: edge.id, producers: senders.map(producer).collect() }
        };
        edges.map(gate).collect()
    }

    fn outputs(&self, vertex: usize, subtask: u32) -> Vec<OutputDeployment> {
        let edges = self.graph.edges.iter().filter(|edge| edge.source == vertex);
        let partition = |edge: &crate::graph::job_graph::JobEdge| OutputDeployment {
            edge: edge.id,
            partitioner: edge.partitioner,
            consumers: self
                .graph
                .consumers(edge, subtask)
                .map(|consumer| self.attempt(edge.target, consumer))
                .collect(),
            max_parallelism: self.graph.vertices[edge.target].max_parallelism,
        };
        edges.map(partition).collect()
    }
}

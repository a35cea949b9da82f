//! A subtask of the job graph as the task that a worker is given.

use super::job_graph::{JobGraph, Vertex};
use super::task::{InputDeployment, OutputDeployment, Producer, TaskDeployment};
use crate::ids::{ExecutionAttemptId, JobId, WorkerId};

impl JobGraph {
    /// Subtask `subtask` of the vertex at `vertex`, without state. `attempt` says which execution each subtask is in, `place` which worker
    /// it runs in and that worker's data address.
    pub fn deployment(
        &self,
        job: JobId,
        (vertex, subtask): (usize, u32),
        attempt: impl Fn(usize, u32) -> ExecutionAttemptId,
        place: impl Fn(usize, u32) -> (WorkerId, String),
    ) -> TaskDeployment {
        let producer = |vertex: usize, subtask: u32| {
            let (worker, data_address) = place(vertex, subtask);
            Producer { attempt: attempt(vertex, subtask), worker, data_address }
        };
        let inputs = self.edges.iter().filter(|edge| edge.target == vertex).map(|edge| InputDeployment {
            edge: edge.id,
            producers: self.producers(edge, subtask).map(|index| producer(edge.source, index)).collect(),
        });
        let outputs = self.edges.iter().filter(|edge| edge.source == vertex).map(|edge| OutputDeployment {
            edge: edge.id,
            partitioner: edge.partitioner,
            consumers: self.consumers(edge, subtask).map(|index| attempt(edge.target, index)).collect(),
            max_parallelism: self.vertices[edge.target].max_parallelism,
        });
        let spec = &self.vertices[vertex];
        TaskDeployment {
            job,
            attempt: attempt(vertex, subtask),
            name: spec.name.clone(),
            operators: spec.operators.clone(),
            parallelism: spec.parallelism,
            max_parallelism: spec.max_parallelism,
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            restored_from: None,
            restore: Vec::new(),
        }
    }

    /// Every subtask: the vertex's position and its own index.
    pub fn subtasks(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        let of_vertex = |(vertex, spec): (usize, &Vertex)| (0..spec.parallelism).map(move |subtask| (vertex, subtask));
        self.vertices.iter().enumerate().flat_map(of_vertex)
    }
}

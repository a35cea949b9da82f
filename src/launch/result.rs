//! What a finished job has to tell its program.

use std::fmt;
use std::time::Duration;

use crate::graph::accumulator::{AccumulatorValue, Accumulators};
use crate::graph::task::TaskMetrics;
use crate::ids::JobId;

/// A job that finished. Flink's `JobExecutionResult`.
#[derive(Clone, Debug)]
pub struct JobResult {
    /// The job.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// How long it ran.
    pub duration: Duration,
    /// What its vertices did, in the graph's order.
    pub vertices: Vec<VertexResult>,
    /// What its accumulators gathered, by name.
    pub accumulators: Accumulators,
}

/// What one vertex did, all subtasks together.
#[derive(Clone, Debug)]
pub struct VertexResult {
    /// The chain's name.
    pub name: String,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Their counters, added up.
    pub metrics: TaskMetrics,
}

impl JobResult {
    /// What the accumulator of this name gathered in all subtasks. Flink's `getAccumulatorResult`.
    pub fn accumulator(&self, name: &str) -> Option<&AccumulatorValue> {
        self.accumulators.get(name).map(|result| &result.value)
    }

    /// Records that were malformed, and were repaired or dropped.
    pub fn bad_records(&self) -> u64 {
        self.vertices.iter().map(|vertex| vertex.metrics.bad_records).sum()
    }
}

impl fmt::Display for JobResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job \"{}\" ({}) finished in {:.3} s", self.name, self.job, self.duration.as_secs_f64())
    }
}

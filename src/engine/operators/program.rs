//! A program's code by position in the plan: what a worker instantiates.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{ErasedSink, ErasedSource, Operator};
use crate::engine::record::BatchType;
use crate::engine::state::StateBackend;
use crate::graph::plan::{ExecutionMode, NodeIndex};
use crate::ids::{CheckpointId, ExecutionAttemptId, JobId};

/// The code behind a plan's nodes, by position.
#[derive(Clone, Default)]
pub struct ProgramGraph {
    /// One entry a node of the plan.
    pub operators: Vec<ProgramOperator>,
}

impl ProgramGraph {
    /// The code at `index`, where the graph has it.
    pub fn get(&self, index: NodeIndex) -> Option<&ProgramOperator> {
        self.operators.get(index.0 as usize)
    }
}

/// The code behind one node of the plan.
#[derive(Clone)]
pub struct ProgramOperator {
    /// What runs.
    pub code: ProgramCode,
    /// What it emits; absent for a sink.
    pub output: Option<Arc<dyn BatchType>>,
    /// What its side outputs emit.
    pub side_outputs: BTreeMap<String, Arc<dyn BatchType>>,
}

/// What runs at a node. Makes one instance a subtask.
#[derive(Clone)]
pub enum ProgramCode {
    /// A source.
    Source(Arc<dyn ErasedSource>),
    /// An operator.
    Operator(Arc<dyn Fn() -> Box<dyn Operator> + Send + Sync>),
    /// A sink.
    Sink(Arc<dyn ErasedSink>),
}

/// Where an instance runs; given to `open`.
#[derive(Clone, Debug)]
pub struct OperatorContext {
    /// The job.
    pub job: JobId,
    /// The execution: vertex, subtask, attempt.
    pub attempt: ExecutionAttemptId,
    /// The operator's name.
    pub name: String,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Batch or streaming, never automatic.
    pub execution_mode: ExecutionMode,
    /// The checkpoint that the job goes on from; none: it begins anew.
    pub restored_from: Option<CheckpointId>,
    /// `pipeline.auto-watermark-interval`: how often event time is told.
    pub auto_watermark_interval: Duration,
    /// A directory for temporary files, removed with the subtask's worker.
    pub temporary_dir: PathBuf,
    /// Where keyed state lives.
    pub state_backend: StateBackend,
    /// The side outputs that something reads, by tag, with the name of the record type it reads.
    pub side_outputs: BTreeMap<String, &'static str>,
}

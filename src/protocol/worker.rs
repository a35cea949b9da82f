//! JobManager ↔ worker on a link: deployment, splits, commits and reports.

use serde::{Deserialize, Serialize};

use crate::engine::checkpoint::Barrier;
use crate::graph::accumulator::Accumulators;
use crate::graph::checkpoint::{CheckpointTimings, Cut};
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Committable, ExecutionState, Failure, Split, StateFile, TaskDeployment, TaskMetrics};
use crate::ids::{CheckpointId, ExecutionAttemptId, WorkerId};

/// Path of the link on the JobManager.
pub const PATH: &str = "/link/worker";

/// Opens the link.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Register {
    /// Which worker this process is.
    pub worker: WorkerId,
    /// Process id.
    pub pid: u32,
    /// `host:port` where it serves its tasks' results to other workers.
    pub data_address: String,
    /// Hash of the graph that the program built; equal to the plan's, else the worker would not have come this far.
    pub plan_hash: String,
    /// The secret from its environment.
    pub secret: String,
}

/// Answer to [`Register`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registered {
    /// The JobManager's attempt.
    pub attempt: u32,
}

/// What the JobManager tells a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToWorker {
    /// Run these subtasks.
    Deploy {
        /// Which, and how they are connected.
        tasks: Vec<TaskDeployment>,
    },
    /// Stop these subtasks; each answers with a terminal state.
    Cancel {
        /// Which.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// A part of the input for a source subtask that asked.
    AssignSplit {
        /// Who asked.
        attempt: ExecutionAttemptId,
        /// What it gets.
        split: Split,
    },
    /// There is nothing more for this source subtask, ever.
    NoMoreSplits {
        /// Who asked.
        attempt: ExecutionAttemptId,
    },
    /// Sources end as if their input had ended: the job drains and finishes.
    StopSources {
        /// The source subtasks.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// A checkpoint begins: these source subtasks send its barrier.
    TriggerCheckpoint {
        /// The barrier.
        barrier: Barrier,
        /// The source subtasks.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// Source subtasks that were suspended behind a savepoint's barrier go on: it failed.
    ResumeSources {
        /// Which.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// Publish what sinks prepared: repeating it does no harm.
    Commit {
        /// All of one sink's prepared output, of all its subtasks.
        operator: NodeIndex,
        /// What the sink's subtasks prepared.
        committables: Vec<Committable>,
        /// Which publication this is of the job's, to be said in the answer.
        #[serde(default)]
        publication: u64,
    },
    /// Remove what these executions prepared and will never publish.
    Discard {
        /// The sink's position in the plan.
        operator: NodeIndex,
        /// What to remove.
        committables: Vec<Committable>,
    },
    /// The job has ended: exit.
    Shutdown,
}

/// What a worker tells the JobManager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToJobManager {
    /// A subtask's state changed. Terminal states carry the last metrics.
    TaskState {
        /// Which.
        attempt: ExecutionAttemptId,
        /// Its state now.
        state: ExecutionState,
        /// Why, when it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        /// Output that a finished subtask prepared.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        committables: Vec<Committable>,
        /// Its counters.
        #[serde(default)]
        metrics: TaskMetrics,
    },
    /// The enumerator beside subtask 0 of a source found parts of the input.
    SplitsDiscovered {
        /// Subtask 0 of the source.
        attempt: ExecutionAttemptId,
        /// The source's position in the plan.
        operator: NodeIndex,
        /// The parts.
        splits: Vec<Split>,
        /// Whether there will be no more.
        complete: bool,
    },
    /// A source subtask can read another part.
    SplitRequested {
        /// Who asks.
        attempt: ExecutionAttemptId,
        /// The source's position in the plan.
        operator: NodeIndex,
        /// Of this lane; absent: whichever comes first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lane: Option<u32>,
    },
    /// A source subtask has read a part to its end.
    SplitFinished {
        /// Who read it.
        attempt: ExecutionAttemptId,
        /// The source's position in the plan.
        operator: NodeIndex,
        /// The part's id.
        split: String,
    },
    /// What a subtask's accumulators have gathered; every so often where there is news, and before its terminal state.
    Accumulators {
        /// Whose.
        attempt: ExecutionAttemptId,
        /// All of them.
        accumulators: Accumulators,
    },
    /// A checkpoint's barrier has passed a subtask.
    Cut {
        /// Which.
        attempt: ExecutionAttemptId,
        /// What lies before it.
        cut: Cut,
    },
    /// A subtask's state as of a barrier is in its file, or is not.
    StateWritten {
        /// Which.
        attempt: ExecutionAttemptId,
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The file; none where there was no state.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<StateFile>,
        /// Why it could not be written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        /// How long it took.
        #[serde(default)]
        timings: CheckpointTimings,
    },
    /// Prepared output is published, or could not be.
    Committed {
        /// The sink's position in the plan.
        operator: NodeIndex,
        /// Which publication.
        #[serde(default)]
        publication: u64,
        /// Why not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// Counters of running subtasks, every so often.
    Metrics {
        /// One entry a subtask.
        tasks: Vec<(ExecutionAttemptId, TaskMetrics)>,
        /// Of those that get one key again and again, its beginning.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hot_keys: Vec<(ExecutionAttemptId, String)>,
    },
}

//! What a subtask, and what runs beside it, reports.

use crate::graph::accumulator::Accumulators;
use crate::graph::checkpoint::{CheckpointTimings, Cut};
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Committable, ExecutionState, Failure, Split, StateFile, TaskMetrics};
use crate::ids::{CheckpointId, ExecutionAttemptId};

/// A report of the runtime to its process, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskEvent {
    /// A subtask's state changed.
    State {
        /// Which.
        attempt: ExecutionAttemptId,
        /// Its state now.
        state: ExecutionState,
        /// Why, when it failed.
        failure: Option<Failure>,
        /// What its sinks prepared, when it finished.
        committables: Vec<Committable>,
        /// Its counters; the last ones in a terminal state.
        metrics: TaskMetrics,
    },
    /// A source subtask can read another part.
    SplitRequested {
        /// Who asks.
        attempt: ExecutionAttemptId,
        /// The source.
        operator: NodeIndex,
        /// Of this lane; absent: whichever comes first.
        lane: Option<u32>,
    },
    /// A source subtask has read a part to its end.
    SplitFinished {
        /// Who read it.
        attempt: ExecutionAttemptId,
        /// The source.
        operator: NodeIndex,
        /// The part's id.
        split: String,
    },
    /// The enumerator beside subtask 0 of a source found parts.
    SplitsDiscovered {
        /// Subtask 0 of the source.
        attempt: ExecutionAttemptId,
        /// The source.
        operator: NodeIndex,
        /// The parts.
        splits: Vec<Split>,
        /// Whether there will be no more.
        complete: bool,
    },
    /// What a subtask's accumulators have gathered; comes before its terminal state.
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
        result: Result<Option<StateFile>, Failure>,
        /// How long it took.
        timings: CheckpointTimings,
    },
    /// Prepared output is published, or could not be.
    Committed {
        /// The sink.
        operator: NodeIndex,
        /// Which publication, as it was told.
        publication: u64,
        /// Why not.
        failure: Option<Failure>,
    },
}

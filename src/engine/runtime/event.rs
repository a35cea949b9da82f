//! What a subtask, and what runs beside it, reports.

use crate::graph::accumulator::Accumulators;
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Committable, ExecutionState, Failure, Split, TaskMetrics};
use crate::ids::ExecutionAttemptId;

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
    /// Prepared output is published, or could not be.
    Committed {
        /// The sink.
        operator: NodeIndex,
        /// Why not.
        failure: Option<Failure>,
    },
}

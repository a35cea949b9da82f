//! What a subtask says and holds when a barrier passes it, and how that becomes a file.

use std::time::Duration;

use super::alignment::Aligned;
use super::event::TaskEvent;
use super::panics;
use crate::engine::checkpoint::{CheckpointStorage, write_states};
use crate::engine::operators::Snapshot;
use crate::engine::record::Barrier;
use crate::graph::checkpoint::{CheckpointTimings, Cut};
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Committable, Failure, Split};
use crate::ids::{ExecutionAttemptId, OperatorId};
use crate::time::Stopwatch;

/// What a barrier has separated in one subtask.
pub(super) struct Taken {
    pub(super) aligned: Aligned,
    /// Parts of the input that are being read, from where they stand.
    pub(super) held: Vec<(NodeIndex, Split)>,
    pub(super) committables: Vec<Committable>,
    pub(super) operators: Vec<(OperatorId, Snapshot)>,
}

impl Taken {
    /// What the job has to know in order with everything else the subtask says; and what is left to be written.
    pub(super) fn cut(self, attempt: ExecutionAttemptId, sync: Duration) -> (TaskEvent, Unwritten) {
        let Self { aligned, held, committables, operators } = self;
        let cut = Cut { checkpoint: aligned.barrier.checkpoint, held, committables };
        (TaskEvent::Cut { attempt, cut }, Unwritten { attempt, aligned, operators, sync })
    }
}

/// State that was frozen and is not in a file yet.
pub(super) struct Unwritten {
    attempt: ExecutionAttemptId,
    aligned: Aligned,
    operators: Vec<(OperatorId, Snapshot)>,
    sync: Duration,
}

impl Unwritten {
    /// Writes it; what is to be said of it.
    pub(super) fn write(self, storage: &dyn CheckpointStorage) -> TaskEvent {
        let ExecutionAttemptId { vertex, subtask, attempt } = self.attempt;
        let name = format!("{vertex}-{subtask}-{attempt}");
        let Self { attempt, aligned, operators, sync } = self;
        let watch = Stopwatch::start();
        let Barrier { directory, savepoint, .. } = &*aligned.barrier;
        let written =
            panics::catch(|| write_states(storage, directory, &name, *savepoint, operators)).map_err(Failure::user);
        let result = written.and_then(|written| written);
        let timings = CheckpointTimings {
            start_delay_ms: millis(aligned.start_delay),
            alignment_ms: millis(aligned.alignment),
            sync_ms: millis(sync),
            async_ms: millis(watch.elapsed()),
        };
        TaskEvent::StateWritten { attempt, checkpoint: aligned.barrier.checkpoint, result, timings }
    }

    /// Gives it up; what is to be said of it.
    pub(super) fn refuse(self, failure: Failure) -> TaskEvent {
        let Self { attempt, aligned, .. } = self;
        let timings = CheckpointTimings::default();
        TaskEvent::StateWritten { attempt, checkpoint: aligned.barrier.checkpoint, result: Err(failure), timings }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! What separates the records of a checkpoint from those behind it.

use serde::{Deserialize, Serialize};

use crate::ids::CheckpointId;
use crate::time::Now;

/// What the sources do behind a barrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Continuation {
    /// They go on.
    #[default]
    GoOn,
    /// They emit nothing until told otherwise: the job is to be stopped, or deployed anew, from this checkpoint.
    Suspend,
    /// Their input ends with it, and event time before it: each operator has emitted all that it holds when the barrier passes it.
    /// Flink's stop with `--drain`.
    Drain,
}

/// A checkpoint's mark in a channel, with all a subtask needs to know of it. Flink's `CheckpointBarrier`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barrier {
    /// Which checkpoint.
    pub checkpoint: CheckpointId,
    /// Where subtasks write their state: a directory that every node reaches.
    pub directory: String,
    /// Whether what they write is to stand alone: a savepoint.
    #[serde(default)]
    pub savepoint: bool,
    /// What the sources do behind it.
    pub then: Continuation,
    /// When the JobManager began it.
    pub triggered: Now,
}

//! What separates the records of a checkpoint from those behind it.

use serde::{Deserialize, Serialize};

use crate::ids::CheckpointId;
use crate::time::Now;

/// A checkpoint's mark in a channel, with all a subtask needs to know of it. Flink's `CheckpointBarrier`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barrier {
    /// Which checkpoint.
    pub checkpoint: CheckpointId,
    /// Where subtasks write their state: a directory that every node reaches.
    pub directory: String,
    /// Whether the sources emit nothing behind it until told otherwise: the job is to be stopped by this savepoint.
    pub suspend: bool,
    /// When the JobManager began it.
    pub triggered: Now,
}

//! What a subtask reports of a checkpoint, as data.

use serde::{Deserialize, Serialize};

use super::plan::NodeIndex;
use super::task::{Committable, Split};
use crate::ids::CheckpointId;

/// What lies before a checkpoint's barrier in one subtask, besides its state. Reported when the barrier passes, in order with what
/// the subtask reports of its splits: those it finished before the cut are done in the checkpoint, those behind are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Which checkpoint.
    pub checkpoint: CheckpointId,
    /// Parts of the input that were being read, by source: what a reader is given to go on from there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<(NodeIndex, Split)>,
    /// Output that is prepared and belongs to the checkpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub committables: Vec<Committable>,
}

/// How long a subtask took over a checkpoint, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointTimings {
    /// From the trigger until the barrier came on the first channel.
    pub start_delay_ms: u64,
    /// From the first channel to the last.
    pub alignment_ms: u64,
    /// While the subtask stood still.
    pub sync_ms: u64,
    /// Writing the state, beside the subtask.
    pub async_ms: u64,
}

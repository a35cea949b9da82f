//! What a channel carries.

use std::sync::Arc;

use super::{Barrier, Batch};
use crate::time::EventTime;

/// One thing in a channel, in order with all others of that channel.
pub enum Element {
    /// Records.
    Batch(Box<dyn Batch>),
    /// No record behind this has an earlier timestamp. Consecutive ones may be merged.
    Watermark(EventTime),
    /// The producer has nothing and expects nothing: event time does not wait for it until something else comes. Flink's
    /// `WatermarkStatus.IDLE`.
    Idle,
    /// What came before belongs to this checkpoint, what comes behind does not.
    Barrier(Arc<Barrier>),
    /// The producer's input has ended: nothing comes behind this.
    EndOfInput,
}

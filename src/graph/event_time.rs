//! Which of a task's inputs its event time waits for.

use serde::{Deserialize, Serialize};

use super::job_graph::JobGraph;

/// The channel that holds a subtask's event time back: of those that move, the one least far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkHold {
    /// The producer's place among all of the subtask's producers, in the order of its deployment's inputs.
    pub channel: u32,
    /// Milliseconds of event time by which the furthest channel is ahead of it; `None` while it has told no watermark at all.
    pub behind_ms: Option<u64>,
}

impl JobGraph {
    /// Whose output comes into a subtask by its channel `channel`, counted as [`WatermarkHold::channel`] is: the vertex's position and
    /// the subtask.
    pub fn producer(&self, (vertex, subtask): (usize, u32), channel: u32) -> Option<(usize, u32)> {
        let inputs = self.edges.iter().filter(|edge| edge.target == vertex);
        let mut channels =
            inputs.flat_map(|edge| self.producers(edge, subtask).map(|producer| (edge.source, producer)));
        channels.nth(channel as usize)
    }
}

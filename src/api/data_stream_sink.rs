//! The end of a stream.

use super::graph_builder::{Node, SharedGraph};
use crate::graph::plan::{Chaining, NodeIndex};

/// A sink in the graph; its methods set it up. Flink's class of that name.
pub struct DataStreamSink {
    graph: SharedGraph,
    node: NodeIndex,
}

impl DataStreamSink {
    pub(super) fn new(graph: SharedGraph, node: NodeIndex) -> Self {
        Self { graph, node }
    }

    /// Names it, for people.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.set(|node| node.name = name.into())
    }

    /// Gives it an identity that survives changes to the program around it; unique in the job.
    pub fn uid(self, uid: impl Into<String>) -> Self {
        self.set(|node| node.uid = Some(uid.into()))
    }

    /// Sets its number of subtasks.
    pub fn set_parallelism(self, parallelism: u32) -> Self {
        self.set(|node| node.parallelism = Some(parallelism))
    }

    /// Gives it a thread of its own.
    pub fn disable_chaining(self) -> Self {
        self.set(|node| node.chaining = Chaining::Never)
    }

    /// Puts it into slots apart from other groups'.
    pub fn slot_sharing_group(self, group: impl Into<String>) -> Self {
        self.set(|node| node.slot_sharing_group = Some(group.into()))
    }

    fn set(self, change: impl FnOnce(&mut Node)) -> Self {
        change(self.graph.lock().node_mut(self.node));
        self
    }
}

//! The program's graph as it leaves the plan role: one node an operator, nothing chained yet. Flink's `StreamGraph`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::accumulator::Accumulators;
use super::delivery::DeliveryGuarantee;
pub use super::invalid_plan::InvalidPlan;
use crate::ids::OperatorId;

/// Version of the plan format. A reader refuses others.
pub const PLAN_VERSION: u32 = 1;

/// Position of an operator in the plan, from 0; a worker finds the program's closures by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeIndex(pub u32);

/// Position of an edge in the plan, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EdgeId(pub u32);

impl fmt::Display for NodeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A whole program's graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// The job's name.
    pub name: String,
    /// What the program asked for, or its default.
    pub execution_mode: ExecutionMode,
    /// Parallelism set on the environment by the program, where it set one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
    /// Job-level configuration set by the program.
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
    /// Operators, each after those that feed it.
    pub nodes: Vec<PlanNode>,
    /// Connections.
    pub edges: Vec<PlanEdge>,
    /// Values that the program evaluated once, in the plan role.
    #[serde(default)]
    pub once: BTreeMap<String, serde_json::Value>,
    /// What the program's accumulators are before anything is added.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accumulators: Accumulators,
}

/// Batch or streaming. Flink's `RuntimeExecutionMode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExecutionMode {
    /// Results as they come, for ever if the input is.
    Streaming,
    /// Bounded input; aggregates are emitted once, at the end.
    Batch,
    /// Batch when every source is bounded, else streaming.
    #[default]
    Automatic,
}

impl std::str::FromStr for ExecutionMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "streaming" => Ok(Self::Streaming),
            "batch" => Ok(Self::Batch),
            "automatic" => Ok(Self::Automatic),
            _ => Err(format!("`{text}` is not an execution mode; choose streaming, batch or automatic")),
        }
    }
}

impl fmt::Display for ExecutionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Streaming => "STREAMING",
            Self::Batch => "BATCH",
            Self::Automatic => "AUTOMATIC",
        })
    }
}

/// One operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanNode {
    /// Its identity over restarts and versions of the program: derived from `uid`, else from its position.
    pub operator_id: OperatorId,
    /// Given by the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// For people.
    pub name: String,
    /// Its part in the graph.
    pub kind: NodeKind,
    /// Where its code is.
    #[serde(default)]
    pub code: OperatorCode,
    /// Set by the program; absent: the job's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
    /// Set by the program; absent: derived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallelism: Option<u32>,
    /// Whether it may share a thread with its neighbours.
    #[serde(default)]
    pub chaining: Chaining,
    /// Subtasks of one group share slots.
    #[serde(default = "default_group")]
    pub slot_sharing_group: String,
    /// Name of the record type it emits; empty for a sink.
    #[serde(default)]
    pub output_type: String,
    /// What it promises, when it is a source or a sink.
    #[serde(default, skip_serializing_if = "DeliveryGuarantee::is_exactly_once")]
    pub delivery: DeliveryGuarantee,
    /// What its source promises, when it is one, or what the sink does: for people and for the job's guarantee.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

fn default_group() -> String {
    "default".to_owned()
}

impl PlanNode {
    /// Whether the operator can have this many subtasks.
    ///
    /// # Errors
    /// [`InvalidPlan::Parallelism`] names what to change.
    pub(super) fn check_parallelism(&self, parallelism: u32) -> Result<(), InvalidPlan> {
        let max = self.max_parallelism.unwrap_or(MAX_PARALLELISM_LIMIT);
        match parallelism {
            0 => Err(InvalidPlan::NoParallelism { operator: self.name.clone() }),
            _ if parallelism > max => Err(InvalidPlan::Parallelism { operator: self.name.clone(), parallelism, max }),
            _ => Ok(()),
        }
    }
}

/// An operator's part in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum NodeKind {
    /// Reads from outside.
    Source {
        /// Whether its input ends by itself.
        bounded: bool,
    },
    /// Between.
    Operator,
    /// Writes to the outside.
    Sink,
}

/// Where an operator's code is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "lowercase")]
pub enum OperatorCode {
    /// In the program, at the same position of the graph it builds.
    #[default]
    Program,
    /// In flott, by name; SQL and other front ends use this.
    Builtin {
        /// Name in the registry.
        name: String,
        /// What it was configured with.
        payload: serde_json::Value,
    },
}

/// Whether an operator may share a thread with its neighbours. Flink's `ChainingStrategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Chaining {
    /// With both sides.
    #[default]
    Always,
    /// Only with those behind it.
    Head,
    /// With nobody.
    Never,
}

/// A connection between two operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEdge {
    /// Who emits.
    pub source: NodeIndex,
    /// Who receives.
    pub target: NodeIndex,
    /// Which of the receiver's inputs, from 0.
    #[serde(default)]
    pub input: u32,
    /// How records choose among the receiver's subtasks.
    pub partitioner: Partitioner,
    /// Only records of this side output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_output: Option<String>,
}

/// How records choose among the receiver's subtasks. Flink's `StreamPartitioner`s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Partitioner {
    /// Subtask i to subtask i where parallelisms are equal, else replaced by `Rebalance` when the job graph is made. Where the
    /// program says nothing.
    Forward,
    /// Subtask i to subtask i, as the program demands: unequal parallelism is an error. `Forward` in a job graph.
    ForwardOnly,
    /// Round robin.
    Rebalance,
    /// Round robin within the nearest subtasks.
    Rescale,
    /// At random.
    Shuffle,
    /// Everything to all.
    Broadcast,
    /// Everything to subtask 0.
    Global,
    /// By the batch's hash column: equal keys to the same subtask.
    Hash,
    /// As the program's own partitioner says, which the batch brings along.
    Custom,
}

impl fmt::Display for Partitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward | Self::ForwardOnly => "FORWARD",
            Self::Rebalance => "REBALANCE",
            Self::Rescale => "RESCALE",
            Self::Shuffle => "SHUFFLE",
            Self::Broadcast => "BROADCAST",
            Self::Global => "GLOBAL",
            Self::Hash => "HASH",
            Self::Custom => "CUSTOM",
        })
    }
}

impl Plan {
    /// Checks what a program can get wrong.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn validate(&self) -> Result<(), InvalidPlan> {
        if self.version != PLAN_VERSION {
            return Err(InvalidPlan::Version { found: self.version });
        }
        if !self.nodes.iter().any(|node| matches!(node.kind, NodeKind::Source { .. })) {
            return Err(InvalidPlan::NoSource);
        }
        for (edge, id) in self.edges.iter().zip(0..) {
            let (PlanEdge { source, target, .. }, nodes) = (edge, self.nodes.len());
            if source >= target || target.0 as usize >= nodes {
                return Err(InvalidPlan::Edge { edge: id, from: source.0, to: target.0 });
            }
        }
        self.validate_nodes()
    }

    fn validate_nodes(&self) -> Result<(), InvalidPlan> {
        let mut uids: BTreeMap<&str, &str> = BTreeMap::new();
        for (node, index) in self.nodes.iter().zip(0..) {
            let operator = || node.name.clone();
            if let Some(uid) = &node.uid
                && let Some(first) = uids.insert(uid, &node.name)
            {
                return Err(InvalidPlan::DuplicateUid {
                    uid: uid.clone(),
                    first: first.to_owned(),
                    second: operator(),
                });
            }
            if node.kind != NodeKind::Sink && !self.edges.iter().any(|edge| edge.source == NodeIndex(index)) {
                return Err(InvalidPlan::NoSink { operator: operator() });
            }
            if node.kind == (NodeKind::Source { bounded: false }) && self.execution_mode == ExecutionMode::Batch {
                return Err(InvalidPlan::UnboundedInBatch { operator: operator() });
            }
            if let Some(max) = node.max_parallelism
                && !(1..=MAX_PARALLELISM_LIMIT).contains(&max)
            {
                return Err(InvalidPlan::MaxParallelism { operator: operator(), max });
            }
            if let Some(parallelism) = node.parallelism.or(self.parallelism) {
                node.check_parallelism(parallelism)?;
            }
        }
        Ok(())
    }

    /// The mode to run in: `Automatic` is batch exactly when every source is bounded.
    pub fn resolved_mode(&self) -> ExecutionMode {
        match self.execution_mode {
            ExecutionMode::Automatic if self.is_bounded() => ExecutionMode::Batch,
            ExecutionMode::Automatic => ExecutionMode::Streaming,
            mode @ (ExecutionMode::Streaming | ExecutionMode::Batch) => mode,
        }
    }

    /// Whether every source ends by itself.
    pub fn is_bounded(&self) -> bool {
        self.nodes.iter().all(|node| node.kind != NodeKind::Source { bounded: false })
    }

    /// What makes two graphs the same: operator ids, types and partitioners, in order.
    pub fn hash(&self) -> String {
        let mut digest = Sha256::new();
        for node in &self.nodes {
            digest.update(Self::fingerprint(node));
            digest.update([0]);
        }
        for edge in &self.edges {
            let PlanEdge { source, target, input, partitioner, side_output } = edge;
            digest.update(format!("{source}>{target}.{input} {partitioner} {side_output:?}\0"));
        }
        digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    fn fingerprint(node: &PlanNode) -> String {
        format!("{} -> {} [{}]", node.name, node.output_type, node.operator_id)
    }

    /// Whether `here`, built by this process, is the same graph as this one, the stored plan.
    ///
    /// # Errors
    /// [`InvalidPlan::Differs`] names the first operator that differs.
    pub fn check_same(&self, here: &Self) -> Result<(), InvalidPlan> {
        if self.hash() == here.hash() {
            return Ok(());
        }
        let describe = |plan: &Self, index: usize| match plan.nodes.get(index) {
            Some(node) => format!("\"{}\"", Self::fingerprint(node)),
            None => "absent".to_owned(),
        };
        let nodes = self.nodes.len().max(here.nodes.len());
        let index = (0..nodes).find(|&i| describe(self, i) != describe(here, i));
        let (index, planned, here) = match index {
            Some(index) => (index, describe(self, index), describe(here, index)),
            None => (0, "connected otherwise".to_owned(), "connected differently".to_owned()),
        };
        Err(InvalidPlan::Differs { index: u32::try_from(index).unwrap_or(u32::MAX), here, planned })
    }
}

/// The largest number of key groups, as in Flink.
pub const MAX_PARALLELISM_LIMIT: u32 = 1 << 15;

/// The operator id that `uid`, or else a position in the graph, stands for.
pub fn operator_id(uid: Option<&str>, index: u32, name: &str) -> OperatorId {
    let mut digest = Sha256::new();
    match uid {
        Some(uid) => digest.update(format!("uid\0{uid}")),
        None => digest.update(format!("position\0{index}\0{name}")),
    }
    let bytes = digest.finalize();
    OperatorId(bytes.iter().take(16).fold(0, |id, byte| (id << 8) | u128::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::job_graph::{JobGraph, Settings};
    use crate::testing::fuzz::{corpus, fuzz};

    #[test]
    fn fuzz_plans() {
        fuzz("plan", &corpus("plan"), |bytes| {
            let Ok(plan) = serde_json::from_slice::<Plan>(bytes) else { return };
            if plan.validate().is_ok() {
                let settings = Settings { default_parallelism: 2, chaining: true };
                let _ = (plan.delivery(), plan.hash(), plan.is_bounded(), JobGraph::new(&plan, settings));
            }
        });
    }
}

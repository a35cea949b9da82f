//! What runs: operators chained into vertices, with parallelism. Flink's `JobGraph`. Made by the JobManager alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::{
    Chaining, EdgeId, ExecutionMode, InvalidPlan, MAX_PARALLELISM_LIMIT, NodeIndex, NodeKind, Partitioner, Plan,
    PlanNode,
};
use crate::ids::VertexId;

/// The chained graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobGraph {
    /// Chains, each after those that feed it.
    pub vertices: Vec<Vertex>,
    /// Connections between chains; those within a chain are the plan's.
    pub edges: Vec<JobEdge>,
    /// Batch or streaming, never automatic.
    pub execution_mode: ExecutionMode,
}

/// A chain of operators that share a thread. Flink's `JobVertex`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vertex {
    /// Its head's operator id.
    pub id: VertexId,
    /// The operators' names, joined by arrows.
    pub name: String,
    /// Its operators, each after those that feed it; the first is the head.
    pub operators: Vec<NodeIndex>,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Subtasks of one group share slots.
    pub slot_sharing_group: String,
}

/// A connection between chains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEdge {
    /// The plan's edge.
    pub id: EdgeId,
    /// Index of the emitting vertex.
    pub source: usize,
    /// Index of the receiving vertex.
    pub target: usize,
    /// How records choose; `Forward` only between equal parallelisms.
    pub partitioner: Partitioner,
    /// When the receiver sees it.
    pub exchange: Exchange,
}

/// When a receiver sees what is sent: a property of the edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Exchange {
    /// At once.
    #[default]
    Pipelined,
}

/// What the JobManager decides beside the plan.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Parallelism where neither operator nor program set one.
    pub default_parallelism: u32,
    /// Whether operators may share threads at all.
    pub chaining: bool,
}

impl JobGraph {
    /// Chains a validated plan's operators and sets their parallelism.
    ///
    /// An operator joins its only feeder's chain when both allow it, the edge is `Forward` (a side output's too), and
    /// parallelism and slot sharing group are equal.
    ///
    /// # Errors
    /// What only shows with every parallelism known: one beyond an operator's maximum, and `forward` between unequal ones.
    pub fn new(plan: &Plan, settings: Settings) -> Result<Self, InvalidPlan> {
        let parallelism: Vec<u32> = plan.nodes.iter().map(|node| parallelism_of(node, plan, settings)).collect();
        check_parallelism(plan, &parallelism)?;
        let mut chain_of: Vec<usize> = Vec::with_capacity(plan.nodes.len());
        let mut vertices: Vec<Vertex> = Vec::new();
        for (node, index) in plan.nodes.iter().zip(0u32..) {
            let index = NodeIndex(index);
            let chain = chainable_feeder(plan, index, &parallelism, settings).map(|feeder| chain_of[feeder.0 as usize]);
            match chain {
                Some(chain) => {
                    vertices[chain].operators.push(index);
                    vertices[chain].name.push_str(" -> ");
                    vertices[chain].name.push_str(&node.name);
                    chain_of.push(chain);
                }
                None => {
                    chain_of.push(vertices.len());
                    vertices.push(new_vertex(node, index, parallelism[index.0 as usize]));
                }
            }
        }
        set_max_parallelism(plan, &mut vertices);
        let edges = job_edges(plan, &chain_of, &vertices);
        Ok(Self { vertices, edges, execution_mode: plan.resolved_mode() })
    }

    /// Slots needed to run everything at once: one slot holds one subtask of each vertex of its sharing group.
    pub fn slots_needed(&self) -> u32 {
        let mut groups: BTreeMap<&str, u32> = BTreeMap::new();
        for vertex in &self.vertices {
            let widest = groups.entry(&vertex.slot_sharing_group).or_default();
            *widest = (*widest).max(vertex.parallelism);
        }
        groups.values().sum()
    }

    /// Index of the vertex with this id.
    pub fn vertex_index(&self, id: VertexId) -> Option<usize> {
        self.vertices.iter().position(|vertex| vertex.id == id)
    }

    /// Which producers of `edge` send to the consumer's subtask `consumer`, by index; ascending.
    pub fn producers(&self, edge: &JobEdge, consumer: u32) -> impl Iterator<Item = u32> + use<'_> {
        let edge = edge.clone();
        (0..self.vertices[edge.source].parallelism)
            .filter(move |producer| self.consumers(&edge, *producer).contains(&consumer))
    }

    /// Which consumers of `edge` the producer's subtask `producer` sends to, by index; ascending.
    pub fn consumers(&self, edge: &JobEdge, producer: u32) -> std::ops::Range<u32> {
        let (producers, consumers) = (self.vertices[edge.source].parallelism, self.vertices[edge.target].parallelism);
        match edge.partitioner {
            Partitioner::Forward | Partitioner::ForwardOnly => producer..producer + 1,
            Partitioner::Rescale if producers <= consumers => {
                let start = |p: u32| u64::from(p) * u64::from(consumers) / u64::from(producers);
                narrow(start(producer))..narrow(start(producer + 1))
            }
            Partitioner::Rescale => {
                let consumer = narrow(u64::from(producer) * u64::from(consumers) / u64::from(producers));
                consumer..consumer + 1
            }
            Partitioner::Rebalance
            | Partitioner::Shuffle
            | Partitioner::Broadcast
            | Partitioner::Global
            | Partitioner::Hash
            | Partitioner::Custom => 0..consumers,
        }
    }
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn parallelism_of(node: &PlanNode, plan: &Plan, settings: Settings) -> u32 {
    node.parallelism.or(plan.parallelism).unwrap_or(settings.default_parallelism)
}

fn check_parallelism(plan: &Plan, parallelism: &[u32]) -> Result<(), InvalidPlan> {
    for (node, parallelism) in plan.nodes.iter().zip(parallelism) {
        node.check_parallelism(*parallelism)?;
    }
    for edge in plan.edges.iter().filter(|edge| edge.partitioner == Partitioner::ForwardOnly) {
        let of = |index: NodeIndex| (plan.nodes[index.0 as usize].name.clone(), parallelism[index.0 as usize]);
        let ((from, from_parallelism), (to, to_parallelism)) = (of(edge.source), of(edge.target));
        if from_parallelism != to_parallelism {
            return Err(InvalidPlan::Forward { from, from_parallelism, to, to_parallelism });
        }
    }
    Ok(())
}

fn new_vertex(node: &PlanNode, index: NodeIndex, parallelism: u32) -> Vertex {
    Vertex {
        id: VertexId(node.operator_id.0),
        name: node.name.clone(),
        operators: vec![index],
        parallelism,
        max_parallelism: node.max_parallelism.unwrap_or(0),
        slot_sharing_group: node.slot_sharing_group.clone(),
    }
}

fn chainable_feeder(plan: &Plan, index: NodeIndex, parallelism: &[u32], settings: Settings) -> Option<NodeIndex> {
    let node = &plan.nodes[index.0 as usize];
    let mut inputs = plan.edges.iter().filter(|edge| edge.target == index);
    let (edge, None) = (inputs.next()?, inputs.next()) else {
        return None;
    };
    let feeder = &plan.nodes[edge.source.0 as usize];
    let chainable = settings.chaining
        && matches!(edge.partitioner, Partitioner::Forward | Partitioner::ForwardOnly)
        && node.chaining == Chaining::Always
        && feeder.chaining != Chaining::Never
        && !matches!(node.kind, NodeKind::Source { .. })
        && parallelism[index.0 as usize] == parallelism[edge.source.0 as usize]
        && node.slot_sharing_group == feeder.slot_sharing_group;
    chainable.then_some(edge.source)
}

/// Key groups: the least that the program set for an operator of the chain, else 1.5 × parallelism rounded up to a power of two, within 128 and the limit.
fn set_max_parallelism(plan: &Plan, vertices: &mut [Vertex]) {
    for vertex in vertices {
        let set = vertex.operators.iter().filter_map(|index| plan.nodes[index.0 as usize].max_parallelism).min();
        let derived =
            || (vertex.parallelism + vertex.parallelism / 2).next_power_of_two().clamp(128, MAX_PARALLELISM_LIMIT);
        vertex.max_parallelism = set.unwrap_or_else(derived);
    }
}

pub(super) fn job_edges(plan: &Plan, chain_of: &[usize], vertices: &[Vertex]) -> Vec<JobEdge> {
    let mut edges = Vec::new();
    for (edge, id) in plan.edges.iter().zip(0u32..) {
        let (source, target) = (chain_of[edge.source.0 as usize], chain_of[edge.target.0 as usize]);
        if source == target {
            continue;
        }
        let unequal = vertices[source].parallelism != vertices[target].parallelism;
        let partitioner = match edge.partitioner {
            Partitioner::Forward if unequal => Partitioner::Rebalance,
            Partitioner::ForwardOnly => Partitioner::Forward,
            partitioner => partitioner,
        };
        edges.push(JobEdge { id: EdgeId(id), source, target, partitioner, exchange: Exchange::Pipelined });
    }
    edges
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::plan::{OperatorCode, PLAN_VERSION, PlanEdge, operator_id};
    use super::*;

    fn node(name: &str, kind: NodeKind) -> PlanNode {
        PlanNode {
            operator_id: operator_id(Some(name), 0, name),
            uid: Some(name.to_owned()),
            name: name.to_owned(),
            kind,
            code: OperatorCode::Program,
            parallelism: None,
            max_parallelism: None,
            chaining: Chaining::Always,
            slot_sharing_group: "default".to_owned(),
            output_type: "u64".to_owned(),
            delivery: crate::graph::delivery::DeliveryGuarantee::default(),
            description: String::new(),
        }
    }

    fn edge(source: u32, target: u32, partitioner: Partitioner) -> PlanEdge {
        PlanEdge { source: NodeIndex(source), target: NodeIndex(target), input: 0, partitioner, side_output: None }
    }

    pub(in crate::graph) fn wordcount() -> Plan {
        Plan {
            version: PLAN_VERSION,
            name: "wordcount".to_owned(),
            execution_mode: ExecutionMode::Automatic,
            parallelism: None,
            configuration: BTreeMap::new(),
            nodes: vec![
                node("source", NodeKind::Source { bounded: true }),
                node("split", NodeKind::Operator),
                node("sum", NodeKind::Operator),
                node("print", NodeKind::Sink),
            ],
            edges: vec![
                edge(0, 1, Partitioner::Forward),
                edge(1, 2, Partitioner::Hash),
                edge(2, 3, Partitioner::Forward),
            ],
            once: BTreeMap::new(),
            accumulators: Default::default(),
        }
    }

    pub(in crate::graph) const SETTINGS: Settings = Settings { default_parallelism: 2, chaining: true };

    #[test]
    fn forward_edges_chain_and_hash_edges_do_not() {
        let graph = JobGraph::new(&wordcount(), SETTINGS).unwrap();
        let names: Vec<_> = graph.vertices.iter().map(|vertex| vertex.name.as_str()).collect();
        assert_eq!(names, ["source -> split", "sum -> print"]);
        assert_eq!(graph.edges.len(), 1);
        assert_eq!(graph.slots_needed(), 2);
        assert_eq!(graph.execution_mode, ExecutionMode::Batch);
        assert_eq!(graph.vertices[1].max_parallelism, 128);
    }

    #[test]
    fn a_side_output_chains_as_the_main_one_does() {
        let mut plan = wordcount();
        plan.nodes.push(node("aside", NodeKind::Sink));
        plan.edges.push(PlanEdge { side_output: Some("late".to_owned()), ..edge(2, 4, Partitioner::Forward) });
        let names = |plan: &Plan| -> Vec<String> {
            JobGraph::new(plan, SETTINGS).unwrap().vertices.into_iter().map(|vertex| vertex.name).collect()
        };
        assert_eq!(names(&plan), ["source -> split", "sum -> print -> aside"]);
        plan.edges[3].partitioner = Partitioner::Rebalance;
        assert_eq!(names(&plan), ["source -> split", "sum -> print", "aside"]);
    }

    #[test]
    fn unequal_parallelism_breaks_a_chain_and_rebalances() {
        let mut plan = wordcount();
        plan.nodes[1].parallelism = Some(3);
        let graph = JobGraph::new(&plan, SETTINGS).unwrap();
        assert_eq!(graph.vertices.len(), 3);
        assert_eq!(graph.edges[0].partitioner, Partitioner::Rebalance);
        assert_eq!(graph.slots_needed(), 3);
    }

    #[test]
    fn rescale_covers_every_consumer_once() {
        let mut plan = wordcount();
        plan.edges[1].partitioner = Partitioner::Rescale;
        for (producers, consumers) in [(2, 5), (5, 2), (3, 3), (1, 4)] {
            plan.nodes[0].parallelism = Some(producers);
            plan.nodes[1].parallelism = Some(producers);
            plan.nodes[2].parallelism = Some(consumers);
            plan.nodes[3].parallelism = Some(consumers);
            let graph = JobGraph::new(&plan, SETTINGS).unwrap();
            let edge = &graph.edges[0];
            let mut reached: Vec<u32> = (0..producers).flat_map(|producer| graph.consumers(edge, producer)).collect();
            reached.dedup();
            assert_eq!(reached, (0..consumers).collect::<Vec<_>>(), "{producers} -> {consumers}");
        }
    }

    #[test]
    fn a_different_graph_is_named_by_its_first_difference() {
        let plan = wordcount();
        let mut other = wordcount();
        other.nodes[2].output_type = "String".to_owned();
        let error = plan.check_same(&other).unwrap_err().to_string();
        assert!(error.contains("operator 2 is \"sum -> String"), "{error}");
        other = wordcount();
        other.nodes[2].parallelism = Some(7);
        assert_eq!(plan.check_same(&other), Ok(()));
    }

    #[test]
    fn plans_that_lead_nowhere_are_refused() {
        let mut plan = wordcount();
        plan.edges.pop();
        let error = plan.validate().unwrap_err().to_string();
        assert!(error.contains("operator \"sum\" leads nowhere"), "{error}");
        plan.nodes.clear();
        plan.edges.clear();
        assert_eq!(plan.validate(), Err(crate::graph::plan::InvalidPlan::NoSource));
    }
}
